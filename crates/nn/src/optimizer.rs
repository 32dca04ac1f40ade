//! Adam and gradient descent on shared parameters, all layers as one vector.
//!
//! The moments are kept as sums with growing public weights, `M = sum of d_s g_s` with `d_s` proportional to
//! `decay^-s`: a decay step then costs nothing, and the bias correction is the division by the sum of the weights.
//! Now and then the sum is truncated and the weights start anew.
//!
//! Each parameter is on its own: the vector is cut in contiguous pieces, one for each lane of the party.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use shamisen_mpc::lanes::{Lanes, pieces};
use shamisen_mpc::protocol::leading_digit::{DigitWindow, look_up_leading_digit};
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::split::{Split, open_split};
use shamisen_mpc::protocol::truncate::{
    RANGE_BITS, Shift, truncate_in_pieces, truncate_shared, truncate_twice,
};
use shamisen_mpc::{Additive, Rep, RepMut, Session};
use shamisen_net::Party;

use crate::checkpoint::{Shares, push_rep, unfit};
use crate::error::{NnError, Result};
use crate::formats::{GRADIENT_BOUND, GRADIENT_FRAC, WEIGHT_FRAC, gradient_prior, roughness};
use crate::perceptron::Perceptron;
use crate::plan::{Optimizer, Plan};

/// The published `epsilon` of Adam.
const EPSILON: f64 = 1e-8;
/// Adam's preconditioner is fresh in each of this many first steps, whatever `refresh` says.
const WARM_UP: u32 = 10;

/// Digits of the window in which the second moment's leading one is sought: the least root mean square gradient that it
/// tells from none is `2^-14` of the greatest that passes the range check.
const WINDOW_DIGITS: u32 = 7;
/// The root mean square gradient that passes the range check is `2^1`.
const MAX_ROOT_BITS: u32 = 1;
/// Low bits of the weighted squares that are not kept: they lie below the window from the first step on. Where weights start
/// lower, fewer.
const SQUARE_DROP: u32 = 17;
/// Significant bits of the factor that brings an older table up to date.
const RATIO_BITS: u32 = 5;
/// Significant bits of the smallest entry of the preconditioner's table; where the gradient is not near its greatest, entries
/// have several more.
const SMALLEST_ENTRY_BITS: i32 = 3;
/// With an older table a gradient need not be checked if it is below two to this power, which leaves room for its product with the
/// table: it counts in the first moment alone. Entries then have a bit less.
const TOLERATED_BITS: u32 = GRADIENT_BOUND + 5;

/// How the public weights of a moment's terms grow: they start at two to `base` and are kept below two to `base + span`.
#[derive(Clone, Copy)]
struct Growth {
    base: f64,
    span: f64,
}

/// Of Adam's first moment: so small that its product with the preconditioner stays in range, also with an older one.
const FIRST: Growth = Growth { base: 4.0, span: 2.0 };
/// Of Adam's second moment. The terms of rarer updates weigh more, up to `2^7` times the square.
const SECOND: Growth = Growth { base: 6.0, span: 1.0 };
/// Of the velocity of gradient descent.
const VELOCITY: Growth = Growth { base: 8.0, span: 8.0 };

/// The optimiser with its state, in one piece or several.
pub(crate) struct Pieces(Vec<State>);

/// The optimiser's state for a contiguous part of the parameters.
struct State {
    /// The part.
    parameters: Range<usize>,
    /// Where in it gradients are known to be below two to which power.
    priors: Vec<(Range<usize>, u32)>,
    rule: Rule,
    /// Updates since the last check are below two to this power.
    update_bits: u32,
}

enum Rule {
    Adam(Box<Adam>),
    /// Gradient descent with momentum.
    Momentum(Moment),
    /// Gradient descent without.
    Descent,
}

