//! Sign and comparison, and the rectifier built on it.

use crate::error::Result;
use crate::protocol::add_bits::Addends;
use crate::protocol::circuit::Circuit;
use crate::protocol::convert::to_ring;
use crate::protocol::multiply::multiply;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Whether each element is negative, given `|x| < 2^(width - 1)`.
///
/// Only the low `width` bits are added. 2 + ceil(log2(width - 1)) rounds; 3 `width` - 2 bits and fewer than 2 `width`
/// ANDs of 3 bits.
///
/// # Errors
///
/// When a peer fails.
pub fn is_negative(shared: &Rep, width: u32, session: &mut Session) -> Result<Bits> {
    let addends = Addends::share(shared, 0, width, 0, session)?;
    let top = width as usize - 1;
    if top == 0 {
        return Ok(addends.propagate);
    }
    let generate = addends.generate(top, session)?;
    let mut inputs = addends.propagate;
    inputs.push(&generate);
    let (propagate, generate): (Vec<_>, Vec<_>) = (0..top).map(|at| (at, top + 1 + at)).unzip();
    let mut circuit = Circuit::new(inputs, 4 * top);
    let carry = circuit.carry_out(&generate, &propagate, session)?;
    let sign = circuit.xor(&[top, carry]);
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
