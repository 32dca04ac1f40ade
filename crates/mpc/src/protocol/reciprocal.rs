//! The reciprocal of a positive number.

use shamisen_ring::fixed;

use crate::error::Result;
use crate::protocol::leading_bit::{Window, leading_index};
use crate::protocol::lookup::look_up;
use crate::protocol::multiply::product;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::Rep;

/// Fractional bits of the first guess.
const GUESS_FRAC: u32 = 26;

/// `1 / x` for `1 <= x < 2^integer_bits - 2^-8`, to about `2^-12` of itself or `2^-24`, whichever is more.
///
/// `x` has `frac` fractional bits, at least 8; the result has `result_frac`, at most 24. A table over the leading bit
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

/// A table entry: the nearest fixed-point number.
///
/// # Panics
///
/// When the value leaves the range, which for the tables of this crate it never does.
pub(crate) fn rounded(value: f64, frac: u32) -> u64 {
    fixed::encode(value, frac).expect("table entries lie in the fixed-point range")
}
