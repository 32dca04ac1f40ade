//! Training under sharing against the float twin: the same plan, initial weights and order of mini-batches.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod checkpoints;
mod estimate;

use shamisen_mpc::{Lanes, Rep};
use shamisen_net::Party;
use shamisen_nn::evaluate::evaluate;
use shamisen_nn::examples::SharedRows;
use shamisen_nn::formats::{WEIGHT_FRAC, activation_frac, target_frac};
use shamisen_nn::metrics::Metrics;
use shamisen_nn::perceptron::Perceptron;
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_nn::train::{train, useful_lanes};
use shamisen_nn::{NnError, Result, twin};
use shamisen_ring::fixed;
use shamisen_testkit::{Outcome, deal, random_words, rng, run_lanes};

const SEED: u64 = 42;

/// Plain rows and how they are shared.
struct Table {
    features: Vec<f64>,
    targets: Vec<f64>,
    rows: usize,
}

struct Shared<'a> {
    plan: &'a Plan,
    features: &'a Rep,
    targets: &'a Rep,
    rows: usize,
}

impl SharedRows for Shared<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn features(&mut self, rows: &[u32]) -> Result<Rep> {
        Ok(pick(self.features, rows, self.plan.features()))
    }

    fn targets(&mut self, rows: &[u32]) -> Result<Rep> {
        Ok(pick(self.targets, rows, self.plan.outputs()))
    }
}

fn pick(from: &Rep, rows: &[u32], cols: usize) -> Rep {
    from.gather(rows.iter().flat_map(move |&row| row as usize * cols..(row as usize + 1) * cols))
}

fn encode(values: &[f64], frac: u32) -> Vec<u64> {
    values.iter().map(|&x| fixed::encode(x, frac).unwrap()).collect()
}

/// Runs `job` at three parties that share the table and have so many lanes each.
fn with_shares<T: Send>(
    plan: &Plan,
    table: &Table,
    lanes: usize,
    job: impl Fn(&mut dyn SharedRows, &mut Lanes) -> T + Sync,
) -> Outcome<T> {
    let shares = Shares::new(plan, table);
    run_lanes(SEED, lanes, |lanes| job(&mut shares.of(lanes.party()), lanes))
}

/// The shares of a table at all three parties, the same each time.
struct Shares<'a> {
    plan: &'a Plan,
    features: [Rep; 3],
    targets: [Rep; 3],
    rows: usize,
}

impl<'a> Shares<'a> {
    fn new(plan: &'a Plan, table: &Table) -> Self {
        let mut rng = rng(SEED);
        let features = deal(&encode(&table.features, activation_frac(plan)), &mut rng);
        let targets = deal(&encode(&table.targets, target_frac(plan)), &mut rng);
        Self { plan, features, targets, rows: table.rows }
    }

    fn of(&self, party: Party) -> Shared<'_> {
        let me = party.index();
        Shared { plan: self.plan, features: &self.features[me], targets: &self.targets[me], rows: self.rows }
    }
}

fn uniform(len: usize, seed: u64) -> Vec<f64> {
    random_words(len, &mut rng(seed)).iter().map(|w| (w >> 11) as f64 / 2.0_f64.powi(52) - 1.0).collect()
}

/// Three classes, by the signs of two linear forms.
fn classes(rows: usize) -> Table {
    let features = uniform(rows * 6, 1);
    let targets = features
        .chunks(6)
        .flat_map(|x| {
            let class = if x[0] + x[1] * x[2] > 0.2 {
                0
            } else if x[3] - x[4] > 0.0 {
                1
            } else {
                2
            };
            (0..3).map(move |k| f64::from(u8::from(k == class)))
        })
        .collect();
    Table { features, targets, rows }
}

/// One number with some noise.
fn numbers(rows: usize) -> Table {
    let features = uniform(rows * 6, 2);
    let noise = uniform(rows, 3);
    let targets = features
        .chunks(6)
        .zip(noise)
        .map(|(x, noise)| 2.0 * x[0] - x[1] * x[2] + (x[3] + x[4]).abs() + 0.1 * noise)
        .collect();
    Table { features, targets, rows }
}

