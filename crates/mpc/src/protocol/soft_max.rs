//! Soft-max and its cross-entropy.

use shamisen_ring::fixed::Factor;

use crate::error::Result;
use crate::protocol::arg_max::{arg_max, row_max};
use crate::protocol::exp::{EXP_FRAC, argument_bits, exp_negative};
use crate::protocol::log::{LOG_FRAC, ln, ln_near};
use crate::protocol::multiply::product;
use crate::protocol::points::Points;
use crate::protocol::reciprocal::{SLOPE_FRAC, reciprocal, reciprocal_near};
use crate::protocol::split::open_split;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::{Additive, Rep};

/// Fractional bits of a probability.
pub const PROBABILITY_FRAC: u32 = 20;

/// Fractional bits of `1 / sum` for more classes than [`Points`] take.
const INVERSE_FRAC: u32 = 24;

/// Most bits of a [`Form`]'s factor.
pub const FACTOR_BITS: u32 = 9;

/// How probabilities come out of [`soft_max_as`].
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What they are multiplied with, of at most [`FACTOR_BITS`] bits.
    pub factor: Factor,
    /// Their fractional bits.
    pub frac: u32,
}

/// The soft-max of some rows.
pub struct SoftMax {
    /// The probability of each class of each row, row-major, with [`PROBABILITY_FRAC`] fractional bits or in the form that was
    /// wanted.
    pub probabilities: Rep,
    powers: Powers,
}

/// `e^(z - max)` of each class of each row, their sums and the greatest values.
struct Powers {
    each: Rep,
    sums: Rep,
    max: Additive,
}

/// What the cross-entropy of some rows is made of, two numbers for each.
#[derive(Clone)]
pub struct LossTerms {
    /// `sum over j of e^(z_j - max)`.
    sums: Rep,
    /// `max - z_y`.
    margins: Additive,
}

/// The soft-max of each row of a row-major matrix `rows x classes`.
///
/// `|z| <= 2^integer_bits - 2^-2`, `integer_bits` at most 13, `frac` fractional bits. `p_i = e^(z_i - max) / sum over j of e^(z_j - max)`; a power below
/// `e^-16` counts as 0. Relative error below `2^-10`, plus `2^-18` absolute.
///
/// The maximum stays an additive sharing: its differences to the logits go into two components, and from there by look-ups
/// to the exponentials. Up to 16 classes the sum of these is so small that its reciprocal is a look-up.
///
/// Messages are those of the protocols called, each masked as there.
///
/// With 14 fractional bits and `integer_bits` of 11: 19 rounds for 2 classes and for 4 to 11, 20 for 3, and 21 for 12 to 16.
///
/// # Errors
///
/// When a peer fails.
pub fn soft_max(
    logits: &Rep,
    rows: usize,
    classes: usize,
    frac: u32,
    integer_bits: u32,
    session: &mut Session,
) -> Result<SoftMax> {
    let form = Form { factor: Factor::ONE, frac: PROBABILITY_FRAC };
    soft_max_as(form, logits, rows, classes, frac, integer_bits, session)
}

/// [`soft_max`] with the probabilities in another form.
///
/// It goes into the last truncation: rounds stay, and a bit of the factor, or one less in the fraction, costs 3 bits an element.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When the factor has more bits, which is a mistake of the caller.
pub fn soft_max_as(
    form: Form,
    logits: &Rep,
    rows: usize,
    classes: usize,
    frac: u32,
    integer_bits: u32,
    session: &mut Session,
) -> Result<SoftMax> {
    let Form { factor, frac: result_frac } = form;
    assert!(
        factor.bits() <= FACTOR_BITS,
        "the product of a power and an inverse leaves room for {FACTOR_BITS} bits"
    );
    let max = row_max(logits, rows, classes, frac + integer_bits + 2, session)?;
    let powers = Powers::below(max, logits, classes, frac, integer_bits, session)?;
    let (inverse, inverse_frac) = if let Some(points) = Points::up_to(classes, EXP_FRAC) {
        (reciprocal_near(&powers.sums, points, session)?, EXP_FRAC + SLOPE_FRAC)
    } else {
        let inverse = reciprocal(&powers.sums, EXP_FRAC, sum_bits(classes), INVERSE_FRAC, session)?;
        (inverse, INVERSE_FRAC)
    };
    let inverse = inverse.gather((0..rows * classes).map(|at| at / classes));
    let mut scaled = product(&powers.each, &inverse);
    scaled.scale(factor.numerator());
    let bits = EXP_FRAC + inverse_frac - result_frac + factor.bits();
    let probabilities = truncate(scaled, bits, session)?;
    Ok(SoftMax { probabilities, powers })
}

