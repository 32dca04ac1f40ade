//! A training that goes on from a checkpoint is the one that was never interrupted, word for word.

use std::cell::Cell;
use std::sync::Mutex;

use shamisen_mpc::SessionKeys;
use shamisen_net::recording::{Received, Recording, Transcript};
use shamisen_net::{Transport, memory};
use shamisen_nn::Result;
use shamisen_nn::checkpoint::{Checkpoint, Checkpoints, Snapshot, State};
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_nn::train::{Ended, train, train_with_checkpoints, useful_lanes};
use shamisen_testkit::{Outcome, run_lanes_over};

use super::{SEED, Shares, Table, WIDE, classes, numbers, plan, with_shares};

/// A checkpoint that is kept in memory.
struct Kept {
    state: State,
    loss: Vec<f64>,
    shares: Vec<Vec<u64>>,
    keys: Vec<[[u8; 16]; 3]>,
    /// What each lane has received since the checkpoint before.
    received: Vec<Vec<Received>>,
}

impl Kept {
    fn checkpoint(&self) -> Checkpoint {
        let keys = self.keys.iter().map(|&[own, next, private]| SessionKeys { own, next, private });
        Checkpoint {
            state: self.state.clone(),
            loss: self.loss.clone(),
            shares: self.shares.clone(),
            keys: keys.collect(),
        }
    }
}

/// Keeps a checkpoint every 32 mini-batches and at the end of each epoch.
struct Memory<'a> {
    /// Reports until this party wants to stop.
    reports: Cell<usize>,
    transcripts: &'a [Transcript],
    kept: Vec<Kept>,
}

impl Checkpoints for Memory<'_> {
    fn is_due(&self, done: usize, end_of_epoch: bool) -> bool {
        end_of_epoch || done.is_multiple_of(32)
    }

    fn save(&mut self, snapshot: &Snapshot<'_>) -> Result<()> {
        self.kept.push(Kept {
            state: snapshot.state.clone(),
            loss: snapshot.loss.to_vec(),
            shares: snapshot.shares.iter().map(|words| words.to_vec()).collect(),
            keys: snapshot.keys.iter().map(|keys| [keys.own, keys.next, keys.private]).collect(),
            received: self.transcripts.iter().map(Transcript::take).collect(),
        });
        Ok(())
    }

    fn wants_to_stop(&self) -> bool {
        self.reports.set(self.reports.get() - 1);
        self.reports.get() == 0
    }
}

/// How a party's training ended: its shares of the parameters and the losses, or where it stopped.
#[derive(Debug, PartialEq)]
enum End {
    Trained { mine: Vec<u64>, next: Vec<u64>, loss: Vec<f64> },
    Stopped { epoch: usize, batch: usize },
}

/// What a party has at the end, and what it kept on the way.
struct Run {
    end: End,
    kept: Vec<Kept>,
    /// What each lane has received since the last checkpoint.
    received: Vec<Vec<Received>>,
}

/// Trains from checkpoints of the three parties, or from the beginning with the keys of a seed. Party 1 wants to stop after so many
/// reports.
fn run(
    plan: &Plan,
    table: &Table,
    lanes: usize,
    seed: u64,
    start: Option<[&Kept; 3]>,
    reports: usize,
) -> [Run; 3] {
    let shares = Shares::new(plan, table);
    let mut ends: [Vec<Box<dyn Transport>>; 3] = [const { Vec::new() }; 3];
    let mut transcripts: [Vec<Transcript>; 3] = [const { Vec::new() }; 3];
    for _ in 0..lanes {
        for (party, end) in memory::mesh().map(Recording::new).into_iter().enumerate() {
            transcripts[party].push(end.transcript());
            ends[party].push(Box::new(end));
        }
    }
    let starts = Mutex::new(start.map(|start| start.map(|kept| Some(kept.checkpoint()))));
    let Outcome { results, .. } = run_lanes_over(seed, ends, |lanes| {
        let party = lanes.party();
        let start = starts.lock().unwrap().as_mut().and_then(|starts| starts[party.index()].take());
        let transcripts = &transcripts[party.index()];
        let reports = Cell::new(if party.index() == 1 { reports } else { usize::MAX });
        let mut memory = Memory { reports, transcripts, kept: Vec::new() };
        let rows = &mut shares.of(party);
        let end = match train_with_checkpoints(plan, None, rows, (&mut memory, start), &mut |_, _| {}, lanes)
            .unwrap()
        {
            Ended::Trained(trained) => {
                let (mine, next) = trained.network.parameters().components();
                End::Trained { mine: mine.to_vec(), next: next.to_vec(), loss: trained.loss }
            }
            Ended::Stopped { epoch, batch } => End::Stopped { epoch, batch },
        };
        let received = transcripts.iter().map(Transcript::take).collect();
        Run { end, kept: memory.kept, received }
    });
    results
}

fn at(runs: &[Run; 3], index: usize) -> [&Kept; 3] {
    runs.each_ref().map(|run| &run.kept[index])
}