fn plan(task: Task, hidden: &[usize], optimizer: Optimizer) -> Plan {
    let outputs = if task == Task::Classification { 3 } else { 1 };
    Plan {
        task,
        layers: [&[6], hidden, &[outputs]].concat(),
        optimizer,
        learning_rate: if matches!(optimizer, Optimizer::Sgd { .. }) { 0.05 } else { 0.01 },
        weight_decay: 0.0,
        batch_size: 48,
        epochs: 6,
        seed: SEED,
        feature_bits: 1,
        target_bits: 2,
    }
}

/// Trains and scores both ways: (secure, twin), and the training losses.
fn both(plan: &Plan, table: &Table, lanes: usize) -> ((Metrics, Vec<f64>), (Metrics, Vec<f64>)) {
    let out = with_shares(plan, table, lanes, |rows, lanes| {
        let trained = train(plan, rows, &mut |_, _| {}, lanes).unwrap();
        let metrics = evaluate(plan, &trained.network, rows, lanes.main()).unwrap();
        (metrics, trained.loss)
    });
    let [first, second, third] = out.results;
    assert_eq!(first, second);
    assert_eq!(first, third);
    let examples =
        twin::PlainExamples { features: &table.features, targets: &table.targets, rows: table.rows };
    let model = twin::train(plan, examples, |_, _, _| {});
    let outputs = model.outputs(&table.features);
    let metrics = twin::evaluate(plan.task, plan.outputs(), &outputs, &table.targets);
    (first, (metrics, model.loss))
}

fn assert_near(plan: &Plan, table: &Table, tolerance: f64) {
    assert_near_in(1, plan, table, tolerance);
}

fn assert_near_in(lanes: usize, plan: &Plan, table: &Table, tolerance: f64) {
    let ((secure, loss), (plain, plain_loss)) = both(plan, table, lanes);
    let values = |metrics| match metrics {
        Metrics::Classification { accuracy, cross_entropy } => [accuracy, cross_entropy],
        Metrics::Regression { r2, mse } => [r2, mse],
    };
    for (secure, plain) in values(secure).into_iter().zip(values(plain)) {
        assert!((secure - plain).abs() < tolerance, "{plan:?}: {secure} against {plain}");
    }
    for (secure, plain) in loss.iter().zip(&plain_loss) {
        assert!((secure - plain).abs() < tolerance, "{plan:?}: losses {loss:?} against {plain_loss:?}");
    }
}

#[test]
fn classification_follows_the_twin() {
    let table = classes(500);
    for hidden in [&[][..], &[16], &[16, 8, 8]] {
        assert_near(&plan(Task::Classification, hidden, Optimizer::adam(1)), &table, 0.03);
    }
    assert_near(&plan(Task::Classification, &[16], Optimizer::adam(4)), &table, 0.03);
    assert_near(&plan(Task::Classification, &[16], Optimizer::Sgd { momentum: 0.0 }), &table, 0.02);
    assert_near(&plan(Task::Classification, &[16], Optimizer::Sgd { momentum: 0.9 }), &table, 0.02);
}

#[test]
fn a_cross_entropy_is_not_negative() {
    let plan = plan(Task::Classification, &[], Optimizer::Sgd { momentum: 0.0 });
    // All rows have the first class, and the network's first bias makes it certain.
    let rows = 200;
    let targets = (0..3 * rows).map(|at| f64::from(u8::from(at % 3 == 0))).collect();
    let table = Table { features: uniform(rows * 6, 1), targets, rows };
    let parameters: Vec<f64> = (0..21).map(|at| if at == 18 { 30.0 } else { 0.0 }).collect();
    let parameters = deal(&encode(&parameters, WEIGHT_FRAC), &mut rng(SEED));
    let out = with_shares(&plan, &table, 1, |rows, lanes| {
        let network = Perceptron::from_parameters(&plan, parameters[lanes.party().index()].clone());
        evaluate(&plan, &network, rows, lanes.main()).unwrap()
    });
    assert_eq!(out.results[0], Metrics::Classification { accuracy: 1.0, cross_entropy: 0.0 });
}

