//! Signs.

use crate::error::Result;
use crate::protocol::circuit::Circuit;
use crate::protocol::digits::{self, DIGIT_BITS};
use crate::protocol::split::Split;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Whether each element is negative, given `|x| < 2^(width - 1)`.
///
/// The low `width` bits, rounded up to whole digits, are added digit by digit; the top digit's carry is its top bit.
/// With d digits: 2 + ceil(log2(d)) rounds; `20 d` bits and fewer than 2 `d` ANDs of 3 bits.
///
/// # Errors
///
/// When a peer fails.
pub fn is_negative(shared: &Rep, width: u32, session: &mut Session) -> Result<Bits> {
    is_negative_from(&Split::of(shared, session.party()), 0, width, session)
}

/// [`is_negative`] of the sum that the two components have without their lowest `low` bits.
pub(crate) fn is_negative_from(value: &Split, low: u32, width: u32, session: &mut Session) -> Result<Bits> {
    let count = width.div_ceil(DIGIT_BITS) as usize;
    let mut tables = vec![vec![digits::generate(), digits::propagate()]; count];
    // The top bit of the top digit, and whether a carry from below changes it.
    tables[count - 1] = vec![digits::table(|sum| sum % 16 >= 8), digits::table(|sum| sum % 8 == 7)];
    let bits = digits::look_up_digits(value, low, &tables, session)?;
    let (generate, propagate): (Vec<_>, Vec<_>) = (0..count).map(|digit| (2 * digit, 2 * digit + 1)).unzip();
    let mut circuit = Circuit::new(bits, 4 * count);
    let sign = circuit.carry_out(&generate, &propagate, session)?;
    Ok(circuit.outputs(&[sign]))
}
