//! The exponential function.

use std::iter;

use crate::error::Result;
use crate::protocol::circuit::{Circuit, Wire};
use crate::protocol::digits::{self, DIGIT_BITS, Table, look_up_digits};
use crate::protocol::lookup::{Index, Query, look_up_each};
use crate::protocol::multiply::product;
use crate::protocol::reciprocal::rounded;
use crate::protocol::split::Split;
use crate::protocol::truncate::truncate;
use crate::session::Session;
use crate::share::{Bits, Rep};

/// Fractional bits of the result.
pub const EXP_FRAC: u32 = 20;

/// Arguments from two to this power on count as infinite.
const CLAMP_BITS: u32 = 4;
/// Fractional bits of the lowest digit.
const STEP_BITS: u32 = 12;
/// Digits below the clamp; those above only tell whether the argument is beyond it.
const INSIDE: usize = ((CLAMP_BITS + STEP_BITS) / DIGIT_BITS) as usize;
/// Bits of the index: all of those digits but the lowest bit, and whether the argument is beyond.
const FINE_BITS: u32 = 8;
const COARSE_BITS: u32 = CLAMP_BITS + STEP_BITS - 1 - FINE_BITS;
const COARSE_FRAC: u32 = 22;
const FINE_FRAC: u32 = 18;

/// Bits of an argument that [`exp_negative`] looks at: its components must be right modulo two to this power.
pub fn argument_bits(frac: u32, integer_bits: u32) -> u32 {
    frac + DIGIT_BITS * digit_count(integer_bits) as u32 - STEP_BITS
}

/// Digits of an argument, at least one of them above the clamp.
fn digit_count(integer_bits: u32) -> usize {
    ((integer_bits + STEP_BITS).div_ceil(DIGIT_BITS) as usize).max(INSIDE + 1)
}

/// `e^-x` with [`EXP_FRAC`] fractional bits, for `0 <= x < 2^integer_bits - 2^-12` with `frac` fractional bits; from 16 on it
/// is 0.
///
/// The argument is counted in steps of `2^-12`, up to one too low or one too high, and then in steps of `2^-11`: the relative
/// error is below `2^-11.4 + 2^-16`, plus `2^-19` absolute. The index of 16 bits is split in two tables, one product joins
/// them. `0` comes out as `1 - 2^-13`.
///
/// The low digits say what they are without a carry from below and what a carry changes, the high ones whether they are all
/// zeros with or without one; the one bit that says so is part of the index of the coarse table, whose entries are then zeros.
///
/// Messages are those of the look-ups of digits and entries, of AND and of the truncation, each masked as there.
///
/// With d digits from `2^-12` to `2^integer_bits`, at least 5: 8 + max(2, ceil(log2(d - 4))) rounds; about `31 d + 40`
/// bits and 144 bytes.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When the argument's bits do not lie in a word, which is a mistake of the caller.
pub fn exp_negative(x: &Split, frac: u32, integer_bits: u32, session: &mut Session) -> Result<Rep> {
    let (fine_index, coarse_index) = index(x, frac, integer_bits, session)?;
    let fine_step = 2.0_f64.powi(1 - STEP_BITS as i32);
    let coarse_step = fine_step * f64::from(1_u32 << FINE_BITS);
    // Two steps of the digits are one of the index, so that the argument lies from one of theirs below to two above.
    let fine: Vec<u64> = (0..1_u32 << FINE_BITS)
        .map(|i| rounded((-(f64::from(i) + 0.25) * fine_step).exp(), FINE_FRAC))
        .collect();
    let coarse: Vec<u64> = (0..1_u32 << COARSE_BITS)
        .map(|i| rounded((-f64::from(i) * coarse_step).exp(), COARSE_FRAC))
        .chain(iter::repeat_n(0, 1 << COARSE_BITS))
        .collect();
    let queries = [
        Query { index: Index::Bits(&fine_index), tables: &[&fine] },
        Query { index: Index::Bits(&coarse_index), tables: &[&coarse] },
    ];
    let [fine, coarse] = look_up_each(&queries, session)?
        .try_into()
        .unwrap_or_else(|_| unreachable!("two queries have two answers"));
    truncate(product(&coarse[0], &fine[0]), COARSE_FRAC + FINE_FRAC - EXP_FRAC, session)
}

/// What some neighbouring digits above the clamp add up to, without a carry from below.
#[derive(Clone, Copy)]
struct High {
    /// Zero.
    zero: Wire,
    /// Two to the power of their bits, which leaves zeros and a carry.
    wraps: Wire,
    /// All ones: zeros, with a carry from below.
    ones: Wire,
}

