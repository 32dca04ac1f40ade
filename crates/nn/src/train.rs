//! The training loop under sharing.

use std::ops::ControlFlow;

use shamisen_mpc::lanes::pieces;
use shamisen_mpc::protocol::log::LOG_FRAC;
use shamisen_mpc::protocol::multiply::reshare;
use shamisen_mpc::protocol::open::open;
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::soft_max::{FACTOR_BITS, Form, LossTerms, soft_max_as};
use shamisen_mpc::protocol::square_root::square;
use shamisen_mpc::protocol::tell::tell;
use shamisen_mpc::protocol::truncate::truncate_shared;
use shamisen_mpc::{Additive, Lanes, Rep, Session};
use shamisen_net::Party;
use shamisen_ring::fixed::{self, Factor};

use crate::checkpoint::{Checkpoint, Checkpoints, Shares, Snapshot, State, push_rep, unfit};
use crate::error::{NnError, Result};
use crate::examples::SharedRows;
use crate::formats::{
    ACTIVATION_BITS, BIAS_LIMIT, CHECK_EVERY, CHECKED_BIAS_LIMIT, DELTA_BOUND, DELTA_FRAC, DELTA_LIMIT,
    GRADIENT_FRAC, WEIGHT_FRAC, WEIGHT_LIMIT, activation_frac, check, target_frac,
};
use crate::optimizer::{Gradient, Pieces, Step, StepKind};
use crate::order::BatchOrder;
use crate::perceptron::{Perceptron, Trace};
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

/// How a training with checkpoints ended.
///
/// This enum is complete.
pub enum Ended {
    /// With its last mini-batch.
    Trained(Trained),
    /// Because a party wanted to stop; it goes on from the checkpoint that was kept here.
    Stopped {
        /// Epoch, from 1.
        epoch: usize,
        /// Mini-batches of this epoch that are done.
        batch: usize,
    },
}

/// What somebody does at the end of each epoch of a training, the same at all three parties.
pub trait Epochs {
    /// Takes note of an epoch, counted from 1, with its mean loss and the network as it is now, and says whether the training goes
    /// on. It may run protocols.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from that; the training then ends with it.
    fn ended(
        &mut self,
        epoch: usize,
        loss: f64,
        network: &Perceptron,
        lanes: &mut Lanes,
    ) -> Result<ControlFlow<()>>;
}

