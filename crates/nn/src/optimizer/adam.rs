//! Adam (Kingma and Ba, ICLR 2015) on shared parameters.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use shamisen_mpc::protocol::leading_digit::{DigitWindow, look_up_leading_digit};
use shamisen_mpc::protocol::split::{Split, open_split};
use shamisen_mpc::protocol::truncate::{RANGE_BITS, truncate_in_pieces, truncate_shared, truncate_twice};
use shamisen_mpc::{Additive, Rep, RepMut, Session};
use shamisen_net::Party;

use crate::error::Result;
use crate::formats::{GRADIENT_BOUND, GRADIENT_FRAC, WEIGHT_FRAC};
use crate::optimizer::moment::{Decay, Growth, Moment, Term};
use crate::optimizer::{Decided, Gradient, rough};

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
pub(super) const TOLERATED_BITS: u32 = GRADIENT_BOUND + 5;

/// Of Adam's first moment: so small that its product with the preconditioner stays in range, also with an older one.
const FIRST: Growth = Growth { base: 4.0, span: 2.0 };
/// Of Adam's second moment. The terms of rarer updates weigh more, up to `2^7` times the square.
const SECOND: Growth = Growth { base: 6.0, span: 1.0 };

/// The state of Adam.
pub(super) struct Adam {
    pub(super) first: Moment,
    pub(super) second: SecondMoment,
    beta2: f64,
    refresh: u32,
    pub(super) step: u32,
    /// What is public about the table values.
    pub(super) table: Option<TableState>,
    /// A table value for each parameter.
    pub(super) preconditioner: Rep,
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

/// What a step of Adam multiplies its first moment with.
pub(super) enum TableUse {
    /// New table values, after the second moment has taken in the square.
    New { second: Term, window: DigitWindow, table: Vec<u64> },
    /// The older ones, after the first moment has given up low bits, times a factor.
    Old { drop: u32, factor: u64 },
}

impl Adam {
    /// The state before the first step.
    pub(super) fn new((beta1, beta2): (f64, f64), refresh: u32, len: usize) -> Self {
        Self {
            first: Moment::new(beta1, FIRST, len),
            second: SecondMoment::new(beta2, refresh, len),
            beta2,
            refresh,
            step: 0,
            table: None,
            preconditioner: Rep::default(),
        }
    }

    /// Whether a step takes the square of its gradient and reads a new table value.
    pub(super) fn is_fresh(&self, step: u32) -> bool {
        step <= WARM_UP || step.is_multiple_of(self.refresh)
    }

    /// A gradient is below two to this power.
    fn gradient_bits(&self) -> u32 {
        if self.refresh > 1 { TOLERATED_BITS } else { GRADIENT_BOUND + 1 }
    }

    /// Moves what is public a step on. Returns what was decided, and the bits that the update's truncation drops.
    pub(super) fn decide(&mut self, learning_rate: f64, nominal: f64) -> (Decided, u32) {
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
    pub(super) fn step(
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

/// A decaying sum of squares `sum of c_s g_s^2`, without its lowest bits, in two components.
///
/// The bits of a word above those that are kept are arbitrary. A term may be counted up to two units too high.
pub(super) struct SecondMoment {
    pub(super) sum: Split,
    pub(super) decay: Decay,
    /// Low bits that are not kept.
    drop: u32,
    /// The window's place at the first step after the last check.
    pub(super) unchecked_low: Option<u32>,
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
    pub(super) fn claim(&self, low: u32, party: Party) -> (Split, u32) {
        let bound = self.drop + DigitWindow { low, digits: WINDOW_DIGITS }.bits() - 1;
        let mut sum = self.sum.clone();
        sum.scale(1 << self.drop);
        sum.add_constant((1_u64 << (self.drop + low)).wrapping_sub(1 << (bound - 1)), party);
        (sum, bound)
    }
}
