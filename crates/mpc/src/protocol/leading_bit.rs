//! The leading bit of a positive number and the bits behind it: the address of a value in a logarithmic table.

use crate::error::Result;
use crate::protocol::add_bits::to_bits;
use crate::protocol::circuit::{Circuit, Wire};
use crate::session::Session;
use crate::share::{Bits, Rep};

/// A window of bits in which the leading one is sought, and how many bits behind it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The lowest place where the leading one may stand.
    pub low: u32,
    /// Number of places, at most 32.
    pub width: u32,
    /// Bits taken from behind the leading one.
    pub mantissa: u32,
    /// Further bits that the adder sees, so that what it drops cannot change the index much.
    pub guard: u32,
}

impl Window {
    /// Bits of the index: the place of the leading one, then the mantissa above it.
    pub fn index_bits(self) -> u32 {
        (self.width.next_power_of_two().trailing_zeros()).max(1) + self.mantissa
    }

    /// A table over this window: `value` of a representative of each interval, by its number as an integer.
    ///
    /// Entry `place + 2^e mantissa` stands for the integers with the leading one at `low + place` and these bits behind
    /// it. Dropping low bits before the adder counts an integer up to `2^-(place + guard)` of an interval too high, so
    /// the representative lies half of that below the interval's middle. A number without a one in the window is taken
    /// as one with the lowest place and mantissa 0.
    pub fn table(self, value: impl Fn(f64) -> u64) -> Vec<u64> {
        let place_bits = self.index_bits() - self.mantissa;
        (0..1_u32 << self.index_bits())
            .map(|index| {
                let place = (index & ((1 << place_bits) - 1)).min(self.width - 1);
                let mantissa = index >> place_bits;
                let steps = f64::from(1_u32 << self.mantissa);
                let dropped =
                    if self.below() < self.low { 0.5_f64.powi((self.guard + place) as i32 + 1) } else { 0.0 };
                let inside = 1.0 + (f64::from(mantissa) + 0.5 - dropped) / steps;
                value(inside * 2.0_f64.powi((self.low + place) as i32))
            })
            .collect()
    }

    /// Bits below `low` that the adder sees.
    fn below(self) -> u32 {
        (self.mantissa + self.guard).min(self.low)
    }
}

/// The index of each element in a [`Window`]'s tables; elements must be non-negative and below `2^(low + width)`.
///
/// The bits of the window come from the adder; a prefix OR from the top makes a thermometer `h`, whose steps
/// `h_i XOR h_{i+1}` mark the leading one. The place is a XOR of steps, which is free; each mantissa bit is an inner
/// product of the steps with the bits, which costs one bit. Where the window begins above bit 0, the bits below are
/// dropped before the adder, so the element may be counted up to one unit of the lowest bit used too high.
///
/// Counted up, it must still be below `2^(low + width)`: the elements must stay below that by one such unit more, or the
/// largest may come out as the smallest.
///
/// With `s = min(mantissa + guard, low)` bits seen below the window, `3 + ceil(log2(width + s - 1)) + ceil(log2(width))`
/// rounds, one less without a mantissa.
///
/// # Errors
///
/// When a peer fails.
///
/// # Panics
///
/// When lengths or widths do not fit, which is a mistake of the caller.
pub fn leading_index(shared: &Rep, window: Window, session: &mut Session) -> Result<Bits> {
    assert!(window.width >= 2 && window.width <= 32, "a window of 2 to 32 places");
    let below = window.below() as usize;
    let width = window.width as usize;
    let value = to_bits(shared, window.low - window.below(), window.width + window.below(), session)?;
    let mut circuit = Circuit::new(value, width * (width.ilog2() as usize + 4));
    let party = session.party();
    // From the top: whether there is no one down to here.
    let zeros: Vec<Wire> = (0..width).rev().map(|place| circuit.not(below + place, party)).collect();
    let mut none = circuit.prefix_and(&zeros, session)?;
    none.reverse();
    // The leading one stands where there is none above and one down to here.
    let steps: Vec<Wire> = (0..width)
        .map(|place| {
            if place + 1 < width {
                circuit.xor(&[none[place], none[place + 1]])
            } else {
                circuit.not(none[place], party)
            }
        })
        .collect();

    let place_bits = (window.index_bits() - window.mantissa) as usize;
    let mut index: Vec<Wire> = (0..place_bits)
        .map(|bit| {
            let places: Vec<Wire> =
                (0..width).filter(|place| place >> bit & 1 == 1).map(|place| steps[place]).collect();
            circuit.xor(&places)
        })
        .collect();
    if window.mantissa > 0 {
        // Index bit m of the mantissa lies mantissa - m places behind the leading one.
        let terms: Vec<Vec<(Wire, Wire)>> = (0..window.mantissa as usize)
            .map(|bit| {
                let behind = window.mantissa as usize - bit;
                (0..width)
                    .filter(|place| place + below >= behind)
                    .map(|place| (steps[place], place + below - behind))
                    .collect()
            })
            .collect();
        index.extend(circuit.inner_products(&terms, session)?);
    }
    Ok(circuit.outputs(&index))
}