/// The cross-entropy of each row against one-hot targets, `-ln p_y`, with [`LOG_FRAC`] fractional bits, and for each class
/// and row, class by class, whether it is the greatest.
///
/// `ln(sum over j of e^(z_j - max)) + max - z_y`: exact also where `p_y` is tiny. `targets` are 0 and 1; logits as for
/// [`soft_max`].
///
/// # Errors
///
/// When a peer fails.
pub fn cross_entropy(
    logits: &Rep,
    targets: &Rep,
    rows: usize,
    classes: usize,
    frac: u32,
    integer_bits: u32,
    session: &mut Session,
) -> Result<(Additive, Rep)> {
    let winner = arg_max(logits, rows, classes, frac + integer_bits + 2, session)?;
    let powers = Powers::below(winner.max, logits, classes, frac, integer_bits, session)?;
    let loss = powers.loss_terms(logits, targets).cross_entropy(classes, frac, session)?;
    Ok((loss, winner.one_hot))
}

impl SoftMax {
    /// What the loss of these rows is made of, given their logits and one-hot targets, 0 and 1. Local.
    pub fn into_loss_terms(self, logits: &Rep, targets: &Rep) -> (Rep, LossTerms) {
        (self.probabilities, self.powers.loss_terms(logits, targets))
    }
}

impl Powers {
    /// The powers of the distances to each row's maximum.
    fn below(
        max: Additive,
        logits: &Rep,
        classes: usize,
        frac: u32,
        integer_bits: u32,
        session: &mut Session,
    ) -> Result<Self> {
        // max - z, not negative and below 2^(integer_bits + 1).
        let mut distances = Additive((0..logits.len()).map(|at| max.0[at / classes]).collect());
        distances.add_scaled(0, logits, u64::MAX);
        let distances = open_split(distances, 0, argument_bits(frac, integer_bits + 1), session);
        let each = exp_negative(distances, frac, integer_bits + 1, session)?;
        Ok(Self { sums: each.sum_groups(classes), each, max })
    }

    fn loss_terms(self, logits: &Rep, targets: &Rep) -> LossTerms {
        let mut margins = product(logits, targets).sum_groups(logits.len() / self.max.len());
        margins.scale(u64::MAX);
        margins.add_assign(&self.max);
        LossTerms { sums: self.sums, margins }
    }
}

impl LossTerms {
    /// Appends those of further rows.
    pub fn extend(&mut self, other: &Self) {
        self.sums.extend(&other.sums);
        self.margins.extend(&other.margins);
    }

    /// The cross-entropy of each row with [`LOG_FRAC`] fractional bits; `frac` are those of the logits, at most so many.
    ///
    /// Error below `2^-11`, plus `2^-19` for each class. 7 rounds up to 16 classes, otherwise those of [`ln`].
    ///
    /// # Errors
    ///
    /// When a peer fails.
    pub fn cross_entropy(self, classes: usize, frac: u32, session: &mut Session) -> Result<Additive> {
        let Self { sums, margins: mut loss } = self;
        let log = match Points::up_to(classes, EXP_FRAC) {
            Some(points) => ln_near(&sums, points, session)?,
            None => ln(&sums, EXP_FRAC, sum_bits(classes), session)?,
        };
        // Brought to the logarithm's scale.
        loss.scale(1 << (LOG_FRAC - frac));
        loss.add_rep(&log);
        Ok(loss)
    }
}

impl Default for LossTerms {
    /// Those of no rows.
    fn default() -> Self {
        Self { sums: Rep::default(), margins: Additive::zeros(0) }
    }
}

/// Integer bits of a sum of as many powers, each at most about 1.
fn sum_bits(classes: usize) -> u32 {
    classes.next_power_of_two().trailing_zeros() + 1
}
