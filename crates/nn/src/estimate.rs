//! What a training will cost, before any data are shared.
//!
//! Rounds and bytes follow from the plan alone. They are counted by the training code itself: three parties carry out one
//! mini-batch of each kind, and one report of each kind, on rows of zeros; all that is public, and with it which kind comes when,
//! is moved on for every mini-batch of the training by the functions that training uses.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Instant;

use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::tell::tell;
use shamisen_mpc::{Lanes, Rep};
use shamisen_net::{Party, Peers, Traffic};

use crate::error::Result;
use crate::examples::SharedRows;
use crate::formats::{CHECK_EVERY, check};
use crate::plan::{Plan, Task};
use crate::train::pass::Unreported;
use crate::train::trainer::{BatchKind, Report, Trainer};
use crate::train::{is_reported, train};

/// What a training costs one of the parties, without evaluating it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// Mini-batches of all epochs.
    pub batches: usize,
    /// Rounds of messages that depend on each other.
    pub rounds: u64,
    /// Bytes sent to each of the peers.
    pub bytes_sent: Peers<u64>,
    /// Wall time of a mini-batch, as measured over these transports, in seconds.
    pub seconds_per_batch: f64,
}

impl Estimate {
    /// Bytes sent to both peers together.
    pub fn sent(&self) -> u64 {
        self.bytes_sent.next + self.bytes_sent.prev
    }
}

/// Estimates the training of a plan on so many rows; all three parties do it together, over the transports that it is estimated for.
///
/// Rounds and bytes are those that [`train`] counts. The time is that of the mini-batches 17 to 32, or of fewer and earlier ones where
/// these would take more than a few seconds.
///
/// # Errors
///
/// As [`train`].
pub fn estimate(plan: &Plan, rows: usize, lanes: &mut Lanes) -> Result<Estimate> {
    check(plan)?;
    lanes.keep_aside();
    let batch_size = plan.batch_size.min(rows);
    let batches = rows.div_ceil(batch_size);
    let mut rehearsal = Rehearsal {
        plan,
        trainer: Trainer::new(plan, None, lanes),
        batches: HashMap::new(),
        reports: HashMap::new(),
    };
    let mut total = Cost::default();
    let mut window = Window::default();
    for _ in 0..plan.epochs {
        for batch in 1..=batches {
            let rows = if batch < batches { batch_size } else { rows - (batches - 1) * batch_size };
            total += rehearsal.mini_batch(rows, &mut window, lanes)?;
            if is_reported(window.done, batch == batches) {
                total += rehearsal.report(&mut window, lanes)?;
            }
        }
    }
    Ok(Estimate {
        batches: plan.epochs * batches,
        rounds: total.rounds,
        bytes_sent: total.bytes_sent,
        seconds_per_batch: seconds_per_batch(plan, batch_size, lanes)?,
    })
}

/// Rounds and bytes of a part of the training.
#[derive(Clone, Copy, Default)]
struct Cost {
    rounds: u64,
    bytes_sent: Peers<u64>,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.bytes_sent.next += other.bytes_sent.next;
        self.bytes_sent.prev += other.bytes_sent.prev;
    }
}

impl From<Traffic> for Cost {
    fn from(traffic: Traffic) -> Self {
        Self { rounds: traffic.rounds, bytes_sent: traffic.bytes_sent }
    }
}

/// The mini-batches since the last report.
#[derive(Default)]
struct Window {
    kinds: Vec<BatchKind>,
    /// Mini-batches of the whole training.
    done: usize,
}

/// A mini-batch that was carried out, and what it left for the next report.
struct Rehearsed {
    cost: Cost,
    settled: RangeChecks,
    settled_words: usize,
    unreported: Unreported,
}

/// Reports of one kind cost the same: what was decided, the words that tell which claims hold, and the rows.
type ReportKind = (Report, usize, usize);

struct Rehearsal<'a> {
    plan: &'a Plan,
    trainer: Trainer<'a>,
    batches: HashMap<BatchKind, Rehearsed>,
    reports: HashMap<ReportKind, Cost>,
}

