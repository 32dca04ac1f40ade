//! Adam and gradient descent on shared parameters, all layers as one vector.
//!
//! The moments are kept as sums with growing public weights, `M = sum of d_s g_s` with `d_s` proportional to
//! `decay^-s`: a decay step then costs nothing, and the bias correction is the division by the sum of the weights.
//! Now and then the sum is truncated and the weights start anew.

use shamisen_mpc::protocol::leading_bit::{Window, leading_index};
use shamisen_mpc::protocol::lookup::look_up;
use shamisen_mpc::protocol::multiply::{multiply, product};
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::truncate::{RANGE_BITS, truncate, truncate_shared};
use shamisen_mpc::{Additive, Rep, Session};

use crate::error::Result;
use crate::formats::{GRADIENT_BOUND, GRADIENT_FRAC, WEIGHT_FRAC};
use crate::plan::Optimizer;

/// The published `epsilon` of Adam.
const EPSILON: f64 = 1e-8;
/// Adam's preconditioner is fresh in each of this many first steps, whatever `refresh` says.
const WARM_UP: u32 = 10;

/// Places of the window in which the second moment's leading bit is sought.
const WINDOW_WIDTH: u32 = 31;
/// Bits behind it that count: the preconditioner is exact to 11 %.
const WINDOW_MANTISSA: u32 = 1;
/// The root mean square gradient that passes the range check is `2^2`.
const MAX_ROOT_BITS: u32 = 2;
/// Significant bits of the factor that brings an older table up to date.
const RATIO_BITS: u32 = 7;
/// Significant bits of the smallest entry of the preconditioner's table.
const SMALLEST_ENTRY_BITS: i32 = 7;

/// The optimiser with its state.
pub(crate) struct State {
    rule: Rule,
    /// Updates since the last check are below two to this power.
    update_bits: u32,
}

enum Rule {
    Adam(Box<Adam>),
    Sgd(Moment),
}

struct Adam {
    first: Moment,
    second: Moment,
    refresh: u32,
    step: u32,
    preconditioner: Option<Preconditioner>,
    /// The window's place at the first step after the last check of the second moment.
    unchecked_low: Option<u32>,
}

/// A table value for each parameter, and what it must be multiplied with in later steps.
struct Preconditioner {
    values: Rep,
    shift: u32,
    /// Entries are below two to this power.
    entry_bits: u32,
    /// Sum of the first moment's weights when it was made.
    weight_sum: f64,
}

/// A gradient as the way back gives it, and its scale.
pub(crate) struct Gradient {
    /// Sum over the rows.
    pub(crate) sum: Additive,
    /// Bits to drop for [`GRADIENT_FRAC`] fractional bits.
    pub(crate) shift: u32,
    /// What the result is multiplied with, in units of `2^-16`: 2^16, but for the short last mini-batch.
    pub(crate) factor: u64,
    /// The result is `scale` times the mean gradient.
    pub(crate) scale: f64,
}

impl State {
    pub(crate) fn new(optimizer: Optimizer, parameters: usize) -> Self {
        let rule = match optimizer {
            Optimizer::Adam { beta1, beta2, refresh } => Rule::Adam(Box::new(Adam {
                first: Moment::new(beta1, 8, 8, parameters),
                second: Moment::new(beta2, 6, 1, parameters),
                refresh,
                step: 0,
                preconditioner: None,
                unchecked_low: None,
            })),
            Optimizer::Sgd { momentum } => Rule::Sgd(Moment::new(momentum, 8, 8, parameters)),
        };
        Self { rule, update_bits: 0 }
    }

    /// What is to be subtracted from the parameters.
    pub(crate) fn step(
        &mut self,
        gradient: Gradient,
        learning_rate: f64,
        checks: &mut RangeChecks,
        session: &mut Session,
    ) -> Result<Rep> {
        session.enter("truncation");
        let scale = gradient.scale;
        let mut values = truncate(gradient.sum, gradient.shift, session)?;
        if gradient.factor != 1 << 16 {
            values.scale(gradient.factor);
            values = truncate_shared(&values, 16, session)?;
        }
        session.enter("optimizer");
        checks.claim("a gradient", values.clone(), GRADIENT_BOUND, RANGE_BITS - gradient.shift + 2);
        let (update, shift) = match &mut self.rule {
            Rule::Adam(adam) => adam.step(&values, scale, learning_rate, session)?,
            Rule::Sgd(velocity) => {
                velocity.add(&values, session)?;
                let factor = learning_rate * f64::from(1 << (WEIGHT_FRAC - GRADIENT_FRAC))
                    / (scale * velocity.weight() as f64);
                // 2^14 at most, times a velocity below 2^(25 + 16) / (1 - 0.99), stays in range.
                let shift = 13 - factor.log2().floor() as i32;
                let shift = shift.clamp(1, 60) as u32;
                let mut update = velocity.sum.clone();
                update.scale((factor * 2.0_f64.powi(shift as i32)).round() as u64);
                (truncate_shared(&update, shift, session)?, shift)
            }
        };
        self.update_bits = self.update_bits.max(RANGE_BITS - shift + 1);
        Ok(update)
    }

    /// A power of two below which every update since the last check stayed.
    pub(crate) fn update_bits(&mut self) -> u32 {
        std::mem::take(&mut self.update_bits)
    }

    /// Claims that the second moment stayed inside its window since the last check.
    pub(crate) fn claim_moments(&mut self, checks: &mut RangeChecks) {
        if let Rule::Adam(adam) = &mut self.rule
            && let Some(low) = adam.unchecked_low.take()
        {
            let bound = low + WINDOW_WIDTH - 1;
            checks.claim("the mean square of a gradient", adam.second.sum.clone(), bound, RANGE_BITS);
        }
    }
}

