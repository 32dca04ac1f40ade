//! The reciprocal of a positive number.

use shamisen_ring::fixed;

use crate::error::Result;
use crate::protocol::leading_bit::{Window, leading_index};
use crate::protocol::lookup::look_up;
use crate::protocol::multiply::{product, reshare};
use crate::protocol::points::{Points, STEP};
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::Rep;

/// Fractional bits of the first guess.
const GUESS_FRAC: u32 = 26;

/// Fractional bits of [`reciprocal_near`] beyond those of the number.
pub const SLOPE_FRAC: u32 = 12;

/// `1 / x` for `1 <= x < 2^integer_bits - 2^-8`, to about `2^-12` of itself or `2^-24`, whichever is more.
///
/// `x` has `frac` fractional bits, at least 8, and may be up to `2^-8` below 1; the result has `result_frac`, at most 24. A table over the leading bit
/// and five bits behind it gives `y`, one Newton step `y (2 - x y)` squares its relative error of `2^-6`
/// (`integer_bits` at most 30).
///
/// 10 + `ceil(log2(integer_bits + 7))` + `ceil(log2(integer_bits))` rounds.
///
/// # Errors
///
/// When a peer fails.
pub fn reciprocal(
    shared: &Rep,
    frac: u32,
    integer_bits: u32,
    result_frac: u32,
    session: &mut Session,
) -> Result<Rep> {
    let window = Window { low: frac, width: integer_bits.max(2), mantissa: 5, guard: 3 };
    let unit = 2.0_f64.powi(frac as i32);
    let guess = window.table(|x| rounded(unit / x, GUESS_FRAC));
    let index = leading_index(shared, window, session)?;
    let guess = look_up(&index, &[&guess], session)?.swap_remove(0);
    // 2 - x y
    let mut rest = truncate(product(shared, &guess), frac, session)?.negated();
    rest.add_constant(2 << GUESS_FRAC, session.party());
    truncate(product(&rest, &guess), 2 * GUESS_FRAC - result_frac, session)
}

/// `1 / x` for a number in the range of `points`, to `2^-12.8` of itself, `2^-12` near 1, with [`SLOPE_FRAC`] fractional bits more
/// than the number.
///
/// On the tangent at the point next to the number: `2 / x' - x / x'^2` is up to `(x / x' - 1)^2` of itself too low, so it is
/// raised by half of the most that this can be. Not so at 1, where it would never be right, and the error is up to `2^-12`: the sum
/// of a soft-max is next to 1 in each row whose class is certain, and what such rows add to a gradient has to vanish.
/// A product and no truncation: nothing is rounded but the tables.
///
/// 4 rounds; `2^k / 8 + 72` bytes for a table of `2^k` entries.
///
/// # Errors
///
/// When a peer fails.
pub fn reciprocal_near(shared: &Rep, points: Points, session: &mut Session) -> Result<Rep> {
    let slope = |x: f64| rounded(raised(x) / (x * x), SLOPE_FRAC);
    // Numbers below 1 are near to 1, and have its tangent whatever point they get.
    let slopes = points.table(|x| slope(x.max(1.0)));
    let result_frac = points.frac + SLOPE_FRAC;
    // Through the right value at the point, with the slope as the table has it.
    let constant = |x: f64| rounded(raised(x) / x + x * fixed::decode(slope(x), SLOPE_FRAC), result_frac);
    let constants = points.table(|x| constant(x.max(1.0)));
    let mut columns = points.look_up(shared, &[&constants, &slopes], session)?;
    let (Some(slope), Some(constant)) = (columns.pop(), columns.pop()) else { unreachable!("two tables") };
    let mut inverse = product(shared, &slope);
    inverse.scale(u64::MAX);
    inverse.add_rep(&constant);
    reshare(inverse, session)
}

/// 1, and half of the greatest relative error of the tangent at a point above 1.
fn raised(point: f64) -> f64 {
    if point > 1.0 { 1.0 + (STEP / point).powi(2) / 2.0 } else { 1.0 }
}

/// A table entry: the nearest fixed-point number.
///
/// # Panics
///
/// When the value leaves the range, which for the tables of this crate it never does.
pub(crate) fn rounded(value: f64, frac: u32) -> u64 {
    fixed::encode(value, frac).expect("table entries lie in the fixed-point range")
}