struct Adam {
    first: Moment,
    second: SecondMoment,
    beta2: f64,
    refresh: u32,
    step: u32,
    /// What is public about the table values.
    table: Option<TableState>,
    /// A table value for each parameter.
    preconditioner: Rep,
}

/// The public part of a piece's state, as a checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum PieceState {
    Adam { step: u32, first: Weights, second: Weights, table: Option<TableState> },
    Momentum { velocity: Weights },
    Descent {},
}

/// How far the public weights of a sum have grown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weights {
    exponent: f64,
    sum: f64,
}

/// What the table values of Adam's preconditioner must be multiplied with in later steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableState {
    /// The step in which they were made.
    step: u32,
    shift: u32,
    /// They are below two to this power.
    entry_bits: u32,
    /// Sum of the first moment's weights when they were made.
    weight_sum: f64,
}

/// What is public about a step of a piece, and decided before it. All that it costs follows from it.
pub(crate) struct Step {
    decided: Decided,
    /// Bits that the update's truncation drops.
    shift: u32,
    /// Gradients below two to this power need no check.
    tolerated_bits: u32,
}

enum Decided {
    Adam { first: Term, table: TableUse },
    Momentum { velocity: Term, factor: u64 },
    Descent,
}

/// How a sum takes in a vector.
#[derive(Clone, Copy)]
struct Term {
    /// The sum starts anew.
    anew: bool,
    /// Low bits that the sum gives up before.
    drop: u32,
    /// The weight of the vector.
    weight: u64,
}

/// What a step of Adam multiplies its first moment with.
enum TableUse {
    /// New table values, after the second moment has taken in the square.
    New { second: Term, window: DigitWindow, table: Vec<u64> },
    /// The older ones, after the first moment has given up low bits, times a factor.
    Old { drop: u32, factor: u64 },
}

/// Steps of one kind cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StepKind {
    drops: [u32; 2],
    is_fresh: bool,
    shift: u32,
    tolerated_bits: u32,
}

impl Step {
    /// What two steps that cost the same have in common.
    pub(crate) fn kind(&self) -> StepKind {
        let (drops, is_fresh) = match &self.decided {
            Decided::Adam { first, table: TableUse::New { second, .. } } => ([first.drop, second.drop], true),
            Decided::Adam { first, table: TableUse::Old { drop, .. } } => ([first.drop, *drop], false),
            Decided::Momentum { velocity, .. } => ([velocity.drop, 0], false),
            Decided::Descent => ([0, 0], false),
        };
        StepKind { drops, is_fresh, shift: self.shift, tolerated_bits: self.tolerated_bits }
    }
}

/// A gradient as the way back gives it, and its scale.
pub(crate) struct Gradient {
    /// Sum over the rows.
    pub(crate) sum: Additive,
    /// Bits to drop for the mean gradient with [`GRADIENT_FRAC`] fractional bits, or for the update of a rule that
    /// [moves freely](Pieces::moves_freely) with [`WEIGHT_FRAC`].
    pub(crate) shift: u32,
}

impl Pieces {
    /// The state before the first step, for at most so many lanes.
    pub(crate) fn new(plan: &Plan, network: &Perceptron, lanes: usize) -> Self {
        let state = |piece: Range<usize>| {
            let priors = network.inputs().filter_map(|(range, inputs)| {
                let (start, end) = (range.start.max(piece.start), range.end.min(piece.end));
                let prior = gradient_prior(inputs, plan.weight_decay);
                (start < end).then(|| (start - piece.start..end - piece.start, prior))
            });
            State::new(plan.optimizer, piece.clone(), priors.collect())
        };
        Self(pieces(plan.parameters(), lanes).into_iter().map(state).collect())
    }

    /// Moves what is public a step on, for mean gradients that are those of the loss times `nominal`: gives the step of each piece.
    pub(crate) fn decide(&mut self, learning_rate: f64, nominal: f64) -> Vec<Step> {
        self.0.iter_mut().map(|state| state.decide(learning_rate, nominal)).collect()
    }

