//! The exponential function.

use crate::error::Result;
use crate::protocol::lookup::{Query, look_up_sums};
use crate::protocol::multiply::{product, reshare};
use crate::protocol::reciprocal::rounded;
use crate::protocol::split::Split;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::Rep;

/// Fractional bits of the result.
pub const EXP_FRAC: u32 = 20;

/// Fractional bits of a step, in which arguments are counted.
const STEP_BITS: u32 = 12;
/// Bits of the lowest digit of a count of steps.
const FINE_BITS: u32 = 8;
/// Bits of the digit above. The two reach up to `2^4`.
const COARSE_BITS: u32 = 8;
/// Integer bits of the two digits.
const INSIDE_BITS: u32 = FINE_BITS + COARSE_BITS - STEP_BITS;
/// Fewest bits of the digit above these: its tables have 64 entries or more.
const LEAST_BEYOND_BITS: u32 = 6;
/// Integer bits of the longest argument.
const MOST_INTEGER_BITS: u32 = INSIDE_BITS + 10;
const COARSE_FRAC: u32 = 22;
const FINE_FRAC: u32 = 18;

/// Bits of an argument that [`exp_negative`] looks at: its components must be right modulo two to this power.
pub fn argument_bits(frac: u32, integer_bits: u32) -> u32 {
    frac + INSIDE_BITS + beyond_bits(integer_bits)
}

/// Bits of the highest digit.
fn beyond_bits(integer_bits: u32) -> u32 {
    integer_bits.saturating_sub(INSIDE_BITS).max(LEAST_BEYOND_BITS)
}

/// `e^-x` with [`EXP_FRAC`] fractional bits, for `0 <= x < 2^integer_bits - 2^-3` with `frac` fractional bits, `integer_bits` at
/// most 14; from 16 on it is 0.
///
/// The argument is counted in steps of `2^-12`, up to one too low or one too high: the relative error is below
/// `2^-12 + 2^-16`, plus `2^-19` absolute. `0` comes out as `1` or `1 - 2^-12`.
///
/// The count is `A + B` with `A` and `B` from the two components. Both are cut in three digits, and tables are read at the sums of the
/// digits: no carry needs to be known.
///
/// - The lowest sum, and the one above as long as nothing is beyond, are taken with the carry that is in them: `e` to the sum
///   is the product of `e` to the summands.
/// - The sum of the digits beyond tells modulo its range whether there is something: it is 0, or -1 and the digits below make a
///   carry. For each of the two cases there is a bit and a table of the digits below, and the inner product of bits and
///   entries is one factor.
///
/// Messages are those of the look-up, of resharing and of the truncation, each masked as there.
///
/// 6 rounds, and the first one closes the argument if it is open; with `h` bits beyond `2^4`, at least 6: `2^h / 8` and 320
/// bytes.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When there are more integer bits, or the argument's bits do not lie in a word, which is a mistake of the caller.
pub fn exp_negative(x: Split, frac: u32, integer_bits: u32, session: &mut Session) -> Result<Rep> {
    assert!(integer_bits <= MOST_INTEGER_BITS, "an argument of up to {MOST_INTEGER_BITS} integer bits");
    let mut steps = x.shifted_up(STEP_BITS.saturating_sub(frac));
    let low = frac.saturating_sub(STEP_BITS);
    if low > 0 {
        // In place of the carry out of the dropped bits, or zero could come out as -1.
        steps.add_constant(1 << low, session.party());
    }

    let step = 2.0_f64.powi(-(STEP_BITS as i32));
    let coarse_step = step * f64::from(1_u32 << FINE_BITS);
    let power = |exponent: f64, frac: u32| rounded(exponent.exp(), frac);
    let fine: Vec<u64> =
        (0..2 << FINE_BITS).map(|sum| power(-f64::from(sum) * step, FINE_FRAC)).collect();
    let coarse: Vec<u64> =
        (0..2 << COARSE_BITS).map(|sum| power(-f64::from(sum) * coarse_step, COARSE_FRAC)).collect();
    // With a carry out of these digits, or out of the lower one alone into nothing but ones.
    let wrap = 1 << COARSE_BITS;
    let wrapped: Vec<u64> = (0..2 * wrap)
        .map(|sum| if sum < wrap - 1 { 0 } else { power(f64::from(wrap - sum) * coarse_step, COARSE_FRAC) })
        .collect();
    let beyond = beyond_bits(integer_bits);
    let [mut none, mut ones] = [(); 2].map(|()| vec![0; 1 << beyond]);
    none[0] = 1;
    ones[(1 << beyond) - 1] = 1;
    let queries = [
        Query { low, bits: FINE_BITS, tables: &[&fine] },
        Query { low: low + FINE_BITS, bits: COARSE_BITS, tables: &[&coarse, &wrapped] },
        Query { low: low + FINE_BITS + COARSE_BITS, bits: beyond, tables: &[&none, &ones] },
    ];
    let found: [Vec<Rep>; 3] = look_up_sums(&mut steps, &queries, session)?
        .try_into()
        .unwrap_or_else(|_| unreachable!("three queries have three answers"));
    let [fine, coarse, beyond] = found;
    let mut factor = product(&coarse[0], &beyond[0]);
    factor.add_assign(&product(&coarse[1], &beyond[1]));
    let factor = reshare(factor, session)?;
    truncate(product(&factor, &fine[0]), COARSE_FRAC + FINE_FRAC - EXP_FRAC, session)
}
