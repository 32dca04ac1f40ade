//! A training under way, mini-batch by mini-batch.

use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::soft_max::FACTOR_BITS;
use shamisen_mpc::{Additive, Lanes, Rep};
use shamisen_ring::fixed::Factor;

use crate::checkpoint::{Checkpoint, Checkpoints, Shares, Snapshot, State, push_rep, unfit};
use crate::error::{NnError, Result};
use crate::formats::{CHECK_EVERY, DELTA_FRAC, GRADIENT_FRAC, WEIGHT_FRAC};
use crate::optimizer::{Gradient, Pieces, Step, StepKind};
use crate::perceptron::Perceptron;
use crate::plan::{Plan, Task};
use crate::train::descent::Descent;
use crate::train::pass::{Pass, Unreported, loss_bits, loss_sum};

/// Rows that are worth a lane of their own.
const LEAST_ROWS: usize = 128;

/// A training under way.
pub(crate) struct Trainer<'a> {
    plan: &'a Plan,
    pub(super) network: Perceptron,
    optimizer: Pieces,
    /// Of gradient descent without momentum.
    descent: Option<Descent>,
    pub(crate) checks: RangeChecks,
    pub(crate) unreported: Unreported,
    /// Mini-batches of all epochs that are done.
    pub(super) done: usize,
    /// Sum of the losses of the present epoch that are reported.
    pub(super) loss_sum: f64,
    /// Mean loss of each epoch that is done.
    pub(super) loss: Vec<f64>,
}

/// What is public about a mini-batch, and decided before it. All that it costs follows from it.
pub(crate) struct MiniBatch {
    rows: usize,
    /// Of each piece of the optimiser.
    steps: Vec<Step>,
    /// Layers whose parameters are claimed to be in range, and the steps since their last claim.
    claims: Vec<(usize, usize)>,
}

impl MiniBatch {
    /// What two mini-batches that cost the same have in common.
    pub(crate) fn kind(&self) -> BatchKind {
        (self.rows, self.steps.iter().map(Step::kind).collect(), self.claims.clone())
    }
}

/// Mini-batches of one kind cost the same: rows, steps of the optimiser, and claims.
pub(crate) type BatchKind = (usize, Vec<StepKind>, Vec<(usize, usize)>);

/// What is public about a report, and decided before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Report {
    /// Of gradient descent without momentum: the layers, and the steps since their last claim.
    claims: Option<Vec<(usize, usize)>>,
    /// Updates since the last report are below two to this power.
    update_bits: u32,
    /// The lowest places of the second moments' windows since then.
    windows: Vec<Option<u32>>,
}

impl<'a> Trainer<'a> {
    /// The trainer before the first mini-batch, of a given network or a new one.
    pub(crate) fn new(plan: &'a Plan, start: Option<Perceptron>, lanes: &mut Lanes) -> Self {
        let mut network = start.unwrap_or_else(|| Perceptron::initial(plan, lanes.main()));
        let optimizer = Pieces::new(plan, &network, lanes.count());
        Self {
            plan,
            descent: optimizer.moves_freely().then(|| Descent::new(plan, &mut network)),
            optimizer,
            network,
            checks: RangeChecks::default(),
            unreported: Unreported::default(),
            done: 0,
            loss_sum: 0.0,
            loss: Vec::new(),
        }
    }

    /// Takes over a checkpoint, keys included.
    pub(super) fn restore(
        &mut self,
        checkpoint: Checkpoint,
        batches: usize,
        lanes: &mut Lanes,
    ) -> Result<()> {
        let Checkpoint { state, loss, shares, keys } = checkpoint;
        let fits = state.done <= self.plan.epochs * batches
            && loss.len() == state.done / batches
            && keys.len() == lanes.total();
        if !fits {
            return Err(unfit());
        }
        let mut shares = Shares::new(shares);
        self.network.parameters = shares.rep(self.plan.parameters())?;
        self.optimizer.restore(&state.optimizer, &mut shares)?;
        shares.end()?;
        (self.done, self.loss_sum, self.loss) = (state.done, state.loss_sum, loss);
        lanes.danger_set_keys(&keys);
        Ok(())
    }

    /// Renews the keys, and if a checkpoint is wanted keeps one with the new keys.
    ///
    /// Also where none is wanted, so that the keys do not depend on when somebody wants to stop.
    pub(super) fn checkpoint(
        &self,
        checkpoints: &mut dyn Checkpoints,
        wanted: bool,
        lanes: &mut Lanes,
    ) -> Result<()> {
        debug_assert!(self.checks.is_empty() && self.unreported.rows == 0, "a checkpoint follows a report");
        debug_assert!(self.descent.as_ref().is_none_or(Descent::is_settled), "a checkpoint follows a report");
        let keys = lanes.renew_keys();
        if !wanted {
            return Ok(());
        }
        let mut shares = Vec::new();
        push_rep(&mut shares, &self.network.parameters);
        let optimizer = self.optimizer.save(&mut shares);
        let state = State { done: self.done, loss_sum: self.loss_sum, optimizer };
        checkpoints.save(&Snapshot { state: &state, loss: &self.loss, shares, keys: &keys })
    }