    /// Updates the parameters in a step that was decided.
    pub(crate) fn step(
        &mut self,
        steps: &[Step],
        gradient: Gradient,
        parameters: &mut Rep,
        checks: &mut RangeChecks,
        lanes: &mut Lanes,
    ) -> Result<()> {
        let runs = parameters.runs_mut(self.0.iter().map(|state| state.parameters.len()));
        let mut work: Vec<_> = self.0.iter_mut().zip(steps).zip(runs).collect();
        if work.len() == 1
            && let Some(((all, step), parameters)) = work.pop()
        {
            return all.step(step, gradient, parameters, checks, lanes.main());
        }
        let claims = lanes.each(work, |((state, step), parameters), session| {
            let mut checks = RangeChecks::default();
            let piece = Gradient { sum: gradient.sum.slice(state.parameters.clone()), ..gradient };
            state.step(step, piece, parameters, &mut checks, session)?;
            Ok::<_, NnError>(checks)
        })?;
        for claims in claims {
            checks.absorb(claims);
        }
        Ok(())
    }

    /// The state as a checkpoint keeps it: its public part, and the shares, which are appended. Nothing waits to be claimed.
    pub(crate) fn save<'a>(&'a self, shares: &mut Vec<&'a [u64]>) -> Vec<PieceState> {
        self.0.iter().map(|state| state.save(shares)).collect()
    }

    /// Takes over the state of a checkpoint.
    pub(crate) fn restore(&mut self, pieces: &[PieceState], shares: &mut Shares) -> Result<()> {
        if pieces.len() != self.0.len() {
            return Err(unfit());
        }
        self.0.iter_mut().zip(pieces).try_for_each(|(state, kept)| state.restore(kept, shares))
    }

    /// Whether updates are gradients times the learning rate, as large as these may be.
    ///
    /// The gradients themselves are then neither kept nor checked; the parameters must be, after each step.
    pub(crate) fn moves_freely(&self) -> bool {
        self.0.iter().all(|state| matches!(state.rule, Rule::Descent))
    }

    /// A power of two below which every update since the last check stayed.
    pub(crate) fn update_bits(&mut self) -> u32 {
        self.0.iter_mut().map(|state| std::mem::take(&mut state.update_bits)).fold(0, u32::max)
    }

    /// The lowest places of the second moments' windows since the last check, of each piece.
    pub(crate) fn lowest_windows(&mut self) -> Vec<Option<u32>> {
        self.0.iter_mut().map(State::lowest_window).collect()
    }

    /// Claims that the second moments stayed inside these windows since the last check.
    pub(crate) fn claim_moments(&self, windows: &[Option<u32>], checks: &mut RangeChecks, party: Party) {
        for (state, window) in self.0.iter().zip(windows) {
            state.claim_moment(*window, checks, party);
        }
    }
}

impl State {
    fn new(optimizer: Optimizer, parameters: Range<usize>, priors: Vec<(Range<usize>, u32)>) -> Self {
        let len = parameters.len();
        let rule = match optimizer {
            Optimizer::Adam { beta1, beta2, refresh } => Rule::Adam(Box::new(Adam {
                first: Moment::new(beta1, FIRST, len),
                second: SecondMoment::new(beta2, refresh, len),
                beta2,
                refresh,
                step: 0,
                table: None,
                preconditioner: Rep::default(),
            })),
            Optimizer::Sgd { momentum: 0.0 } => Rule::Descent,
            Optimizer::Sgd { momentum } => Rule::Momentum(Moment::new(momentum, VELOCITY, len)),
        };
        Self { parameters, priors, rule, update_bits: 0 }
    }