impl Rehearsal<'_> {
    fn mini_batch(&mut self, rows: usize, window: &mut Window, lanes: &mut Lanes) -> Result<Cost> {
        let decided = self.trainer.decide(rows);
        let kind = decided.kind();
        window.done += 1;
        window.kinds.push(kind.clone());
        if let Some(known) = self.batches.get(&kind) {
            return Ok(known.cost);
        }
        let before = lanes.counters().total;
        let features = Rep::zeros(rows * self.plan.features());
        let targets = targets(self.plan, rows, lanes.party());
        self.trainer.mini_batch(&decided, features, targets, lanes)?;
        self.trainer.checks.settle_aside(lanes)?;
        self.trainer.checks.wait(lanes)?;
        let cost = lanes.counters().total.since(&before).into();
        let (settled, settled_words) = self.trainer.checks.take_settled();
        let unreported = std::mem::take(&mut self.trainer.unreported);
        self.batches.insert(kind, Rehearsed { cost, settled, settled_words, unreported });
        Ok(cost)
    }

    fn report(&mut self, window: &mut Window, lanes: &mut Lanes) -> Result<Cost> {
        let decided = self.trainer.decide_report();
        let batches: Vec<&Rehearsed> =
            window.kinds.drain(..).filter_map(|kind| self.batches.get(&kind)).collect();
        let words = batches.iter().map(|batch| batch.settled_words).sum();
        let rows = batches.iter().map(|batch| batch.unreported.rows).sum();
        let kind = (decided, words, rows);
        if let Some(cost) = self.reports.get(&kind) {
            return Ok(*cost);
        }
        for batch in batches {
            self.trainer.checks.absorb_settled(&batch.settled);
            self.trainer.unreported.extend(&batch.unreported);
        }
        let before = lanes.counters().total;
        self.trainer.report(&kind.0, 1, window.done, lanes)?;
        let cost = lanes.counters().total.since(&before).into();
        self.reports.insert(kind, cost);
        Ok(cost)
    }
}

/// The longest time that is measured, in seconds, unless a few mini-batches take more.
const LONGEST: f64 = 2.0;

/// Trains on zeros for a while and measures how long a mini-batch takes.
fn seconds_per_batch(plan: &Plan, batch_size: usize, lanes: &mut Lanes) -> Result<f64> {
    let mut times = |batches: usize| {
        let mut times = vec![Instant::now()];
        let mut rows = Zeros { plan, rows: batches * batch_size, party: lanes.party() };
        let plan = Plan { epochs: 1, batch_size, ..plan.clone() };
        train(&plan, &mut rows, &mut |_, _| times.push(Instant::now()), lanes)?;
        let (from, to) = (times[batches / 2], times[batches]);
        let seconds = (to - from).as_secs_f64() / (batches - batches / 2) as f64;
        // The slowest party decides, so that all three know the same.
        let seconds = tell(&[seconds.to_bits()], lanes.main())?.concat();
        Ok::<_, crate::NnError>(seconds.into_iter().map(f64::from_bits).fold(0.0, f64::max))
    };
    let first = times(2)?;
    let more = 2 * CHECK_EVERY;
    if first * more as f64 <= LONGEST { times(more) } else { Ok(first) }
}

/// Targets for rows of zeros: of a classification each class in turn, since gradients of rows without one would leave their range.
fn targets(plan: &Plan, rows: usize, party: Party) -> Rep {
    let outputs = plan.outputs();
    if plan.task == Task::Regression {
        return Rep::zeros(rows * outputs);
    }
    let mut classes = vec![0; rows * outputs];
    classes.chunks_exact_mut(outputs).enumerate().for_each(|(row, target)| target[row % outputs] = 1);
    Rep::from_public(&classes, party)
}

/// Shared rows of zeros.
struct Zeros<'a> {
    plan: &'a Plan,
    rows: usize,
    party: Party,
}

impl SharedRows for Zeros<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn features(&mut self, rows: &[u32]) -> Result<Rep> {
        Ok(Rep::zeros(rows.len() * self.plan.features()))
    }

    fn targets(&mut self, rows: &[u32]) -> Result<Rep> {
        Ok(targets(self.plan, rows.len(), self.party))
    }
}