    /// Moves what is public a mini-batch of so many rows on.
    pub(crate) fn decide(&mut self, rows: usize) -> MiniBatch {
        let nominal = 2.0_f64.powi(-loss_bits(self.plan));
        self.done += 1;
        MiniBatch {
            rows,
            steps: self.optimizer.decide(self.plan.learning_rate, nominal),
            claims: self.descent.as_mut().map_or_else(Vec::new, |descent| descent.due(false)),
        }
    }

    /// One step, with the way there and back.
    pub(crate) fn mini_batch(
        &mut self,
        batch: &MiniBatch,
        features: Rep,
        targets: Rep,
        lanes: &mut Lanes,
    ) -> Result<()> {
        let (plan, network, rows) = (self.plan, &self.network, batch.rows);
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
        let (factor, step) = self.step_size(rows);
        let mut passes = lanes
            .each(pieces, |(features, targets), session| {
                Pass::run(plan, network, factor, features, targets, session)
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
        let gradient = self.gradient(sum, rows, step);
        self.optimizer.step(&batch.steps, gradient, &mut self.network.parameters, &mut self.checks, lanes)?;
        if let Some(descent) = &self.descent {
            descent.claim(&batch.claims, &self.network, &mut self.checks, lanes.party());
        }
        Ok(())
    }

    /// What the sum over the rows is multiplied with, and two to which power is left for the truncation of the gradient.
    ///
    /// The factor goes into the errors of the output layer, so that the truncation drops whole bits.
    fn step_size(&self, rows: usize) -> (Factor, i32) {
        let mean = 1.0 / rows as f64;
        Factor::of(
            if self.optimizer.moves_freely() { self.plan.learning_rate * mean } else { mean },
            FACTOR_BITS,
        )
    }

    /// Adds the weight decay, and says how the sum over the rows becomes a mean gradient, or an update.
    fn gradient(&self, mut sum: Additive, rows: usize, exponent: i32) -> Gradient {
        let frac = self.network.activation_frac();
        // Of the sum, before the halvings of the loss are undone.
        let (result_frac, exponent, size) = if self.optimizer.moves_freely() {
            (WEIGHT_FRAC, exponent + loss_bits(self.plan), self.plan.learning_rate)
        } else {
            (GRADIENT_FRAC, exponent, 2.0_f64.powi(-loss_bits(self.plan)))
        };
        let mut shift = (frac + DELTA_FRAC - result_frac) as i32 - exponent;
        if self.plan.weight_decay > 0.0 {
            // The sum of 2^11 rows would still be in range: what is free makes the decay's factor finer.
            let spare = 11_u32.saturating_sub(rows.next_power_of_two().trailing_zeros());
            sum.scale(1 << spare);
            shift += spare as i32;
            let places = (frac + DELTA_FRAC + spare) as i32 - WEIGHT_FRAC as i32 - exponent;
            let factor = (self.plan.weight_decay * size * 2.0_f64.powi(places)).round();
            for weights in self.network.all_weights() {
                let share = self.network.parameters.slice(weights.clone());
                sum.add_scaled(weights.start, &share, factor as u64);
            }
        }
        Gradient { sum, shift: shift as u32 }
    }

    /// Moves what is public past a report.
    pub(crate) fn decide_report(&mut self) -> Report {
        Report {
            claims: self.descent.as_mut().map(|descent| descent.due(true)),
            update_bits: self.optimizer.update_bits(),
            windows: self.optimizer.lowest_windows(),
        }
    }

    /// Verifies all ranges, then opens the loss of the rows since the last report: their sum.
    pub(crate) fn report(
        &mut self,
        report: &Report,
        epoch: usize,
        batch: usize,
        lanes: &mut Lanes,
    ) -> Result<f64> {
        lanes.main().enter("range checks");
        if let (Some(descent), Some(claims)) = (&self.descent, &report.claims) {
            descent.claim(claims, &self.network, &mut self.checks, lanes.party());
        } else {
            let update = f64::from(report.update_bits as i32 - WEIGHT_FRAC as i32).exp2();
            for layer in 0..self.network.depth() {
                let moved = [CHECK_EVERY as f64 * update; 2];
                self.network.claim_layer(layer, moved, &mut self.checks, lanes.party());
            }
        }
        self.optimizer.claim_moments(&report.windows, &mut self.checks, lanes.party());
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