    fn save<'a>(&'a self, shares: &mut Vec<&'a [u64]>) -> PieceState {
        debug_assert_eq!(self.update_bits, 0, "a checkpoint follows a report");
        match &self.rule {
            Rule::Adam(adam) => {
                debug_assert!(adam.second.unchecked_low.is_none(), "a checkpoint follows a report");
                push_rep(shares, &adam.first.sum);
                shares.push(adam.second.sum.words());
                if adam.table.is_some() {
                    push_rep(shares, &adam.preconditioner);
                }
                PieceState::Adam {
                    step: adam.step,
                    first: adam.first.decay.weights(),
                    second: adam.second.decay.weights(),
                    table: adam.table,
                }
            }
            Rule::Momentum(velocity) => {
                push_rep(shares, &velocity.sum);
                PieceState::Momentum { velocity: velocity.decay.weights() }
            }
            Rule::Descent => PieceState::Descent {},
        }
    }

    fn restore(&mut self, kept: &PieceState, shares: &mut Shares) -> Result<()> {
        let len = self.parameters.len();
        match (&mut self.rule, *kept) {
            (Rule::Adam(adam), PieceState::Adam { step, first, second, table }) => {
                adam.step = step;
                adam.first.sum = shares.rep(len)?;
                adam.first.decay.set(first);
                adam.second.sum = shares.split(len)?;
                adam.second.decay.set(second);
                adam.table = table;
                if table.is_some() {
                    adam.preconditioner = shares.rep(len)?;
                }
            }
            (Rule::Momentum(moment), PieceState::Momentum { velocity }) => {
                moment.sum = shares.rep(len)?;
                moment.decay.set(velocity);
            }
            (Rule::Descent, PieceState::Descent {}) => {}
            _ => return Err(unfit()),
        }
        Ok(())
    }

    /// Moves what is public a step on.
    fn decide(&mut self, learning_rate: f64, nominal: f64) -> Step {
        let tolerated_bits = self.rule.tolerated_bits();
        let (decided, shift) = match &mut self.rule {
            Rule::Adam(adam) => adam.decide(learning_rate, nominal),
            Rule::Momentum(velocity) => velocity.decide(learning_rate, nominal),
            Rule::Descent => return Step { decided: Decided::Descent, shift: 0, tolerated_bits },
        };
        self.update_bits = self.update_bits.max(RANGE_BITS - shift + 1);
        Step { decided, shift, tolerated_bits }
    }

    /// Updates the parameters of this part.
    fn step(
        &mut self,
        step: &Step,
        gradient: Gradient,
        mut parameters: RepMut<'_>,
        checks: &mut RangeChecks,
        session: &mut Session,
    ) -> Result<()> {
        let values = match (&mut self.rule, &step.decided) {
            (Rule::Adam(adam), Decided::Adam { first, table }) => {
                adam.step(gradient, *first, table, step.shift, parameters, session)?
            }
            (Rule::Momentum(moment), Decided::Momentum { velocity, factor }) => {
                moment.step(gradient, *velocity, *factor, step.shift, &mut parameters, session)?
            }
            (Rule::Descent, Decided::Descent) => {
                session.enter("truncation");
                let Gradient { sum, shift } = gradient;
                truncate_in_pieces(
                    sum,
                    rough(shift),
                    |_, _| (),
                    |elements, update| parameters.sub_in(elements, update),
                    session,
                )?;
                session.enter("optimizer");
                return Ok(());
            }
            _ => unreachable!("a rule decides its own steps"),
        };
        for (range, prior) in self.priors.iter().filter(|(_, prior)| *prior > step.tolerated_bits) {
            checks.claim_part("a gradient", &values, range.clone(), GRADIENT_BOUND, *prior, session.party());
        }
        Ok(())
    }

    fn lowest_window(&mut self) -> Option<u32> {
        match &mut self.rule {
            Rule::Adam(adam) => adam.second.unchecked_low.take(),
            Rule::Momentum(_) | Rule::Descent => None,
        }
    }

    /// Claims that the second moment stayed inside this window since the last check.
    fn claim_moment(&self, low: Option<u32>, checks: &mut RangeChecks, party: Party) {
        if let (Rule::Adam(adam), Some(low)) = (&self.rule, low) {
            let (sum, bound) = adam.second.claim(low, party);
            checks.claim_split("the mean square of a gradient", &sum, bound, RANGE_BITS, party);
        }
    }
}