#[test]
fn regression_follows_the_twin() {
    let table = numbers(500);
    for hidden in [&[][..], &[16], &[16, 8, 8]] {
        assert_near(&plan(Task::Regression, hidden, Optimizer::adam(1)), &table, 0.03);
    }
    let mut decayed = plan(Task::Regression, &[16], Optimizer::Sgd { momentum: 0.9 });
    decayed.weight_decay = 0.01;
    assert_near(&decayed, &table, 0.03);
}

/// Hidden layers of a network with so many parameters that 3 lanes find enough to do.
const WIDE: [usize; 2] = [120, 100];

#[test]
fn several_lanes_follow_the_twin() {
    let table = classes(300);
    for lanes in [2, 3] {
        for optimizer in [Optimizer::adam(1), Optimizer::adam(4), Optimizer::Sgd { momentum: 0.9 }] {
            let mut wide = Plan { epochs: 2, ..plan(Task::Classification, &WIDE, optimizer) };
            wide.learning_rate /= 2.0;
            assert_eq!(useful_lanes(&wide, lanes), lanes);
            assert_near_in(lanes + 1, &wide, &table, 0.03);
        }
    }
    let mut decayed = plan(Task::Regression, &WIDE, Optimizer::Sgd { momentum: 0.9 });
    (decayed.weight_decay, decayed.learning_rate, decayed.epochs) = (0.01, 0.02, 2);
    assert_near_in(4, &decayed, &numbers(300), 0.03);
    // Too few parameters for more than one lane.
    assert_near_in(3, &plan(Task::Classification, &[16], Optimizer::adam(1)), &table, 0.03);
}

#[test]
fn lanes_share_the_work_and_its_costs_add_up() {
    let table = classes(96);
    let wide = Plan { epochs: 1, ..plan(Task::Classification, &WIDE, Optimizer::adam(1)) };
    let [one, two] = [2, 3].map(|lanes| {
        let out = with_shares(&wide, &table, lanes, |rows, lanes| {
            train(&wide, rows, &mut |_, _| {}, lanes).unwrap();
        });
        let [counters, ..] = out.counters;
        counters
    });
    assert_eq!(two.by_phase["optimizer"].traffic.rounds, one.by_phase["optimizer"].traffic.rounds);
    assert_eq!(two.by_phase["matrix products"].work, one.by_phase["matrix products"].work);
    // Which claims are settled together depends on the lanes, and with it how many bits are looked at.
    for (phase, tolerance) in [("optimizer", 0.02), ("truncation", 0.02), ("range checks", 0.2)] {
        let (one, two) = (one.by_phase[phase], two.by_phase[phase]);
        let near = |one: u64, two: u64| one.abs_diff(two) as f64 <= tolerance * one as f64;
        assert!(near(one.traffic.sent(), two.traffic.sent()), "{phase}: {one:?} and {two:?}");
        assert!(near(one.work.random_words, two.work.random_words), "{phase}: {one:?} and {two:?}");
    }
}

#[test]
fn leaving_the_range_stops_with_the_layer() {
    // Without momentum it takes larger targets until it diverges.
    for (momentum, larger) in [(0.9, 1.0), (0.0, 30.0)] {
        let mut table = numbers(200);
        table.targets.iter_mut().for_each(|target| *target *= larger);
        for (hidden, lanes) in [([16, 16], 1), (WIDE, 2)] {
            let mut wild = plan(Task::Regression, &hidden, Optimizer::Sgd { momentum });
            wild.learning_rate = 1.0;
            wild.target_bits = 0;
            let out = with_shares(&wild, &table, lanes, |rows, lanes| {
                train(&wild, rows, &mut |_, _| {}, lanes).map(|_| ())
            });
            for result in out.results {
                assert!(matches!(result, Err(NnError::Range { .. })), "{momentum}: {result:?}");
            }
        }
    }
}
