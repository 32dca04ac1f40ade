//! Points whose distance grows with the numbers: the address of a number from 1 to a large bound in a table, by its leading bit.

use crate::error::Result;
use crate::protocol::leading_bit::{Window, leading_index};
use crate::protocol::lookup::look_up;
use crate::session::Session;
use crate::share::Rep;

/// Bits behind the leading one that tell the points between two powers of two apart.
const MANTISSA: u32 = 5;
/// Further bits that the adder sees.
const GUARD: u32 = 3;
/// Fractional bits of what the adder sees.
const SEEN_FRAC: u32 = MANTISSA + GUARD;
/// What numbers are counted up by, in units of what the adder sees: 1 comes to lie in the second interval, which ends three above.
const COUNTED_UP: u32 = 13;

/// 1 and the points above it, 32 between a power of two and the next, near to which numbers lie.
///
/// Its range are the numbers from `1 - 2^-8` to below `2^integer_bits`. Each has a point less than `2^-5.8` of itself away; 1 has itself, and so
/// have all numbers up to `1 + 2^-7`.
///
/// They are counted up before their leading bit is looked for: 1 is then inside of an interval, where it would begin one. The first
/// interval, all below 1, is left to the largest numbers, which leave the window and come out as the lowest index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogPoints {
    frac: u32,
    window: Window,
}

impl LogPoints {
    /// The points below `2^integer_bits`, for numbers of `frac` fractional bits.
    ///
    /// # Panics
    ///
    /// When the numbers have fewer than 8 fractional bits, which is a mistake of the caller.
    pub(crate) fn below(integer_bits: u32, frac: u32) -> Self {
        assert!(frac >= SEEN_FRAC, "numbers finer than the points");
        let window = Window { low: frac, width: integer_bits.max(2), mantissa: MANTISSA, guard: GUARD };
        Self { frac, window }
    }

    /// A table of the values at the points, each with how far away a number may be that has this point.
    pub(crate) fn table(self, value: impl Fn(f64, f64) -> u64) -> Vec<u64> {
        // To either side of an interval's middle: half of its length, and of what the adder may count a number up by.
        let half = 0.5_f64.powi(SEEN_FRAC as i32 + 1);
        let counted_up = 2.0 * half * f64::from(COUNTED_UP);
        let mut table = self.window.table(|counted| {
            let counted = counted / 2.0_f64.powi(self.frac as i32);
            let half_interval = counted.log2().floor().exp2() * 0.5_f64.powi(MANTISSA as i32 + 1);
            value((counted - counted_up).max(1.0), half_interval + half)
        });
        let reach = counted_up / 2.0 + half;
        table[0] = value(2.0_f64.powi(self.window.width as i32) - reach, reach);
        table
    }

    /// The entries of tables at the point of each number.
    ///
    /// Rounds, messages and masks of [`leading_index`] and [`look_up`].
    pub(crate) fn look_up(self, x: &Rep, tables: &[&[u64]], session: &mut Session) -> Result<Vec<Rep>> {
        let mut counted = x.clone();
        counted.add_constant(u64::from(COUNTED_UP) << (self.frac - SEEN_FRAC), session.party());
        look_up(&leading_index(&counted, self.window, session)?, tables, session)
    }
}
