//! The exponential function.

use crate::error::Result;
use crate::protocol::add_bits::to_bits;
use crate::protocol::and::{and, and_planes};
use crate::protocol::lookup::{Index, Query, look_up_each};
use crate::protocol::multiply::product;
use crate::protocol::reciprocal::rounded;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Fractional bits of the result.
pub const EXP_FRAC: u32 = 16;
/// Arguments are clamped to `[-2^4, 2^4)`.
pub const CLAMP_BITS: u32 = 4;

/// Bits of the argument that count after the point.
const STEP_BITS: u32 = 10;
/// Index bits of the table for the low part; the high part has one less.
const FINE_BITS: u32 = 8;
const COARSE_BITS: u32 = CLAMP_BITS + 1 + STEP_BITS - FINE_BITS;
const COARSE_FRAC: u32 = 18;
const FINE_FRAC: u32 = 16;

/// `e^x` with [`EXP_FRAC`] fractional bits, the argument clamped to `[-16, 16)`.
///
/// `|x| < 2^integer_bits`, with `frac >= 10` fractional bits. The argument is rounded at random to one of the two steps
/// of `2^-10` next to it: the relative error is below `2^-10 + 2^-16` (plus `2^-15` absolute), its mean about
/// `2^-frac`. The index of 15 bits is split in two tables, one product joins them.
///
/// With g = `max(integer_bits, 5) - 3` bits above the index, 8 + `ceil(log2(14 + g))` + `ceil(log2(g))` rounds.
///
/// # Errors
///
/// When a peer fails.
pub fn exp(shared: &Rep, frac: u32, integer_bits: u32, session: &mut Session) -> Result<Rep> {
    let index = clamped_index(shared, frac, integer_bits, session)?;
    let fine_step = 2.0_f64.powi(-(STEP_BITS as i32));
    let coarse_step = fine_step * f64::from(1_u32 << FINE_BITS);
    let lowest = -f64::from(1_u32 << CLAMP_BITS);
    // The adder counts one step up with the probability that the dropped bits say: the entries are those of the steps.
    let fine: Vec<u64> =
        (0..1_u32 << FINE_BITS).map(|i| rounded((f64::from(i) * fine_step).exp(), FINE_FRAC)).collect();
    let coarse: Vec<u64> = (0..1_u32 << COARSE_BITS)
        .map(|i| rounded((lowest + f64::from(i) * coarse_step).exp(), COARSE_FRAC))
        .collect();
    let (low, high) = (index.planes(0..FINE_BITS as usize), index.planes(FINE_BITS as usize..index.width()));
    let queries = [
        Query { index: Index::Bits(&low), tables: &[&fine] },
        Query { index: Index::Bits(&high), tables: &[&coarse] },
    ];
    let [low, high] = look_up_each(&queries, session)?
        .try_into()
        .unwrap_or_else(|_| unreachable!("two queries have two answers"));
    truncate(product(&high[0], &low[0]), COARSE_FRAC + FINE_FRAC - EXP_FRAC, session)
}

/// The place of the argument in `[-16, 16)`, in steps of `2^-10`; below it 0, above it all ones.
fn clamped_index(shared: &Rep, frac: u32, integer_bits: u32, session: &mut Session) -> Result<Bits> {
    assert!(frac >= STEP_BITS, "an argument with at least {STEP_BITS} fractional bits");
    let party = session.party();
    let index_bits = (CLAMP_BITS + 1 + STEP_BITS) as usize;
    let mut shifted = shared.clone();
    shifted.add_constant(1 << (frac + CLAMP_BITS), party);
    // x + 16 with its sign: integer_bits and one more, but at least one above the index.
    let above = (integer_bits.max(CLAMP_BITS + 1) + 1 - CLAMP_BITS) as usize;
    let bits = to_bits(&shifted, frac - STEP_BITS, (index_bits + above) as u32, session)?;
    let guards = bits.planes(index_bits..index_bits + above).inverted(party);
    // Inside: no bit above the index is set. Too high: not inside and not negative.
    let inside = and_planes(guards.clone(), 1, session)?;
    let mut too_high = guards.plane(above - 1);
    too_high.xor_assign(&inside);
    let mut index = and(&bits.planes(0..index_bits), &inside.repeated(index_bits), session)?;
    index.xor_assign(&too_high.repeated(index_bits));
    Ok(index)
}