impl Rule {
    /// Gradients below two to this power need no check in the next step.
    fn tolerated_bits(&self) -> u32 {
        match self {
            Self::Adam(adam) if !adam.is_fresh(adam.step + 1) => TOLERATED_BITS,
            _ => 0,
        }
    }
}

impl Adam {
    /// Whether a step takes the square of its gradient and reads a new table value.
    fn is_fresh(&self, step: u32) -> bool {
        step <= WARM_UP || step.is_multiple_of(self.refresh)
    }

    /// A gradient is below two to this power.
    fn gradient_bits(&self) -> u32 {
        if self.refresh > 1 { TOLERATED_BITS } else { GRADIENT_BOUND + 1 }
    }

    /// Moves what is public a step on. Returns what was decided, and the bits that the update's truncation drops.
    fn decide(&mut self, learning_rate: f64, nominal: f64) -> (Decided, u32) {
        self.step += 1;
        let first = self.first.decay.term(1, 1.0);
        match self.table {
            Some(older) if !self.is_fresh(self.step) => {
                let (table, shift) = self.old_table(older);
                (Decided::Adam { first, table }, shift)
            }
            older => {
                let elapsed = self.step - older.map_or(0, |older| older.step);
                // What the squares between would have weighed all together.
                let share = (1.0 - self.beta2.powi(elapsed as i32)) / (1.0 - self.beta2);
                let second = self.second.term(elapsed, share);
                let window = self.second.window();
                let (table, state) = self.new_table(window, nominal, learning_rate);
                self.table = Some(state);
                (Decided::Adam { first, table: TableUse::New { second, window, table } }, state.shift)
            }
        }
    }

    /// Kingma and Ba (ICLR 2015), algorithm 1.
    ///
    /// With `M = sum of d_s g_s` and `V = sum of c_s g_s^2`, `m_hat = M / sum of d_s` and `v_hat = V / sum of c_s`.
    /// `1 / (sqrt(v_hat) + epsilon)` comes from a table over the leading digit of `V`, all public factors included, so that
    /// one product and one truncation give the update.
    ///
    /// After the first steps `V` takes in a square, and a new table value is read, in every `refresh`-th step alone.
    /// Returns the mean gradient.
    fn step(
        &mut self,
        gradient: Gradient,
        first: Term,
        table: &TableUse,
        shift: u32,
        parameters: RepMut<'_>,
        session: &mut Session,
    ) -> Result<Rep> {
        session.enter("optimizer");
        self.first.make_room(first, session)?;
        match table {
            TableUse::New { second, window, table } => {
                self.fresh_step(gradient, first.weight, *second, (*window, table), shift, parameters, session)
            }
            TableUse::Old { drop, factor } => {
                self.step_with_older(gradient, first.weight, (*drop, *factor), shift, parameters, session)
            }
        }
    }

    /// A step that reads new table values; the gradient comes into the first moment with a weight.
    #[expect(clippy::too_many_arguments, reason = "what was decided, and what it is done to")]
    fn fresh_step(
        &mut self,
        gradient: Gradient,
        weight: u64,
        second: Term,
        (window, table): (DigitWindow, &[u64]),
        update_shift: u32,
        mut parameters: RepMut<'_>,
        session: &mut Session,
    ) -> Result<Rep> {
        self.second.make_room(second, session)?;
        session.enter("truncation");
        let Gradient { sum, shift } = gradient;
        let mut squares = Additive::unwritten(sum.len());
        let values = truncate_in_pieces(
            sum,
            rough(shift),
            |_, _| (),
            |elements, values| {
                self.first.sum.add_scaled_in(elements.clone(), values, weight);
                squares.set_product(elements, values, values, second.weight);
            },
            session,
        )?;
        session.enter("optimizer");
        self.second.add(squares, session);
        self.preconditioner =
            look_up_leading_digit(&mut self.second.sum, window, &[table], session)?.swap_remove(0);
        truncate_in_pieces(
            Additive::unwritten(values.len()),
            rough(update_shift),
            |elements, update| update.set_product(elements, &self.first.sum, &self.preconditioner, 1),
            |elements, update| parameters.sub_in(elements, update),
            session,
        )?;
        Ok(values)
    }

