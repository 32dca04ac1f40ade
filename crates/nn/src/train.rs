//! The training loop under sharing.

use shamisen_mpc::lanes::pieces;
use shamisen_mpc::protocol::log::LOG_FRAC;
use shamisen_mpc::protocol::multiply::reshare;
use shamisen_mpc::protocol::open::open;
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::soft_max::{LossTerms, PROBABILITY_FRAC, soft_max};
use shamisen_mpc::protocol::split::Split;
use shamisen_mpc::protocol::square_root::square;
use shamisen_mpc::protocol::truncate::truncate_shared;
use shamisen_mpc::{Additive, Lanes, Rep, Session};
use shamisen_ring::fixed;

use crate::error::{NnError, Result};
use crate::examples::SharedRows;
use crate::formats::{
    ACTIVATION_BITS, CHECK_EVERY, DELTA_BOUND, DELTA_FRAC, GRADIENT_FRAC, SETTLE_EVERY, activation_frac,
    check, target_frac,
};
use crate::optimizer::{Gradient, Pieces, Scale};
use crate::order::BatchOrder;
use crate::perceptron::Perceptron;
use crate::plan::{Plan, Task};

/// Fractional bits of a squared error.
const SQUARE_FRAC: u32 = 20;

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Current epoch, from 1.
    pub epoch: usize,
    /// Mini-batches of this epoch that are done.
    pub batch: usize,
    /// Mini-batches of an epoch.
    pub batches: usize,
    /// Mean loss of the rows since the last report, where it was opened in this mini-batch.
    pub loss: Option<f64>,
}

/// What training gives.
pub struct Trained {
    /// The network, its parameters shared.
    pub network: Perceptron,
    /// Mean training loss of each epoch, as each mini-batch had it before its update.
    pub loss: Vec<f64>,
}

/// Lanes of a party that a training by this plan can use, of so many that there may be.
pub fn useful_lanes(plan: &Plan, lanes: usize) -> usize {
    pieces(plan.parameters(), lanes).len()
}

/// Trains a network by the plan on shared rows.
///
/// Opened are: the mean loss after every 16 mini-batches (more often in the first 16) and at the end of an epoch, and
/// with it one bit, whether all values stayed in range.
///
/// # Errors
///
/// [`NnError::Plan`] for a plan that cannot be carried out, [`NnError::Range`] when a value left its range,
/// [`NnError::Rows`] when rows cannot be read, [`NnError::Protocol`] when a peer fails.
///
/// The observer sees the lanes' counters as they are after each mini-batch; its own time is booked as `other`.
///
/// The rows of a mini-batch, the parameters in the optimiser's step and the range checks are cut in pieces for the lanes.
pub fn train(
    plan: &Plan,
    rows: &mut dyn SharedRows,
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Trained> {
    check(plan)?;
    if rows.rows() < plan.batch_size {
        return Err(NnError::Plan(format!(
            "the batch size is {}, but there are only {} training rows",
            plan.batch_size,
            rows.rows()
        )));
    }
    let mut trainer = Trainer {
        plan,
        network: Perceptron::initial(plan, lanes.main()),
        optimizer: Pieces::new(plan.optimizer, plan.parameters(), lanes.count()),
        checks: RangeChecks::default(),
        unreported: Unreported::default(),
    };
    let order = BatchOrder::new(plan.seed, rows.rows(), plan.batch_size);
    let mut losses = Vec::with_capacity(plan.epochs);
    let mut step = 0_usize;
    let mut upcoming = (0..plan.epochs).flat_map(|epoch| order.epoch(epoch));
    let mut next = upcoming.next();
    for epoch in 1..=plan.epochs {
        let mut sum = 0.0;
        for batch in 0..order.batches() {
            lanes.main().enter("data");
            let Some(places) = next.take() else { break };
            let (features, targets) = (rows.features(&places)?, rows.targets(&places)?);
            next = upcoming.next();
            if let Some(next) = &next {
                rows.prefetch(next);
            }
            trainer.mini_batch(features, targets, places.len(), lanes)?;
            step += 1;
            let due = step.is_multiple_of(CHECK_EVERY) || (step < CHECK_EVERY && step.is_power_of_two());
            if step.is_multiple_of(SETTLE_EVERY) {
                lanes.main().enter("range checks");
                trainer.checks.settle_in(lanes)?;
            }
            let mut loss = None;
            if due || batch + 1 == order.batches() {
                let reported = trainer.unreported.rows as f64;
                let total = trainer.report(epoch, batch + 1, lanes)?;
                sum += total;
                loss = Some(total / reported);
            }
            lanes.main().enter("other");
            observer(Progress { epoch, batch: batch + 1, batches: order.batches(), loss }, lanes);
        }
        losses.push(sum / rows.rows() as f64);
    }
    Ok(Trained { network: trainer.network, loss: losses })
}

struct Trainer<'a> {
    plan: &'a Plan,
    network: Perceptron,
    optimizer: Pieces,
    checks: RangeChecks,
    unreported: Unreported,
}

