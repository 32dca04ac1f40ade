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
/// Bits of the three lowest digits of a count of steps.
const DIGITS: [u32; 3] = [5, 5, 6];
/// Their places, and that of the digit beyond.
const PLACES: [u32; 4] = [0, DIGITS[0], DIGITS[0] + DIGITS[1], DIGITS[0] + DIGITS[1] + DIGITS[2]];
/// Integer bits of the three digits: they reach up to `2^4`.
const INSIDE_BITS: u32 = PLACES[3] - STEP_BITS;
/// Fewest bits of the digit beyond: its tables have 64 entries or more.
const LEAST_BEYOND_BITS: u32 = 6;
/// Integer bits of the longest argument.
const MOST_INTEGER_BITS: u32 = INSIDE_BITS + 10;
/// Fractional bits of the entries for each of the three digits.
const FRAC: [u32; 3] = [18, 18, 22];

/// Bits of an argument that [`exp_negative`] looks at: its components must be right modulo two to this power.
pub fn argument_bits(frac: u32, integer_bits: u32) -> u32 {
    frac + INSIDE_BITS + beyond_bits(integer_bits)
}

/// Bits of the highest digit.
fn beyond_bits(integer_bits: u32) -> u32 {
    integer_bits.saturating_sub(INSIDE_BITS).max(LEAST_BEYOND_BITS)
}

/// `e^-x` with [`EXP_FRAC`] fractional bits, for `0 <= x < 2^integer_bits - 2^-1` with `frac` fractional bits, `integer_bits` at
/// most 14; from 16 on it is 0.
///
/// The argument is counted in steps of `2^-12`, up to one too low or one too high: the relative error is below
/// `2^-12 + 2^-16`, plus `2^-19` absolute. `0` comes out as `1` or `1 - 2^-12`.
///
/// The count is `A + B` with `A` and `B` from the two components. Both are cut in digits, and tables are read at the sums of the
/// digits: no carry needs to be known.
///
/// - The sums of the lower digits are taken with the carry that is in them: `e` to the sum is the product of `e` to the
///   summands.
/// - The sum of the digits beyond `2^4` tells modulo its range whether there is something: it is 0, or -1 and the digits below make
///   a carry. For each of the two cases there is a bit and a table of the digit below, and the inner product of bits and entries
///   is one factor.
///
/// Messages are those of the look-up, of resharing and of the truncation, each masked as there.
///
/// 6 rounds, and the first one closes the argument if it is open; with `h` bits beyond, at least 6: `2^h / 8` and 263 bytes.
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

    let table = |digit: usize, value: &dyn Fn(i32) -> f64| -> Vec<u64> {
        let step = 2.0_f64.powi(PLACES[digit] as i32 - STEP_BITS as i32);
        (0..2 << DIGITS[digit]).map(|sum| rounded((value(sum) * step).exp(), FRAC[digit])).collect()
    };
    let [fine, middle, coarse] = [0, 1, 2].map(|digit| table(digit, &|sum| -f64::from(sum)));
    // With a carry out of this digit, or out of the lower ones alone into nothing but ones.
    let wrap = 1 << DIGITS[2];
    let wrapped = table(2, &|sum| if sum < wrap - 1 { f64::NEG_INFINITY } else { f64::from(wrap - sum) });
    let beyond = beyond_bits(integer_bits);
    let [mut none, mut ones] = [(); 2].map(|()| vec![0; 1 << beyond]);
    none[0] = 1;
    ones[(1 << beyond) - 1] = 1;
    let queries = [
        Query { low: low + PLACES[0], bits: DIGITS[0], tables: &[&fine] },
        Query { low: low + PLACES[1], bits: DIGITS[1], tables: &[&middle] },
        Query { low: low + PLACES[2], bits: DIGITS[2], tables: &[&coarse, &wrapped] },
        Query { low: low + PLACES[3], bits: beyond, tables: &[&none, &ones] },
    ];
    let [fine, middle, coarse, beyond]: [Vec<Rep>; 4] = look_up_sums(&mut steps, &queries, session)?
        .try_into()
        .unwrap_or_else(|_| unreachable!("four queries have four answers"));

    // Two factors in one round.
    let mut upper = product(&coarse[0], &beyond[0]);
    upper.add_assign(&product(&coarse[1], &beyond[1]));
    let len = upper.len();
    upper.extend(&product(&fine[0], &middle[0]));
    let factors = reshare(upper, session)?;
    let (upper, lower) = (factors.slice(0..len), factors.slice(len..2 * len));
    truncate(product(&upper, &lower), FRAC.iter().sum::<u32>() - EXP_FRAC, session)
}