    /// A step with older table values: the first moment gives up low bits, and the product is multiplied with a factor. The gradient
    /// comes into the first moment with a weight.
    fn step_with_older(
        &mut self,
        gradient: Gradient,
        weight: u64,
        (drop, factor): (u32, u64),
        update_shift: u32,
        mut parameters: RepMut<'_>,
        session: &mut Session,
    ) -> Result<Rep> {
        let Gradient { sum, shift } = gradient;
        let mut done = |elements: Range<usize>, update: &Rep| parameters.sub_in(elements, update);
        let (first, older) = (&mut self.first.sum, &self.preconditioner);
        if drop == 0 {
            let between = |elements: Range<usize>, values: &Rep, update: &mut Additive| {
                first.add_scaled_in(elements.clone(), values, weight);
                update.set_product(elements, first, older, factor);
            };
            return Ok(truncate_twice(sum, [rough(shift), rough(update_shift)], between, done, session)?.0);
        }
        let mut take = |elements: Range<usize>, values: &Rep| first.add_scaled_in(elements, values, weight);
        let values = truncate_in_pieces(sum, rough(shift), |_, _| (), &mut take, session)?;
        let shorter = truncate_shared(first, drop, session)?;
        truncate_in_pieces(
            Additive::unwritten(values.len()),
            rough(update_shift),
            |elements, update| update.set_product(elements, &shorter, older, factor),
            &mut done,
            session,
        )?;
        Ok(values)
    }

    /// How older table values are used, and the bits that the update's truncation drops.
    fn old_table(&self, older: TableState) -> (TableUse, u32) {
        // The table does not bound the product by the second moment: a gradient may have grown since. What bounds it is the
        // greatest entry and the greatest gradient; where that is too much, the sum gives up low bits first.
        let weight_sum = self.first.decay.weight_sum;
        let sum_bits = self.gradient_bits() + weight_sum.log2().ceil() as u32;
        let drop = (sum_bits + older.entry_bits + RATIO_BITS).saturating_sub(RANGE_BITS - 1);
        // The weights have grown since.
        let ratio = older.weight_sum / weight_sum;
        let places = RATIO_BITS as i32 - 1 - ratio.log2().floor() as i32;
        let factor = (ratio * 2.0_f64.powi(places)).round() as u64;
        let shift = (older.shift as i32 + places - drop as i32) as u32;
        (TableUse::Old { drop, factor }, shift)
    }

    /// A table over the leading digit of the second moment in this window, and what later steps must know of it.
    fn new_table(&self, window: DigitWindow, nominal: f64, learning_rate: f64) -> (Vec<u64>, TableState) {
        let unit = f64::from(1 << GRADIENT_FRAC) * nominal;
        let weight_sum = self.first.decay.weight_sum;
        // The update in units of the weights' last place, for M = 1 and what is kept of V.
        let update = |x: f64| {
            let mean_square = x * f64::from(1 << self.second.drop) / self.second.decay.weight_sum;
            let root = mean_square.sqrt() / unit + EPSILON;
            learning_rate * f64::from(1 << WEIGHT_FRAC) / (weight_sum * unit * root)
        };
        let smallest = update(2.0_f64.powi(window.bits() as i32));
        let entry_bits = SMALLEST_ENTRY_BITS - i32::from(self.refresh > 1);
        let shift = (entry_bits - smallest.log2().floor() as i32) as u32;
        let table = window.table(|x| (update(x) * 2.0_f64.powi(shift as i32)).round() as u64);
        let entry_bits = table.iter().copied().max().map_or(0, |greatest| greatest.ilog2() + 1);
        (table, TableState { step: self.step, shift, entry_bits, weight_sum })
    }
}