/// The bits of the fine and of the coarse index; the top bit of the latter says whether the argument is beyond the clamp.
fn index(x: &Split, frac: u32, integer_bits: u32, session: &mut Session) -> Result<(Bits, Bits)> {
    assert!(argument_bits(frac, integer_bits) <= 64, "an argument of up to 64 bits");
    let party = session.party();
    let mut value = x.clone();
    if frac < STEP_BITS {
        value.scale(1 << (STEP_BITS - frac));
    }
    let low = frac.saturating_sub(STEP_BITS);
    if low > 0 {
        // In place of the carry out of the dropped bits, or zero could come out as -1.
        value.add_constant(1 << low, party);
    }

    let bit = |bit: u32| digits::table(move |sum| sum >> bit & 1 == 1);
    // A carry inverts bit 0 and each bit above ones alone.
    let change = |bit: u32| digits::table(move |sum| sum % (1 << bit) == (1 << bit) - 1);
    let bits: Vec<Table> = (0..DIGIT_BITS).map(bit).collect();
    let mut tables = vec![iter::chain(bits.clone(), [digits::generate()]).collect::<Vec<Table>>()];
    for _ in 1..INSIDE {
        let carries = [digits::generate(), digits::propagate()];
        tables.push(bits.iter().copied().chain((1..DIGIT_BITS).map(change)).chain(carries).collect());
    }
    let high = [digits::table(|sum| sum == 0), digits::table(|sum| sum == 16), digits::propagate()];
    tables.resize_with(digit_count(integer_bits), || high.to_vec());
    let width = DIGIT_BITS as usize;
    // The wires of the digits from the second on.
    let plain = |digit: usize, bit: usize| {
        if digit == 0 { bit } else { width + 1 + (digit - 1) * (2 * width + 1) + bit }
    };
    let change = |digit: usize, bit: usize| plain(digit, width + bit - 1);
    let generate = |digit: usize| if digit == 0 { width } else { plain(digit, 2 * width - 1) };
    let propagate = |digit: usize| plain(digit, 2 * width);
    let mut groups: Vec<High> = (INSIDE..tables.len())
        .map(|digit| {
            let first = plain(INSIDE, 0) + 3 * (digit - INSIDE);
            High { zero: first, wraps: first + 1, ones: first + 2 }
        })
        .collect();

    let mut circuit = Circuit::new(look_up_digits(&value, low, &tables, session)?, 64);
    // The carries out of the digits below the clamp, in two rounds; the digits above join in the same ones.
    let layer = vec![
        vec![(propagate(1), generate(0))],
        vec![(propagate(3), generate(2))],
        vec![(propagate(3), propagate(2))],
    ];
    let joined = join(&mut circuit, layer, &mut groups, session)?;
    let carry_1 = circuit.xor(&[generate(1), joined[0]]);
    let upper = circuit.xor(&[generate(3), joined[1]]);
    let layer = vec![vec![(propagate(2), carry_1)], vec![(joined[2], carry_1)]];
    let joined = join(&mut circuit, layer, &mut groups, session)?;
    let carries =
        [generate(0), carry_1, circuit.xor(&[generate(2), joined[0]]), circuit.xor(&[upper, joined[1]])];
    while groups.len() > 1 {
        join(&mut circuit, Vec::new(), &mut groups, session)?;
    }

    let High { zero, wraps, ones } = groups[0];
    let zero = circuit.xor(&[zero, wraps]);
    let differs = circuit.xor(&[zero, ones]);
    let mut gates = vec![(carries[INSIDE - 1], differs)];
    for digit in 1..INSIDE {
        gates.extend((1..width).map(|bit| (carries[digit - 1], change(digit, bit))));
    }
    let mut changes = circuit.and(&gates, session)?;
    let mut changed = |circuit: &mut Circuit, wire: Wire| {
        let change = changes.next().unwrap_or_else(|| unreachable!("a gate for each bit"));
        circuit.xor(&[wire, change])
    };
    let inside = changed(&mut circuit, zero);
    let mut index: Vec<Wire> = (1..width).map(|bit| plain(0, bit)).collect();
    for digit in 1..INSIDE {
        index.push(circuit.xor(&[plain(digit, 0), carries[digit - 1]]));
        index.extend((1..width).map(|bit| changed(&mut circuit, plain(digit, bit))));
    }
    index.push(circuit.not(inside, party));
    let (fine, coarse) = index.split_at(FINE_BITS as usize);
    Ok((circuit.outputs(fine), circuit.outputs(coarse)))
}

/// One round: the gates of `layer`, whose wires are returned, and those that join neighbouring groups of high digits.
fn join(
    circuit: &mut Circuit,
    layer: Vec<Vec<(Wire, Wire)>>,
    groups: &mut Vec<High>,
    session: &mut Session,
) -> Result<Vec<Wire>> {
    let mut gates = layer;
    let count = gates.len();
    for pair in groups.chunks_exact(2) {
        let (low, high) = (pair[0], pair[1]);
        gates.push(vec![(low.zero, high.zero)]);
        gates.push(vec![(low.zero, high.wraps), (low.wraps, high.ones)]);
        gates.push(vec![(low.ones, high.ones)]);
    }
    if gates.is_empty() {
        return Ok(Vec::new());
    }
    let wires: Vec<Wire> = circuit.inner_products(&gates, session)?.collect();
    let odd = groups.chunks_exact(2).remainder().to_vec();
    let joined =
        wires[count..].chunks_exact(3).map(|wires| High { zero: wires[0], wraps: wires[1], ones: wires[2] });
    *groups = joined.chain(odd).collect();
    Ok(wires[..count].to_vec())
}
