//! The inverse square root of a non-negative number.

use crate::error::Result;
use crate::protocol::leading_bit::{Window, leading_index};
use crate::protocol::lookup::look_up;
use crate::protocol::multiply::{multiply, product};
use crate::protocol::reciprocal::rounded;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::Rep;

/// A multiple of `1 / sqrt(x)` for an integer `x` below `2^(low + width)` of the window, read from a table.
///
/// The result is `round(scale / sqrt(x'))` with `x'` the representative of `x` in the window: the relative error is
/// below `2^-(mantissa + 2)` for `x >= 2^low`, plus `2^-guard` of that where the adder drops bits, and smaller numbers
/// count as `2^low`.
///
/// Those of [`leading_index`] and 3 rounds.
///
/// # Errors
///
/// When a peer fails.
pub fn inverse_square_root(shared: &Rep, window: Window, scale: f64, session: &mut Session) -> Result<Rep> {
    let table = window.table(|x| rounded(scale / x.sqrt(), 0));
    let index = leading_index(shared, window, session)?;
    Ok(look_up(&index, &[&table], session)?.swap_remove(0))
}

/// One Newton step on `y`, a guess at `1 / sqrt(x)`: `y (3 - x y^2) / 2`, which squares the relative error.
///
/// `x` has `frac` fractional bits, `y` and the result have `guess_frac`; `x y < 2^(61 - frac - guess_frac)`.
/// 6 rounds.
///
/// # Errors
///
/// When a peer fails.
pub fn refine(shared: &Rep, guess: &Rep, frac: u32, guess_frac: u32, session: &mut Session) -> Result<Rep> {
    let scaled = truncate(product(shared, guess), frac, session)?;
    let mut rest = truncate(product(&scaled, guess), guess_frac, session)?.negated();
    rest.add_constant(3 << guess_frac, session.party());
    truncate(product(&rest, guess), guess_frac + 1, session)
}

/// `1 / sqrt(x)` for `1 <= x < 2^integer_bits - 2^-7`, to about `2^-11` of itself.
///
/// `x` has `frac` fractional bits, at least 8, the result 24.
///
/// 12 + `ceil(log2(integer_bits + 6))` + `ceil(log2(integer_bits))` rounds.
///
/// # Errors
///
/// When a peer fails.
pub fn inverse_square_root_of_fixed(
    shared: &Rep,
    frac: u32,
    integer_bits: u32,
    session: &mut Session,
) -> Result<Rep> {
    const FRAC: u32 = 24;
    let window = Window { low: frac, width: integer_bits.max(2), mantissa: 4, guard: 3 };
    let scale = 2.0_f64.powf(f64::from(FRAC) + f64::from(frac) / 2.0);
    let guess = inverse_square_root(shared, window, scale, session)?;
    refine(shared, &guess, frac, FRAC, session)
}

/// The square of each element, reshared. 1 round, 24 bytes.
///
/// # Errors
///
/// When a peer fails.
pub fn square(shared: &Rep, session: &mut Session) -> Result<Rep> {
    multiply(shared, shared, session)
}