impl Adam {
    /// Kingma and Ba (ICLR 2015), algorithm 1.
    ///
    /// With `M = sum of d_s g_s` and `V = sum of c_s g_s^2`, `m_hat = M / sum of d_s` and `v_hat = V / sum of c_s`.
    /// `1 / (sqrt(v_hat) + epsilon)` comes from a table over the leading bit of `V` and two bits behind it, all public
    /// factors included, so that one product and one truncation give the update.
    /// Returns the update and the bits that its truncation dropped.
    fn step(
        &mut self,
        gradient: &Rep,
        scale: f64,
        learning_rate: f64,
        session: &mut Session,
    ) -> Result<(Rep, u32)> {
        self.first.add(gradient, session)?;
        let square = multiply(gradient, gradient, session)?;
        self.second.add(&square, session)?;
        self.step += 1;
        // The window's top is the square of the largest root mean square, its place follows the sum of the weights.
        let low = self.second.weight_sum.log2().ceil() as u32 + 2 * (GRADIENT_FRAC + MAX_ROOT_BITS) + 2
            - WINDOW_WIDTH;
        self.unchecked_low = Some(self.unchecked_low.map_or(low, |first| first.min(low)));

        let fresh = match self.preconditioner.take() {
            Some(old) if self.step > WARM_UP && !(self.step - 1).is_multiple_of(self.refresh) => old,
            _ => self.preconditioner(low, scale, learning_rate, session)?,
        };
        let mut shift = fresh.shift;
        let ratio = fresh.weight_sum / self.first.weight_sum;
        let update = if (ratio - 1.0).abs() < 1e-9 {
            product(&self.first.sum, &fresh.values)
        } else {
            // An older table does not bound the product by the second moment: a gradient may have grown since. What
            // bounds it then is the greatest entry and the greatest gradient, so the sum must give up low bits first.
            let sum_bits = GRADIENT_BOUND + 1 + self.first.weight_sum.log2().ceil() as u32;
            let drop = (sum_bits + fresh.entry_bits + RATIO_BITS).saturating_sub(RANGE_BITS - 1).max(1);
            let sum = truncate_shared(&self.first.sum, drop, session)?;
            // The weights have grown since.
            let places = RATIO_BITS as i32 - 1 - ratio.log2().floor() as i32;
            let mut update = product(&sum, &fresh.values);
            update.scale((ratio * 2.0_f64.powi(places)).round() as u64);
            shift = (shift as i32 + places - drop as i32) as u32;
            update
        };
        self.preconditioner = Some(fresh);
        Ok((truncate(update, shift, session)?, shift))
    }

    fn preconditioner(
        &self,
        low: u32,
        scale: f64,
        learning_rate: f64,
        session: &mut Session,
    ) -> Result<Preconditioner> {
        let window = Window { low, width: WINDOW_WIDTH, mantissa: WINDOW_MANTISSA, guard: 0 };
        let unit = f64::from(1 << GRADIENT_FRAC) * scale;
        let (first_sum, second_sum) = (self.first.weight_sum, self.second.weight_sum);
        // The update in units of the weights' last place, for M = 1 and V = x.
        let update = |x: f64| {
            let root = (x / second_sum).sqrt() / unit + EPSILON;
            learning_rate * f64::from(1 << WEIGHT_FRAC) / (first_sum * unit * root)
        };
        let smallest = update(2.0_f64.powi((low + WINDOW_WIDTH) as i32));
        let shift = (SMALLEST_ENTRY_BITS - smallest.log2().floor() as i32) as u32;
        let table = window.table(|x| (update(x) * 2.0_f64.powi(shift as i32)).round() as u64);
        let entry_bits = table.iter().copied().max().map_or(0, |greatest| greatest.ilog2() + 1);
        let index = leading_index(&self.second.sum, window, session)?;
        let values = look_up(&index, &[&table], session)?.swap_remove(0);
        Ok(Preconditioner { values, shift, entry_bits, weight_sum: first_sum })
    }
}

/// A decaying sum of vectors, `sum of d_s x_s` with public weights `d_s` proportional to `decay^-s`.
struct Moment {
    sum: Rep,
    decay: f64,
    /// Weights start at `2^base` and are kept below `2^(base + span)`.
    base: u32,
    span: u32,
    /// Logarithm of the current weight, above the base.
    exponent: f64,
    weight_sum: f64,
    started: bool,
}

impl Moment {
    fn new(decay: f64, base: u32, span: u32, len: usize) -> Self {
        Self { sum: Rep::zeros(len), decay, base, span, exponent: 0.0, weight_sum: 0.0, started: false }
    }

    /// The current weight.
    fn weight(&self) -> u64 {
        2.0_f64.powf(f64::from(self.base) + self.exponent).round() as u64
    }

    /// One step of decay, then the new vector comes in.
    fn add(&mut self, values: &Rep, session: &mut Session) -> Result<()> {
        if self.decay == 0.0 {
            self.sum = Rep::zeros(values.len());
            self.weight_sum = 0.0;
        } else if self.started {
            self.exponent -= self.decay.log2();
            if self.exponent >= f64::from(self.span) {
                self.sum = truncate_shared(&self.sum, self.span, session)?;
                self.exponent -= f64::from(self.span);
                self.weight_sum /= f64::from(1 << self.span);
            }
        }
        self.started = true;
        let mut weighted = values.clone();
        weighted.scale(self.weight());
        self.sum.add_assign(&weighted);
        self.weight_sum += self.weight() as f64;
        Ok(())
    }
}