/// What the loss of the rows that are not reported yet is made of.
#[derive(Default)]
struct Unreported {
    /// For classification.
    terms: LossTerms,
    /// For regression.
    residuals: Rep,
    rows: usize,
}

/// What the way there and back gives for some rows.
struct Pass {
    /// Sum over the rows.
    gradient: Additive,
    checks: RangeChecks,
    unreported: Unreported,
}

impl Pass {
    /// The way there and back for some rows.
    fn run(
        plan: &Plan,
        network: &Perceptron,
        features: Rep,
        targets: Rep,
        session: &mut Session,
    ) -> Result<Self> {
        let rows = features.len() / plan.features();
        let mut checks = RangeChecks::default();
        let mut unreported = Unreported { rows, ..Unreported::default() };
        let trace = network.forward(features, rows, &mut checks, session)?;
        let delta =
            output_delta(plan, network, &trace.outputs, targets, &mut checks, &mut unreported, session)?;
        let gradient = network.backward(&trace, delta, &mut checks, session)?;
        Ok(Self { gradient, checks, unreported })
    }
}

impl Unreported {
    fn extend(&mut self, other: &Self) {
        self.terms.extend(&other.terms);
        self.residuals.extend(&other.residuals);
        self.rows += other.rows;
    }
}

/// Derivative of the loss with respect to the outputs, times `2^-target_bits`.
fn output_delta(
    plan: &Plan,
    network: &Perceptron,
    outputs: &Rep,
    targets: Rep,
    checks: &mut RangeChecks,
    unreported: &mut Unreported,
    session: &mut Session,
) -> Result<Rep> {
    let frac = network.activation_frac();
    match plan.task {
        Task::Classification => {
            session.enter("soft-max");
            let soft_max =
                soft_max(outputs, unreported.rows, network.outputs(), frac, ACTIVATION_BITS, session)?;
            let (mut delta, terms) = soft_max.into_loss_terms(outputs, &targets);
            const { assert!(PROBABILITY_FRAC == DELTA_FRAC) };
            unreported.terms.extend(&terms);
            let mut one_hot = targets;
            one_hot.scale(1 << DELTA_FRAC);
            delta.sub_assign(&one_hot);
            Ok(delta)
        }
        Task::Regression => {
            let mut delta = outputs.clone();
            delta.sub_assign(&targets);
            unreported.residuals.extend(&delta);
            let up = DELTA_FRAC - frac;
            if up >= plan.target_bits {
                delta.scale(1 << (up - plan.target_bits));
            } else {
                session.enter("truncation");
                delta = truncate_shared(&delta, plan.target_bits - up, session)?;
            }
            let prior = DELTA_FRAC + ACTIVATION_BITS + 1;
            let values = Split::of(&delta, session.party());
            checks.claim("the error of the output layer", values, DELTA_BOUND, prior);
            Ok(delta)
        }
    }
}

/// Rows that are worth a lane of their own.
const LEAST_ROWS: usize = 128;

