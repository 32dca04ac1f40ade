//! Sign and comparison, and the rectifier built on it.

use crate::error::Result;
use crate::protocol::circuit::Circuit;
use crate::protocol::convert::to_ring;
use crate::protocol::digits::{self, DIGIT_BITS};
use crate::protocol::multiply::multiply;
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
    let count = width.div_ceil(DIGIT_BITS) as usize;
    let mut tables = vec![vec![digits::generate(), digits::propagate()]; count];
    // The top bit of the top digit, and whether a carry from below changes it.
    tables[count - 1] = vec![digits::table(|sum| sum % 16 >= 8), digits::table(|sum| sum % 8 == 7)];
    let value = Split::of(shared, session.party());
    let bits = digits::look_up_digits(&value, 0, &tables, session)?;
    let (generate, propagate): (Vec<_>, Vec<_>) = (0..count).map(|digit| (2 * digit, 2 * digit + 1)).unzip();
    let mut circuit = Circuit::new(bits, 4 * count);
    let sign = circuit.carry_out(&generate, &propagate, session)?;
    Ok(circuit.outputs(&[sign]))
}

/// The rectifier `max(x, 0)` and its derivative, 0 or 1, given `|x| < 2^(width - 1)`; the derivative at 0 is 1.
///
/// The sign, its conversion to the ring (2 rounds, 24 bytes) and one product (1 round, 24 bytes).
///
/// # Errors
///
/// When a peer fails.
pub fn relu(shared: &Rep, width: u32, session: &mut Session) -> Result<(Rep, Rep)> {
    let positive = is_negative(shared, width, session)?.inverted(session.party());
    let derivative = to_ring(&positive, session)?;
    Ok((multiply(&derivative, shared, session)?, derivative))
}
