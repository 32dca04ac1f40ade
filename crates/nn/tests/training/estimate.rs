//! Estimates against the counters of trainings.

use std::array;

use shamisen_nn::estimate::estimate;
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_nn::train::train;
use shamisen_testkit::{Outcome, run_lanes};

use crate::{SEED, Table, WIDE, classes, numbers, plan, with_shares};

/// What a training costs each party, by its counters: rounds, and bytes sent to the next and the previous one.
fn measured(plan: &Plan, table: &Table, lanes: usize) -> [(u64, u64, u64); 3] {
    let out = with_shares(plan, table, lanes, |rows, lanes| {
        let before = lanes.counters().total;
        train(plan, rows, &mut |_, _| {}, lanes).unwrap();
        lanes.counters().total.since(&before)
    });
    out.results.map(|traffic| (traffic.rounds, traffic.bytes_sent.next, traffic.bytes_sent.prev))
}

#[test]
fn estimates_are_the_counters_of_the_training() {
    let classification = |hidden: &[usize], optimizer| plan(Task::Classification, hidden, optimizer);
    let regression = |hidden: &[usize], optimizer| plan(Task::Regression, hidden, optimizer);
    let descent = Optimizer::Sgd { momentum: 0.0 };
    let momentum = Optimizer::Sgd { momentum: 0.9 };
    let decayed = Plan { weight_decay: 0.01, learning_rate: 0.002, ..regression(&[16], momentum) };
    // Long enough for the second moment's weights to start anew.
    let long = Plan { batch_size: 16, epochs: 60, ..classification(&[8], Optimizer::adam(1)) };
    for (plan, rows, lanes) in [
        (classification(&[16], Optimizer::adam(1)), 500, 1),
        (classification(&[16], Optimizer::adam(1)), 500, 2),
        (classification(&[16, 8, 8], Optimizer::adam(4)), 211, 2),
        (Plan { epochs: 2, learning_rate: 0.003, ..classification(&WIDE, Optimizer::adam(1)) }, 300, 3),
        (classification(&[], descent), 500, 2),
        (classification(&[16], descent), 500, 2),
        (regression(&[16], Optimizer::adam(16)), 333, 2),
        (decayed, 500, 2),
        (regression(&[], momentum), 48, 1),
        (long, 207, 2),
    ] {
        let table = if plan.task == Task::Classification { classes(rows) } else { numbers(rows) };
        let measured = measured(&plan, &table, lanes);
        let Outcome { results, .. } = run_lanes(SEED, lanes, |lanes| estimate(&plan, rows, lanes).unwrap());
        let estimated: [_; 3] = array::from_fn(|party| {
            let estimate = results[party];
            (estimate.rounds, estimate.bytes_sent.next, estimate.bytes_sent.prev)
        });
        assert_eq!(estimated, measured, "{plan:?} with {lanes} lanes");
        assert_eq!(results[0].batches, plan.epochs * rows.div_ceil(plan.batch_size));
        assert!(results[0].seconds_per_batch > 0.0);
    }
}

#[test]
fn no_number_of_an_estimate_leaves_its_range() {
    // With targets of 0 in every class, second moments of an older preconditioner did in one of ten.
    let narrow =
        Plan { batch_size: 16, epochs: 1, ..plan(Task::Classification, &[9, 9, 9], Optimizer::adam(8)) };
    for seed in 0..16 {
        let plan = Plan { seed, ..narrow.clone() };
        let out = run_lanes(SEED + seed, 2, |lanes| estimate(&plan, 257, lanes).map(|_| ()));
        out.results.into_iter().for_each(|result| result.unwrap());
    }
}

#[test]
fn an_estimate_refuses_what_a_training_refuses() {
    let wide = Plan { batch_size: 5000, ..plan(Task::Classification, &[16], Optimizer::adam(1)) };
    let out = run_lanes(SEED, 1, |lanes| estimate(&wide, 100, lanes).map(|_| ()));
    let message = out.results[0].as_ref().unwrap_err().to_string();
    assert!(message.contains("the batch size is 5000"), "{message}");
}
