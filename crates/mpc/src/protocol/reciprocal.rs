//! The reciprocal of a positive number.

use shamisen_ring::fixed;

use crate::error::Result;
use crate::protocol::log_points::LogPoints;
use crate::protocol::multiply::{product, reshare};
use crate::protocol::points::{Points, STEP};
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::{Additive, Rep};

/// Fractional bits of a tangent in [`reciprocal`], before it is truncated.
const TANGENT_FRAC: u32 = 60;

/// Fractional bits of [`reciprocal_near`] beyond those of the number.
pub const SLOPE_FRAC: u32 = 12;

/// `1 / x` for `1 <= x < 2^integer_bits`, to `2^-12.7` of itself or `2^-24`, whichever is more, and exact at 1.
///
/// `x` has `frac` fractional bits, from 8 to 25, or to `43 - integer_bits` where that is more, and may be up to `2^-8` below 1; the
/// result has `result_frac`, at most 24 (`integer_bits` at most 30). On a tangent, as in [`reciprocal_near`], at a point that is found
/// by the leading bit and five bits behind it.
///
/// 8 + `ceil(log2(integer_bits + 7))` + `ceil(log2(integer_bits))` rounds.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When there are fewer or more fractional bits, which is a mistake of the caller.
pub fn reciprocal(
    shared: &Rep,
    frac: u32,
    integer_bits: u32,
    result_frac: u32,
    session: &mut Session,
) -> Result<Rep> {
    assert!(frac <= 25 || frac + integer_bits <= 43, "no room for {frac} fractional bits");
    let points = LogPoints::below(integer_bits, frac);
    let tangents = Tangents { slope_frac: TANGENT_FRAC - frac, frac: TANGENT_FRAC };
    let constants = points.table(|point, reach| tangents.constant(point, reach));
    let slopes = points.table(|point, reach| tangents.slope(point, reach));
    let columns = points.look_up(shared, &[&constants, &slopes], session)?;
    truncate(on_tangent(shared, columns), TANGENT_FRAC - result_frac, session)
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
    let tangents = Tangents { slope_frac: SLOPE_FRAC, frac: points.frac + SLOPE_FRAC };
    // Numbers below 1 are near to 1, and have its tangent whatever point they get.
    let constants = points.table(|point| tangents.constant(point.max(1.0), STEP));
    let slopes = points.table(|point| tangents.slope(point.max(1.0), STEP));
    let columns = points.look_up(shared, &[&constants, &slopes], session)?;
    reshare(on_tangent(shared, columns), session)
}

/// Tangents of the reciprocal, as tables have them: `constant - slope x` for the numbers at most `reach` from a point.
struct Tangents {
    /// Fractional bits of a slope.
    slope_frac: u32,
    /// Fractional bits of a constant.
    frac: u32,
}

impl Tangents {
    fn slope(&self, point: f64, reach: f64) -> u64 {
        rounded(raised(point, reach) / (point * point), self.slope_frac)
    }

    /// Through the right value at the point, with the slope as the table has it.
    fn constant(&self, point: f64, reach: f64) -> u64 {
        let slope = fixed::decode(self.slope(point, reach), self.slope_frac);
        rounded(raised(point, reach) / point + point * slope, self.frac)
    }
}

/// 1, and half of the greatest relative error of the tangent at a point above 1.
fn raised(point: f64, reach: f64) -> f64 {
    if point > 1.0 { 1.0 + (reach / point).powi(2) / 2.0 } else { 1.0 }
}

/// `constant - slope x`, from the entries of both. Local.
fn on_tangent(shared: &Rep, columns: Vec<Rep>) -> Additive {
    let [constant, slope] = columns.try_into().unwrap_or_else(|_| unreachable!("two tables"));
    let mut inverse = product(shared, &slope);
    inverse.scale(u64::MAX);
    inverse.add_rep(&constant);
    inverse
}

/// A table entry: the nearest fixed-point number.
///
/// # Panics
///
/// When the value leaves the range, which for the tables of this crate it never does.
pub(crate) fn rounded(value: f64, frac: u32) -> u64 {
    fixed::encode(value, frac).expect("table entries lie in the fixed-point range")
}