/// Lanes of a party that a training by this plan can use together, of so many that there may be.
///
/// With one lane more than that, range checks go on aside.
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
/// The rows of a mini-batch, the parameters in the optimiser's step and the range checks are cut in pieces for the lanes. The last
/// of several lanes is kept aside for range checks that nobody waits for yet.
pub fn train(
    plan: &Plan,
    rows: &mut dyn SharedRows,
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Trained> {
    let run = Run { plan, start: None, checkpoints: None, epochs: None };
    run.trained(rows, observer, lanes)
}

/// As [`train`], from a network that a training by a plan with the same layers has left, or from the initial weights, and with
/// somebody who looks at each epoch and may end the training with it.
///
/// The optimiser begins anew.
///
/// # Errors
///
/// As [`train`], and whatever `epochs` fails with.
pub fn train_epochs(
    plan: &Plan,
    start: Option<Perceptron>,
    rows: &mut dyn SharedRows,
    epochs: &mut dyn Epochs,
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Trained> {
    let run = Run { plan, start, checkpoints: None, epochs: Some(epochs) };
    run.trained(rows, observer, lanes)
}

/// As [`train`], with checkpoints, from one of them or from the beginning; the same at all three parties.
///
/// At each report the parties tell each other whether one of them wants to stop (one round, 16 bytes each), and renew the keys of
/// all lanes. What comes after a checkpoint is therefore the same word for word, whether the training goes on or begins again there.
///
/// The checkpoint of 0 mini-batches is taken before the first one.
///
/// # Errors
///
/// As [`train`], and [`NnError::Checkpoint`] for a checkpoint that cannot be kept or does not fit.
pub fn train_with_checkpoints(
    plan: &Plan,
    rows: &mut dyn SharedRows,
    checkpoints: &mut dyn Checkpoints,
    start: Option<Checkpoint>,
    observer: &mut dyn FnMut(Progress, &Lanes),
    lanes: &mut Lanes,
) -> Result<Ended> {
    let run = Run { plan, start: None, checkpoints: Some((checkpoints, start)), epochs: None };
    run.ended(rows, observer, lanes)
}

/// What a training begins with, and who takes part in it.
struct Run<'a> {
    plan: &'a Plan,
    start: Option<Perceptron>,
    checkpoints: Option<(&'a mut dyn Checkpoints, Option<Checkpoint>)>,
    epochs: Option<&'a mut dyn Epochs>,
}

impl Run<'_> {
    /// The training of which no checkpoints are kept.
    fn trained(
        self,
        rows: &mut dyn SharedRows,
        observer: &mut dyn FnMut(Progress, &Lanes),
        lanes: &mut Lanes,
    ) -> Result<Trained> {
        match self.ended(rows, observer, lanes)? {
            Ended::Trained(trained) => Ok(trained),
            Ended::Stopped { .. } => unreachable!("nobody can ask for it"),
        }
    }

    fn ended(
        self,
        rows: &mut dyn SharedRows,
        observer: &mut dyn FnMut(Progress, &Lanes),
        lanes: &mut Lanes,
    ) -> Result<Ended> {
        let Run { plan, start, checkpoints, mut epochs } = self;
        check(plan)?;
        if rows.rows() < plan.batch_size {
            return Err(NnError::Plan(format!(
                "the batch size is {}, but there are only {} training rows",
                plan.batch_size,
                rows.rows()
            )));
        }
        lanes.keep_aside();
        let mut trainer = Trainer::new(plan, start, lanes);
        let order = BatchOrder::new(plan.seed, rows.rows(), plan.batch_size);
        let batches = order.batches();
        let (mut checkpoints, start) = checkpoints.unzip();
        if let Some(start) = start.flatten() {
            trainer.restore(start, batches, lanes)?;
        } else if let Some(checkpoints) = &mut checkpoints {
            lanes.main().enter("checkpoints");
            trainer.checkpoint(&mut **checkpoints, true, lanes)?;
        }
        let first = trainer.done;
        let mut upcoming =
            (first / batches..plan.epochs).flat_map(|epoch| order.epoch(epoch)).skip(first % batches);
        let mut next = upcoming.next();
        while let Some(places) = next.take() {
            lanes.main().enter("data");
            let (features, targets) = (rows.features(&places)?, rows.targets(&places)?);
            next = upcoming.next();
            if let Some(next) = &next {
                rows.prefetch(next);
            }
            let (epoch, batch) = (trainer.done / batches + 1, trainer.done % batches + 1);
            let decided = trainer.decide(places.len());
            trainer.mini_batch(&decided, features, targets, lanes)?;
            let done = trainer.done;
            lanes.main().enter("range checks");
            trainer.checks.settle_aside(lanes)?;
            let mut loss = None;
            let mut stop = false;
            if is_reported(done, batch == batches) {
                let reported = trainer.unreported.rows as f64;
                let report = trainer.decide_report();
                let total = trainer.report(&report, epoch, batch, lanes)?;
                loss = Some(total / reported);
                trainer.loss_sum += total;
                if batch == batches {
                    trainer.loss.push(std::mem::take(&mut trainer.loss_sum) / rows.rows() as f64);
                }
                if let Some(checkpoints) = &mut checkpoints {
                    lanes.main().enter("checkpoints");
                    stop = tell(&[u64::from(checkpoints.wants_to_stop())], lanes.main())?.concat() != [0; 3];
                    let wanted = stop || checkpoints.is_due(done, batch == batches);
                    trainer.checkpoint(&mut **checkpoints, wanted, lanes)?;
                }
            }
            lanes.main().enter("other");
            observer(Progress { epoch, batch, batches, loss }, lanes);
            if stop {
                return Ok(Ended::Stopped { epoch, batch });
            }
            if batch == batches
                && let (Some(epochs), Some(&loss)) = (&mut epochs, trainer.loss.last())
            {
                lanes.main().enter("evaluation");
                if epochs.ended(epoch, loss, &trainer.network, lanes)?.is_break() {
                    break;
                }
            }
        }
        Ok(Ended::Trained(Trained { network: trainer.network, loss: trainer.loss }))
    }
}

/// Whether ranges are verified and the loss is opened after so many mini-batches, at the end of an epoch or not.
pub(crate) fn is_reported(done: usize, end_of_epoch: bool) -> bool {
    end_of_epoch || done.is_multiple_of(CHECK_EVERY) || (done < CHECK_EVERY && done.is_power_of_two())
}

/// A training under way.
pub(crate) struct Trainer<'a> {
    plan: &'a Plan,
    network: Perceptron,
    optimizer: Pieces,
    /// Of gradient descent without momentum.
    descent: Option<Descent>,
    pub(crate) checks: RangeChecks,
    pub(crate) unreported: Unreported,
    /// Mini-batches of all epochs that are done.
    done: usize,
    /// Sum of the losses of the present epoch that are reported.
    loss_sum: f64,
    /// Mean loss of each epoch that is done.
    loss: Vec<f64>,
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

/// When gradient descent without momentum, whose steps are as large as gradients are, claims that the parameters are in range.
struct Descent {
    layers: Vec<Moving>,
}

/// How a layer's parameters move.
struct Moving {
    /// How far weights and biases move in a step, at most.
    step: [f64; 2],
    /// Steps until the next claim: so many that neither weights nor biases get too large before.
    period: usize,
    /// Steps since the last one.
    steps: usize,
}

/// What the loss of the rows that are not reported yet is made of.
#[derive(Clone, Default)]
pub(crate) struct Unreported {
    /// For classification.
    terms: LossTerms,
    /// For regression.
    residuals: Rep,
    pub(crate) rows: usize,
}

/// What the way there and back gives for some rows.
struct Pass {
    /// Sum over the rows.
    gradient: Additive,
    checks: RangeChecks,
    unreported: Unreported,
}

impl Descent {
    /// Sets the network's limits for the weights.
    fn new(plan: &Plan, network: &mut Perceptron) -> Self {
        // The step size is rounded by less than a factor of 2; the halvings of the loss are undone.
        let rate = 2.0 * plan.learning_rate * f64::from(loss_bits(plan)).exp2();
        let layers = (0..network.depth()).map(|layer| {
            let largest = network.largest_weight(layer);
            let decay = plan.learning_rate * plan.weight_decay * largest.max(WEIGHT_LIMIT);
            let step = [network.input_limit(layer), 1.0].map(|input| rate * input * DELTA_LIMIT + decay);
            let room = ((largest - WEIGHT_LIMIT) / step[0]).min((BIAS_LIMIT - CHECKED_BIAS_LIMIT) / step[1]);
            let period = room.clamp(1.0, CHECK_EVERY as f64) as usize;
            if period > 1 {
                network.limit_weights(layer, WEIGHT_LIMIT + period as f64 * step[0]);
            }
            Moving { step, period, steps: 0 }
        });
        Self { layers: layers.collect() }
    }

    /// Whether nothing has moved since the last claim.
    fn is_settled(&self) -> bool {
        self.layers.iter().all(|layer| layer.steps == 0)
    }

    /// The layers whose time has come after a step, or all that have moved; and the steps since their last claim.
    fn due(&mut self, all: bool) -> Vec<(usize, usize)> {
        let mut due = Vec::new();
        for (layer, moving) in self.layers.iter_mut().enumerate() {
            moving.steps += usize::from(!all);
            if moving.steps > 0 && (all || moving.steps == moving.period) {
                due.push((layer, std::mem::take(&mut moving.steps)));
            }
        }
        due
    }

    /// Claims it of these layers.
    fn claim(&self, due: &[(usize, usize)], network: &Perceptron, checks: &mut RangeChecks, party: Party) {
        for &(layer, steps) in due {
            let moved = self.layers[layer].step.map(|step| steps as f64 * step);
            network.claim_layer(layer, moved, checks, party);
        }
    }
}

/// Halvings of the loss, so that errors of targets up to `2^target_bits` stay in range.
fn loss_bits(plan: &Plan) -> i32 {
    match plan.task {
        Task::Classification => 0,
        Task::Regression => plan.target_bits as i32,
    }
}

impl Pass {
    /// The way there and back for some rows. The errors are multiplied by the factor.
    fn run(
        plan: &Plan,
        network: &Perceptron,
        factor: Factor,
        features: Rep,
        targets: Rep,
        session: &mut Session,
    ) -> Result<Self> {
        let rows = features.len() / plan.features();
        let mut checks = RangeChecks::default();
        let mut unreported = Unreported { rows, ..Unreported::default() };
        let trace = network.forward(features, rows, &mut checks, session)?;
        let delta =
            output_delta(plan, network, factor, &trace, targets, &mut checks, &mut unreported, session)?;
        let gradient = network.backward(trace, delta, &mut checks, session)?;
        Ok(Self { gradient, checks, unreported })
    }
}

impl Unreported {
    pub(crate) fn extend(&mut self, other: &Self) {
        self.terms.extend(&other.terms);
        self.residuals.extend(&other.residuals);
        self.rows += other.rows;
    }
}

/// Derivative of the loss with respect to the outputs, times the factor and `2^-target_bits`.
#[expect(clippy::too_many_arguments, reason = "what goes in, and where its claims and its loss go")]
fn output_delta(
    plan: &Plan,
    network: &Perceptron,
    factor: Factor,
    Trace { outputs, .. }: &Trace,
    targets: Rep,
    checks: &mut RangeChecks,
    unreported: &mut Unreported,
    session: &mut Session,
) -> Result<Rep> {
    let frac = network.activation_frac();
    match plan.task {
        Task::Classification => {
            session.enter("soft-max");
            let soft_max = soft_max_as(
                Form { factor, frac: DELTA_FRAC },
                outputs,
                unreported.rows,
                network.outputs(),
                frac,
                ACTIVATION_BITS,
                session,
            )?;
            let (mut delta, terms) = soft_max.into_loss_terms(outputs, &targets);
            unreported.terms.extend(&terms);
            let mut one_hot = targets;
            one_hot.scale(factor.numerator() << (DELTA_FRAC - factor.bits()));
            delta.sub_assign(&one_hot);
            Ok(delta)
        }
        Task::Regression => {
            let mut delta = outputs.clone();
            delta.sub_assign(&targets);
            unreported.residuals.extend(&delta);
            let (up, down) = (DELTA_FRAC - frac, plan.target_bits + factor.bits());
            delta.scale(factor.numerator() << up.saturating_sub(down));
            if down > up {
                session.enter("truncation");
                delta = truncate_shared(&delta, down - up, session)?;
            }
            let prior = DELTA_FRAC + ACTIVATION_BITS + 1;
            checks.claim("the error of the output layer", &delta, DELTA_BOUND, prior, session.party());
            Ok(delta)
        }
    }
}

/// Rows that are worth a lane of their own.
const LEAST_ROWS: usize = 128;

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
    fn restore(&mut self, checkpoint: Checkpoint, batches: usize, lanes: &mut Lanes) -> Result<()> {
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
    fn checkpoint(&self, checkpoints: &mut dyn Checkpoints, wanted: bool, lanes: &mut Lanes) -> Result<()> {
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