impl Trainer<'_> {
    fn mini_batch(&mut self, features: Rep, targets: Rep, rows: usize, lanes: &mut Lanes) -> Result<()> {
        let (plan, network) = (self.plan, &self.network);
        let count = (rows / LEAST_ROWS).clamp(1, lanes.count());
        let pieces = if count == 1 {
            vec![(features, targets)]
        } else {
            (0..count)
                .map(|piece| {
                    let (start, end) = (rows * piece / count, rows * (piece + 1) / count);
                    let cut = |all: &Rep, columns: usize| all.slice(start * columns..end * columns);
                    (cut(&features, plan.features()), cut(&targets, plan.outputs()))
                })
                .collect()
        };
        let mut passes = lanes
            .each(pieces, |(features, targets), session| {
                Pass::run(plan, network, features, targets, session)
            })?
            .into_iter();
        let Some(Pass { gradient: mut sum, checks, unreported }) = passes.next() else {
            unreachable!("at least one piece")
        };
        self.checks.absorb(checks);
        self.unreported.extend(&unreported);
        for Pass { gradient, checks, unreported } in passes {
            sum.add_assign(&gradient);
            self.checks.absorb(checks);
            self.unreported.extend(&unreported);
        }
        let gradient = self.scaled(sum, rows);
        let (learning_rate, parameters) = (self.plan.learning_rate, &mut self.network.parameters);
        self.optimizer.step(gradient, learning_rate, parameters, &mut self.checks, lanes)
    }

    /// Adds the weight decay, and says how the sum over the rows becomes a mean.
    fn scaled(&self, mut sum: Additive, rows: usize) -> Gradient {
        let frac = self.network.activation_frac();
        let up = |rows: usize| rows.next_power_of_two().trailing_zeros();
        let loss_scale = 2.0_f64.powi(-self.loss_bits());
        // The mean is taken by a shift: what it gives is `rows / 2^up` times the mean.
        let nominal = self.plan.batch_size as f64 / f64::from(1_u32 << up(self.plan.batch_size));
        let actual = rows as f64 / f64::from(1_u32 << up(rows));
        let mut shift = frac + DELTA_FRAC - GRADIENT_FRAC + up(rows);
        if self.plan.weight_decay > 0.0 {
            // The sum of 2^11 rows would still be in range: what is free makes the decay's factor finer.
            let spare = 11_u32.saturating_sub(up(rows));
            sum.scale(1 << spare);
            shift += spare;
            let factor = self.plan.weight_decay
                * loss_scale
                * rows as f64
                * 2.0_f64.powi((frac + DELTA_FRAC + spare) as i32 - crate::formats::WEIGHT_FRAC as i32);
            for weights in self.network.all_weights() {
                let share = self.network.parameters.slice(weights.clone());
                sum.add_scaled(weights.start, &share, factor.round() as u64);
            }
        }
        Gradient {
            sum,
            scale: Scale {
                shift,
                factor: (nominal / actual * 65536.0).round() as u64,
                nominal: nominal * loss_scale,
            },
        }
    }

    /// Halvings of the loss, so that errors of targets up to `2^target_bits` stay in range.
    fn loss_bits(&self) -> i32 {
        match self.plan.task {
            Task::Classification => 0,
            Task::Regression => self.plan.target_bits as i32,
        }
    }

    /// Verifies all ranges, then opens the loss of the rows since the last report: their sum.
    fn report(&mut self, epoch: usize, batch: usize, lanes: &mut Lanes) -> Result<f64> {
        lanes.main().enter("range checks");
        let update_bits = self.optimizer.update_bits();
        self.network.claim_parameters(update_bits, &mut self.checks, lanes.party());
        self.optimizer.claim_moments(&mut self.checks, lanes.party());
        self.checks.settle_in(lanes)?;
        let session = lanes.main();
        if let Some(what) = self.checks.verify(session)? {
            let hint = match self.plan.task {
                Task::Classification => "lower --learning-rate, or scale the features (--scaling standard)",
                Task::Regression => {
                    "lower --learning-rate, or scale features and target (--scaling standard, --target-scaling standard)"
                }
            };
            return Err(NnError::Range { what, epoch, batch, hint });
        }
        session.enter("loss");
        let unreported = std::mem::take(&mut self.unreported);
        loss_sum(self.plan, unreported, session)
    }
}

/// Opens the sum of the losses of some rows.
fn loss_sum(plan: &Plan, unreported: Unreported, session: &mut Session) -> Result<f64> {
    let frac = activation_frac(plan);
    match plan.task {
        Task::Classification => {
            let loss = unreported.terms.cross_entropy(plan.outputs(), frac, session)?;
            let sum = open(&reshare(loss.sum(), session)?, session)?;
            Ok(fixed::decode(sum[0], LOG_FRAC))
        }
        Task::Regression => {
            debug_assert_eq!(target_frac(plan), frac);
            let squares = square(&unreported.residuals, session)?;
            let squares = truncate_shared(&squares, 2 * frac - SQUARE_FRAC, session)?;
            let sum = open(&reshare(squares.to_additive().sum(), session)?, session)?;
            Ok(fixed::decode(sum[0], SQUARE_FRAC) / 2.0)
        }
    }
}