/// A truncation of values whose last place matters little.
fn rough(bits: u32) -> Shift {
    Shift { bits, low: roughness(bits) }
}

/// Public weights proportional to `decay^-s` for the terms of a sum, so that the sum decays without being touched.
struct Decay {
    /// What a term keeps of its weight in a step.
    rate: f64,
    growth: Growth,
    /// Logarithm of the current weight, above the base.
    exponent: f64,
    weight_sum: f64,
}

impl Decay {
    fn new(rate: f64, growth: Growth) -> Self {
        Self { rate, growth, exponent: 0.0, weight_sum: 0.0 }
    }

    fn weights(&self) -> Weights {
        Weights { exponent: self.exponent, sum: self.weight_sum }
    }

    fn set(&mut self, weights: Weights) {
        (self.exponent, self.weight_sum) = (weights.exponent, weights.sum);
    }

    /// Some steps of decay. Returns the bits that the sum must give up, so that the weights can start anew.
    fn pass(&mut self, steps: u32) -> u32 {
        if self.weight_sum == 0.0 {
            return 0;
        }
        self.exponent -= f64::from(steps) * self.rate.log2();
        if self.exponent < self.growth.span {
            return 0;
        }
        let bits = self.exponent.floor() as u32;
        self.exponent -= f64::from(bits);
        self.weight_sum /= 2.0_f64.powi(bits as i32);
        bits
    }

    /// The current weight of a term that stands for several.
    fn weight(&self, share: f64) -> u64 {
        (2.0_f64.powf(self.growth.base + self.exponent) * share).round() as u64
    }

    /// How the sum takes in a vector that stands for several, after some steps of decay.
    fn term(&mut self, steps: u32, share: f64) -> Term {
        let anew = self.rate == 0.0;
        let drop = if anew { 0 } else { self.pass(steps) };
        let weight = self.weight(share);
        self.weight_sum = if anew { 0.0 } else { self.weight_sum } + weight as f64;
        Term { anew, drop, weight }
    }
}

/// A decaying sum of vectors, `sum of d_s x_s`.
struct Moment {
    sum: Rep,
    decay: Decay,
}

impl Moment {
    fn new(decay: f64, growth: Growth, len: usize) -> Self {
        Self { sum: Rep::zeros(len), decay: Decay::new(decay, growth) }
    }

    /// Moves what is public a step of gradient descent on, with this as the velocity.
    fn decide(&mut self, learning_rate: f64, nominal: f64) -> (Decided, u32) {
        let velocity = self.decay.term(1, 1.0);
        let factor = learning_rate * f64::from(1 << (WEIGHT_FRAC - GRADIENT_FRAC))
            / (nominal * self.decay.weight(1.0) as f64);
        // 2^14 at most, times a velocity below 2^(25 + 16) / (1 - 0.99), stays in range.
        let shift = 13 - factor.log2().floor() as i32;
        let shift = shift.clamp(1, 60) as u32;
        let factor = (factor * 2.0_f64.powi(shift as i32)).round() as u64;
        (Decided::Momentum { velocity, factor }, shift)
    }

    /// Makes room for the next vector.
    fn make_room(&mut self, term: Term, session: &mut Session) -> Result<()> {
        if term.anew {
            self.sum = Rep::zeros(self.sum.len());
        } else if term.drop > 0 {
            self.sum = truncate_shared(&self.sum, term.drop, session)?;
        }
        Ok(())
    }

