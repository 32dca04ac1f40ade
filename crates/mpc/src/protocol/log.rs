//! The natural logarithm.

use shamisen_ring::fixed;

use crate::error::Result;
use crate::protocol::log_points::LogPoints;
use crate::protocol::multiply::product;
use crate::protocol::points::Points;
use crate::protocol::reciprocal::rounded;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::Rep;

/// Fractional bits of the result.
pub const LOG_FRAC: u32 = 20;

const WORK_FRAC: u32 = 26;

/// `ln x` for `1 <= x < 2^integer_bits`, at most `2^20`, with [`LOG_FRAC`] fractional bits and an error below `2^-17`; 0 at 1.
///
/// `x` has `frac` fractional bits, at least 8, and may be up to `2^-8` below 1. One look-up gives `ln x'` and `1 / x'` of a point `x'` that is
/// found by the leading bit and five bits behind it; with `r = x / x' - 1`, `|r| < 2^-5.8`, it is `ln x' + r - r^2 / 2` up to `r^3 / 3`.
///
/// 10 + `ceil(log2(integer_bits + 7))` + `ceil(log2(integer_bits))` rounds.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn ln(shared: &Rep, frac: u32, integer_bits: u32, session: &mut Session) -> Result<Rep> {
    assert!(integer_bits <= 20, "a logarithm of up to 2^20, not 2^{integer_bits}");
    let points = LogPoints::below(integer_bits, frac);
    let inverses = points.table(|point, _| inverse(point));
    let logs = points.table(|point, _| log_of(inverse(point)));
    let columns = points.look_up(shared, &[&logs, &inverses], session)?;
    series(shared, columns, frac, session)
}

/// `ln x` for a number in the range of `points`, with [`LOG_FRAC`] fractional bits and an error below `2^-17`.
///
/// As [`ln`], `x'` being the point next to `x`; `|r| < 2^-5.9`.
///
/// 7 rounds; `2^k / 8 + 48` bytes for a table of `2^k` entries, and two truncations.
///
/// # Errors
///
/// When a peer fails.
pub fn ln_near(shared: &Rep, points: Points, session: &mut Session) -> Result<Rep> {
    let inverses = points.table(inverse);
    let logs = points.table(|x| log_of(inverse(x)));
    let columns = points.look_up(shared, &[&logs, &inverses], session)?;
    series(shared, columns, points.frac, session)
}

/// `1 / x'` as a table has it.
fn inverse(x: f64) -> u64 {
    rounded(1.0 / x, WORK_FRAC)
}

/// The logarithm of what the rounded entry is the inverse of.
fn log_of(inverse: u64) -> u64 {
    rounded(-fixed::decode(inverse, WORK_FRAC).ln(), LOG_FRAC)
}

/// `ln x' + r - r^2 / 2`, from the entries `ln x'` and `1 / x'`.
fn series(shared: &Rep, columns: Vec<Rep>, frac: u32, session: &mut Session) -> Result<Rep> {
    let [mut log, inverse] = columns.try_into().unwrap_or_else(|_| unreachable!("two tables"));
    let mut rest = truncate(product(shared, &inverse), frac, session)?;
    rest.add_constant((1_u64 << WORK_FRAC).wrapping_neg(), session.party());
    // r - r^2 / 2 = r (2 - r) / 2
    let mut factor = rest.clone().negated();
    factor.add_constant(2 << WORK_FRAC, session.party());
    let correction = truncate(product(&rest, &factor), 2 * WORK_FRAC + 1 - LOG_FRAC, session)?;
    log.add_assign(&correction);
    Ok(log)
}
