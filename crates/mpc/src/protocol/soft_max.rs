//! Soft-max and its cross-entropy.

use crate::error::Result;
use crate::protocol::arg_max::{ALL_PAIRS, Winner, arg_max};
use crate::protocol::exp::{CLAMP_BITS, EXP_FRAC, exp};
use crate::protocol::log::{LOG_FRAC, ln};
use crate::protocol::multiply::product;
use crate::protocol::reciprocal::reciprocal;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::{Additive, Rep};

/// Fractional bits of a probability.
pub const PROBABILITY_FRAC: u32 = 20;

/// Fractional bits of `1 / sum` where it multiplies the exponentials.
const INVERSE_FRAC: u32 = 24;

/// Integer bits of `e^x` for a clamped `x`: `e^16 < 2^24`.
const EXP_BITS: u32 = 24;
const _: () = assert!(CLAMP_BITS == 4);

/// The soft-max of each row of a row-major matrix `rows x classes`, with [`PROBABILITY_FRAC`] fractional bits.
///
/// `|z| < 2^integer_bits`, `frac` fractional bits. Up to 16 classes no maximum is needed:
/// `p_i = 1 / (1 + sum over j != i of e^(z_j - z_i))`, with differences clamped to `[-16, 16)`, so that a probability
/// below `e^-16` comes out as about that. For more classes the row's maximum is subtracted first.
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
) -> Result<Rep> {
    if classes > ALL_PAIRS {
        let winner = arg_max(logits, rows, classes, frac + integer_bits + 2, session)?;
        let powers = shifted_exp(logits, &winner.max, classes, frac, integer_bits, session)?;
        let sums = powers.sum_groups(classes);
        let inverse = reciprocal(&sums, EXP_FRAC, count_bits(classes) + 1, INVERSE_FRAC, session)?;
        let inverse = inverse.gather((0..rows * classes).map(|at| at / classes));
        return truncate(product(&powers, &inverse), EXP_FRAC + INVERSE_FRAC - PROBABILITY_FRAC, session);
    }
    let others = classes - 1;
    let place = move |at: usize| {
        let (row, own, other) = (at / others / classes, at / others % classes, at % others);
        (row * classes + other + usize::from(other >= own), row * classes + own)
    };
    let count = rows * classes * others;
    let mut differences = logits.gather((0..count).map(move |at| place(at).0));
    differences.sub_assign(&logits.gather((0..count).map(move |at| place(at).1)));
    let powers = exp(&differences, frac, integer_bits + 1, session)?;
    let mut sums = powers.sum_groups(others);
    sums.add_constant(1 << EXP_FRAC, session.party());
    reciprocal(&sums, EXP_FRAC, EXP_BITS + count_bits(classes), PROBABILITY_FRAC, session)
}

/// The cross-entropy of each row against one-hot targets, `-ln p_y`, with [`LOG_FRAC`] fractional bits, and the winner.
///
/// `ln(sum over j of e^(z_j - max)) + max - z_y`: exact also where `p_y` is tiny. `targets` are 0 and 1.
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
) -> Result<(Additive, Winner)> {
    let winner = arg_max(logits, rows, classes, frac + integer_bits + 2, session)?;
    let powers = shifted_exp(logits, &winner.max, classes, frac, integer_bits, session)?;
    let log = ln(&powers.sum_groups(classes), EXP_FRAC, count_bits(classes) + 1, session)?;
    // max - z_y, brought to the logarithm's scale.
    let mut loss = product(logits, targets).sum_groups(classes);
    loss.scale(u64::MAX);
    loss.add_rep(&winner.max);
    loss.scale(1 << (LOG_FRAC - frac));
    loss.add_rep(&log);
    Ok((loss, winner))
}

/// `e^(z - max)` for each class of each row.
fn shifted_exp(
    logits: &Rep,
    max: &Rep,
    classes: usize,
    frac: u32,
    integer_bits: u32,
    session: &mut Session,
) -> Result<Rep> {
    let mut shifted = logits.clone();
    shifted.sub_assign(&max.gather((0..logits.len()).map(|at| at / classes)));
    exp(&shifted, frac, integer_bits + 1, session)
}

/// Bits of a number up to `classes`.
fn count_bits(classes: usize) -> u32 {
    classes.next_power_of_two().trailing_zeros()
}