    /// A step of gradient descent with this as the velocity. Returns the mean gradient.
    fn step(
        &mut self,
        gradient: Gradient,
        velocity: Term,
        factor: u64,
        update_shift: u32,
        parameters: &mut RepMut<'_>,
        session: &mut Session,
    ) -> Result<Rep> {
        session.enter("optimizer");
        self.make_room(velocity, session)?;
        session.enter("truncation");
        let Gradient { sum, shift } = gradient;
        let take =
            |elements: Range<usize>, values: &Rep| self.sum.add_scaled_in(elements, values, velocity.weight);
        let values = truncate_in_pieces(sum, rough(shift), |_, _| (), take, session)?;
        session.enter("optimizer");
        let mut update = self.sum.clone();
        update.scale(factor);
        let update = truncate_shared(&update, update_shift, session)?;
        parameters.sub_in(0..update.len(), &update);
        Ok(values)
    }
}

/// A decaying sum of squares `sum of c_s g_s^2`, without its lowest bits, in two components.
///
/// The bits of a word above those that are kept are arbitrary. A term may be counted up to two units too high.
struct SecondMoment {
    sum: Split,
    decay: Decay,
    /// Low bits that are not kept.
    drop: u32,
    /// The window's place at the first step after the last check.
    unchecked_low: Option<u32>,
}

impl SecondMoment {
    fn new(decay: f64, refresh: u32, len: usize) -> Self {
        // A term of a rare update weighs up to `refresh` times as much: all start lower by that.
        let share = (1.0 - decay.powi(refresh as i32)) / (1.0 - decay);
        let lower = share.log2().min(SECOND.base);
        let growth = Growth { base: SECOND.base - lower, ..SECOND };
        let drop = SQUARE_DROP - lower.ceil() as u32;
        Self { sum: Split::zeros(len), decay: Decay::new(decay, growth), drop, unchecked_low: None }
    }

    /// How squares with the weight of `share` terms come in, after some steps of decay.
    fn term(&mut self, elapsed: u32, share: f64) -> Term {
        let term = self.decay.term(elapsed, share);
        let low = self.window().low;
        self.unchecked_low = Some(self.unchecked_low.map_or(low, |first| first.min(low)));
        term
    }

    /// Makes room for the next squares.
    fn make_room(&mut self, term: Term, session: &mut Session) -> Result<()> {
        if term.drop > 0 {
            // Shifted up the sum is exact.
            let mut sum = self.sum.replicated(session)?;
            sum.scale(1 << self.drop);
            self.sum = Split::of(&truncate_shared(&sum, self.drop + term.drop, session)?, session.party());
        }
        Ok(())
    }

    /// The weighted squares come in. The sum is open until it is looked at.
    fn add(&mut self, squares: Additive, session: &mut Session) {
        let squares = open_split(squares, self.drop, 64 - self.drop, session);
        self.sum.add_open(&squares, session.party());
    }

    /// The window's top is the square of the largest root mean square, its place follows the sum of the weights.
    fn window(&self) -> DigitWindow {
        let top = self.decay.weight_sum.log2().ceil() as u32 + 2 * (GRADIENT_FRAC + MAX_ROOT_BITS) + 1;
        let window = DigitWindow { low: 0, digits: WINDOW_DIGITS };
        DigitWindow { low: (top - self.drop).saturating_sub(window.bits()), ..window }
    }

    /// The sum and the bound of the claim that it stayed inside its window since the last check, when the window's lowest place was
    /// `low`.
    ///
    /// Every sum below half of the window passes, less the unit that [`leading_digit`] may add. It is not negative, so half
    /// of that is taken off to make the most of a check that is symmetric.
    fn claim(&self, low: u32, party: Party) -> (Split, u32) {
        let bound = self.drop + DigitWindow { low, digits: WINDOW_DIGITS }.bits() - 1;
        let mut sum = self.sum.clone();
        sum.scale(1 << self.drop);
        sum.add_constant((1_u64 << (self.drop + low)).wrapping_sub(1 << (bound - 1)), party);
        (sum, bound)
    }
}