/// Goes on from each checkpoint, and from where a party wanted to stop.
fn assert_exact(plan: &Plan, table: &Table, lanes: usize) {
    let whole = run(plan, table, lanes, SEED, None, usize::MAX);
    let numbers: Vec<usize> = whole[0].kept.iter().map(|kept| kept.state.done).collect();
    let batches = table.rows.div_ceil(plan.batch_size);
    assert_eq!((numbers[0], numbers.last()), (0, Some(&(plan.epochs * batches))));
    for (from, number) in numbers.iter().enumerate() {
        let start = Some(at(&whole, from));
        let again = run(plan, table, lanes, 1000 + from as u64, start, usize::MAX);
        for (whole, again) in whole.iter().zip(&again) {
            let name = format!("{plan:?} from {number}");
            assert!(again.end == whole.end, "{name}: another end");
            assert_eq!(again.kept.len(), whole.kept.len() - from - 1, "{name}");
            assert!(again.received == whole.received, "{name}: other messages at the end");
            for (kept, again) in whole.kept[from + 1..].iter().zip(&again.kept) {
                assert!(again.state == kept.state && again.loss == kept.loss, "{name}: another state");
                assert!(again.shares == kept.shares && again.keys == kept.keys, "{name}: other secrets");
                assert!(again.received == kept.received, "{name}: other messages on the way");
            }
        }
    }
    // After 1, 2, 4, 8 and 16 mini-batches, where no checkpoint is due.
    for reports in [2, 5] {
        let stopped = run(plan, table, lanes, SEED, None, reports);
        let done = 1 << (reports - 1);
        assert!(stopped.iter().all(|run| run.end == End::Stopped { epoch: 1, batch: done }));
        assert_eq!((stopped[0].kept.len(), stopped[2].kept[1].state.done), (2, done));
        let again = run(plan, table, lanes, 2000, Some(at(&stopped, 1)), usize::MAX);
        for (whole, again) in whole.iter().zip(&again) {
            assert!(again.end == whole.end, "{plan:?} from where it stopped: another end");
        }
    }
}

#[test]
fn every_optimizer_goes_on_word_for_word() {
    let adam = [Optimizer::adam(1), Optimizer::adam(16)];
    let descent = [0.9, 0.0].map(|momentum| Optimizer::Sgd { momentum });
    for optimizer in adam.into_iter().chain(descent) {
        for (task, table) in [(Task::Classification, classes(500)), (Task::Regression, numbers(500))] {
            let plan = Plan { batch_size: 24, epochs: 4, ..plan(task, &[16], optimizer) };
            assert_exact(&plan, &table, 1);
        }
    }
}

#[test]
fn several_lanes_go_on_word_for_word() {
    let table = classes(300);
    for optimizer in [Optimizer::adam(1), Optimizer::adam(4), Optimizer::Sgd { momentum: 0.0 }] {
        let mut wide = Plan { batch_size: 16, epochs: 2, ..plan(Task::Classification, &WIDE, optimizer) };
        wide.learning_rate /= 2.0;
        assert_eq!(useful_lanes(&wide, 2), 2);
        assert_exact(&wide, &table, 3);
    }
}

#[test]
fn without_checkpoints_nothing_is_told_and_with_them_sixteen_bytes_a_report() {
    let table = classes(96);
    let plan = Plan { batch_size: 12, epochs: 1, ..plan(Task::Classification, &[8], Optimizer::adam(1)) };
    let plain = with_shares(&plan, &table, 1, |rows, lanes| {
        train(&plan, rows, &mut |_, _| {}, lanes).unwrap();
    });
    let kept = with_shares(&plan, &table, 1, |rows, lanes| {
        let mut memory = Memory { reports: Cell::new(usize::MAX), transcripts: &[], kept: Vec::new() };
        train_with_checkpoints(&plan, None, rows, (&mut memory, None), &mut |_, _| {}, lanes).unwrap();
    });
    // 8 mini-batches: reports after 1, 2, 4 and 8.
    for (kept, plain) in kept.counters.iter().zip(&plain.counters) {
        assert_eq!(kept.total.rounds, plain.total.rounds + 4);
        assert_eq!(kept.total.sent(), plain.total.sent() + 16 * 4);
    }
    assert!(!plain.counters[0].by_phase.contains_key("checkpoints"));
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let table = classes(96);
    let plan = Plan { batch_size: 12, epochs: 1, ..plan(Task::Classification, &[8], Optimizer::adam(1)) };
    let whole = run(&plan, &table, 1, SEED, None, usize::MAX);
    let wider = Plan { layers: vec![6, 9, 3], ..plan.clone() };
    let descent = Plan { optimizer: Optimizer::Sgd { momentum: 0.0 }, ..plan.clone() };
    let shorter = Plan { batch_size: 24, ..plan.clone() };
    for (plan, lanes) in [(&wider, 1), (&descent, 1), (&shorter, 1), (&plan, 2)] {
        let out = with_shares(plan, &table, lanes, |rows, lanes| {
            let mut memory = Memory { reports: Cell::new(usize::MAX), transcripts: &[], kept: Vec::new() };
            let start = Some(whole[lanes.party().index()].kept[1].checkpoint());
            train_with_checkpoints(plan, None, rows, (&mut memory, start), &mut |_, _| {}, lanes).err()
        });
        for error in out.results {
            assert!(error.unwrap().to_string().starts_with("the checkpoint does not fit the plan"));
        }
    }
}
