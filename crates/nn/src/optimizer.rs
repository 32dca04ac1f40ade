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
    preconditioner: Option<Preconditioner>,
}

/// A table value for each parameter, and what it must be multiplied with in later steps.
struct Preconditioner {
    values: Rep,
    /// The step in which it was made.
    step: u32,
    shift: u32,
    /// Entries are below two to this power.
    entry_bits: u32,
    /// Sum of the first moment's weights when it was made.
    weight_sum: f64,
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

/// The public part of a [`Preconditioner`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableState {
    step: u32,
    shift: u32,
    entry_bits: u32,
    weight_sum: f64,
}

/// A gradient as the way back gives it, and its scale.
pub(crate) struct Gradient {
    /// Sum over the rows.
    pub(crate) sum: Additive,
    /// Bits to drop for the mean gradient with [`GRADIENT_FRAC`] fractional bits, or for the update of a rule that
    /// [moves freely](Pieces::moves_freely) with [`WEIGHT_FRAC`].
    pub(crate) shift: u32,
    /// The mean gradient is that of the loss times this.
    pub(crate) nominal: f64,
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

    /// Updates the parameters.
    pub(crate) fn step(
        &mut self,
        gradient: Gradient,
        learning_rate: f64,
        parameters: &mut Rep,
        checks: &mut RangeChecks,
        lanes: &mut Lanes,
    ) -> Result<()> {
        let runs = parameters.runs_mut(self.0.iter().map(|state| state.parameters.len()));
        let mut work: Vec<_> = self.0.iter_mut().zip(runs).collect();
        if work.len() == 1
            && let Some((all, parameters)) = work.pop()
        {
            return all.step(gradient, learning_rate, parameters, checks, lanes.main());
        }
        let claims = lanes.each(work, |(state, parameters), session| {
            let mut checks = RangeChecks::default();
            let piece = Gradient { sum: gradient.sum.slice(state.parameters.clone()), ..gradient };
            state.step(piece, learning_rate, parameters, &mut checks, session)?;
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

    /// Claims that the second moments stayed inside their windows since the last check.
    pub(crate) fn claim_moments(&mut self, checks: &mut RangeChecks, party: Party) {
        self.0.iter_mut().for_each(|state| state.claim_moments(checks, party));
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
                preconditioner: None,
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
                let table = adam.preconditioner.as_ref().map(|table| {
                    push_rep(shares, &table.values);
                    let Preconditioner { step, shift, entry_bits, weight_sum, .. } = *table;
                    TableState { step, shift, entry_bits, weight_sum }
                });
                PieceState::Adam {
                    step: adam.step,
                    first: adam.first.decay.weights(),
                    second: adam.second.decay.weights(),
                    table,
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
                adam.preconditioner = table
                    .map(|TableState { step, shift, entry_bits, weight_sum }| {
                        let values = shares.rep(len)?;
                        Ok::<_, NnError>(Preconditioner { values, step, shift, entry_bits, weight_sum })
                    })
                    .transpose()?;
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

    /// Updates the parameters of this part.
    fn step(
        &mut self,
        gradient: Gradient,
        learning_rate: f64,
        mut parameters: RepMut<'_>,
        checks: &mut RangeChecks,
        session: &mut Session,
    ) -> Result<()> {
        let tolerated = self.rule.tolerated_bits();
        let (values, shift) = match &mut self.rule {
            Rule::Adam(adam) => adam.step(gradient, learning_rate, parameters, session)?,
            Rule::Momentum(velocity) => velocity.step(gradient, learning_rate, &mut parameters, session)?,
            Rule::Descent => {
                session.enter("truncation");
                let Gradient { sum, shift, .. } = gradient;
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
        };
        for (range, prior) in self.priors.iter().filter(|(_, prior)| *prior > tolerated) {
            checks.claim_part("a gradient", &values, range.clone(), GRADIENT_BOUND, *prior, session.party());
        }
        self.update_bits = self.update_bits.max(RANGE_BITS - shift + 1);
        Ok(())
    }

    /// Claims that the second moment stayed inside its window since the last check.
    fn claim_moments(&mut self, checks: &mut RangeChecks, party: Party) {
        if let Rule::Adam(adam) = &mut self.rule
            && let Some((sum, bound)) = adam.second.unchecked(party)
        {
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

    /// Kingma and Ba (ICLR 2015), algorithm 1.
    ///
    /// With `M = sum of d_s g_s` and `V = sum of c_s g_s^2`, `m_hat = M / sum of d_s` and `v_hat = V / sum of c_s`.
    /// `1 / (sqrt(v_hat) + epsilon)` comes from a table over the leading digit of `V`, all public factors included, so that
    /// one product and one truncation give the update.
    ///
    /// After the first steps `V` takes in a square, and a new table value is read, in every `refresh`-th step alone.
    /// Returns the mean gradient and the bits that the update's truncation dropped.
    fn step(
        &mut self,
        gradient: Gradient,
        learning_rate: f64,
        parameters: RepMut<'_>,
        session: &mut Session,
    ) -> Result<(Rep, u32)> {
        session.enter("optimizer");
        self.step += 1;
        let weight = self.first.pass(session)?;
        match self.preconditioner.take() {
            Some(older) if !self.is_fresh(self.step) => {
                self.step_with(older, gradient, weight, parameters, session)
            }
            older => {
                let elapsed = self.step - older.map_or(0, |older| older.step);
                self.fresh_step(gradient, elapsed, learning_rate, weight, parameters, session)
            }
        }
    }

    /// A step that makes a new table, so many after the last one; the gradient comes into the first moment with a weight.
    fn fresh_step(
        &mut self,
        gradient: Gradient,
        elapsed: u32,
        learning_rate: f64,
        weight: u64,
        mut parameters: RepMut<'_>,
        session: &mut Session,
    ) -> Result<(Rep, u32)> {
        // What the squares between would have weighed all together.
        let share = (1.0 - self.beta2.powi(elapsed as i32)) / (1.0 - self.beta2);
        let square_weight = self.second.pass(elapsed, share, session)?;
        session.enter("truncation");
        let Gradient { sum, shift, nominal } = gradient;
        let mut squares = Additive::unwritten(sum.len());
        let values = truncate_in_pieces(
            sum,
            rough(shift),
            |_, _| (),
            |elements, values| {
                self.first.sum.add_scaled_in(elements.clone(), values, weight);
                squares.set_product(elements, values, values, square_weight);
            },
            session,
        )?;
        session.enter("optimizer");
        self.second.add(squares, session);
        let fresh = self.preconditioner(nominal, learning_rate, session)?;
        truncate_in_pieces(
            Additive::unwritten(values.len()),
            rough(fresh.shift),
            |elements, update| update.set_product(elements, &self.first.sum, &fresh.values, 1),
            |elements, update| parameters.sub_in(elements, update),
            session,
        )?;
        let shift = fresh.shift;
        self.preconditioner = Some(fresh);
        Ok((values, shift))
    }

    /// A step with an older table; the gradient comes into the first moment with a weight.
    fn step_with(
        &mut self,
        older: Preconditioner,
        gradient: Gradient,
        weight: u64,
        mut parameters: RepMut<'_>,
        session: &mut Session,
    ) -> Result<(Rep, u32)> {
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
        let Gradient { sum, shift: gradient_shift, .. } = gradient;
        let mut done = |elements: Range<usize>, update: &Rep| parameters.sub_in(elements, update);
        let first = &mut self.first.sum;
        let values = if drop == 0 {
            let between = |elements: Range<usize>, values: &Rep, update: &mut Additive| {
                first.add_scaled_in(elements.clone(), values, weight);
                update.set_product(elements, first, &older.values, factor);
            };
            truncate_twice(sum, [rough(gradient_shift), rough(shift)], between, done, session)?.0
        } else {
            let mut take =
                |elements: Range<usize>, values: &Rep| first.add_scaled_in(elements, values, weight);
            let values = truncate_in_pieces(sum, rough(gradient_shift), |_, _| (), &mut take, session)?;
            let shorter = truncate_shared(first, drop, session)?;
            truncate_in_pieces(
                Additive::unwritten(values.len()),
                rough(shift),
                |elements, update| update.set_product(elements, &shorter, &older.values, factor),
                &mut done,
                session,
            )?;
            values
        };
        self.preconditioner = Some(older);
        Ok((values, shift))
    }

    fn preconditioner(
        &mut self,
        nominal: f64,
        learning_rate: f64,
        session: &mut Session,
    ) -> Result<Preconditioner> {
        let window = self.second.window();
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
        let values = look_up_leading_digit(&mut self.second.sum, window, &[&table], session)?.swap_remove(0);
        Ok(Preconditioner { values, step: self.step, shift, entry_bits, weight_sum })
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

    /// The weight of the next term.
    fn take(&mut self, share: f64) -> u64 {
        let weight = self.weight(share);
        self.weight_sum += weight as f64;
        weight
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

    /// One step of decay. Returns the weight with which the new vector is to come in.
    fn pass(&mut self, session: &mut Session) -> Result<u64> {
        if self.decay.rate == 0.0 {
            self.sum = Rep::zeros(self.sum.len());
            self.decay.weight_sum = 0.0;
        } else {
            let drop = self.decay.pass(1);
            if drop > 0 {
                self.sum = truncate_shared(&self.sum, drop, session)?;
            }
        }
        Ok(self.decay.take(1.0))
    }

    /// A step of gradient descent with this as the velocity. Returns the mean gradient and the bits that the update's truncation
    /// dropped.
    fn step(
        &mut self,
        gradient: Gradient,
        learning_rate: f64,
        parameters: &mut RepMut<'_>,
        session: &mut Session,
    ) -> Result<(Rep, u32)> {
        session.enter("optimizer");
        let weight = self.pass(session)?;
        session.enter("truncation");
        let Gradient { sum, shift, nominal } = gradient;
        let take = |elements: Range<usize>, values: &Rep| self.sum.add_scaled_in(elements, values, weight);
        let values = truncate_in_pieces(sum, rough(shift), |_, _| (), take, session)?;
        session.enter("optimizer");
        let factor = learning_rate * f64::from(1 << (WEIGHT_FRAC - GRADIENT_FRAC))
            / (nominal * self.decay.weight(1.0) as f64);
        // 2^14 at most, times a velocity below 2^(25 + 16) / (1 - 0.99), stays in range.
        let shift = 13 - factor.log2().floor() as i32;
        let shift = shift.clamp(1, 60) as u32;
        let mut update = self.sum.clone();
        update.scale((factor * 2.0_f64.powi(shift as i32)).round() as u64);
        let update = truncate_shared(&update, shift, session)?;
        parameters.sub_in(0..update.len(), &update);
        Ok((values, shift))
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

    /// Some steps of decay. Returns the weight with which the new squares are to come in, that of `share` terms.
    fn pass(&mut self, elapsed: u32, share: f64, session: &mut Session) -> Result<u64> {
        let drop = self.decay.pass(elapsed);
        if drop > 0 {
            // Shifted up the sum is exact.
            let mut sum = self.sum.replicated(session)?;
            sum.scale(1 << self.drop);
            self.sum = Split::of(&truncate_shared(&sum, self.drop + drop, session)?, session.party());
        }
        Ok(self.decay.take(share))
    }

    /// The weighted squares come in. The sum is open until it is looked at.
    fn add(&mut self, squares: Additive, session: &mut Session) {
        let squares = open_split(squares, self.drop, 64 - self.drop, session);
        self.sum.add_open(&squares, session.party());
        let low = self.window().low;
        self.unchecked_low = Some(self.unchecked_low.map_or(low, |first| first.min(low)));
    }

    /// The window's top is the square of the largest root mean square, its place follows the sum of the weights.
    fn window(&self) -> DigitWindow {
        let top = self.decay.weight_sum.log2().ceil() as u32 + 2 * (GRADIENT_FRAC + MAX_ROOT_BITS) + 1;
        let window = DigitWindow { low: 0, digits: WINDOW_DIGITS };
        DigitWindow { low: (top - self.drop).saturating_sub(window.bits()), ..window }
    }

    /// The sum and the bound of the claim that it stayed inside its window since the last check.
    ///
    /// Every sum below half of the window passes, less the unit that [`leading_digit`] may add. It is not negative, so half
    /// of that is taken off to make the most of a check that is symmetric.
    fn unchecked(&mut self, party: Party) -> Option<(Split, u32)> {
        let low = self.unchecked_low.take()?;
        let bound = self.drop + DigitWindow { low, digits: WINDOW_DIGITS }.bits() - 1;
        let mut sum = self.sum.clone();
        sum.scale(1 << self.drop);
        sum.add_constant((1_u64 << (self.drop + low)).wrapping_sub(1 << (bound - 1)), party);
        Some((sum, bound))
    }
}
