//! Equally spaced points: the address of a number from 1 to a small bound in a table, straight from its components.

use crate::error::Result;
use crate::protocol::lookup::{Query, look_up_sums};
use crate::protocol::split::Split;
use crate::session::Session;
use crate::share::Rep;

/// Fractional bits of the distance of two points.
const STEP_BITS: u32 = 6;
/// The distance of two points.
pub(crate) const STEP: f64 = 1.0 / (1_u64 << STEP_BITS) as f64;
/// Bits of the index of the largest table.
const MOST_BITS: u32 = 10;

/// The points `1 - 2^-6`, `1`, `1 + 2^-6` and so on, near to which numbers lie.
///
/// Its range are the numbers from `1 - 2^-6` to `greatest + 2^-6`. Each has a point less than `2^-6` away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Points {
    /// Fractional bits of the numbers.
    pub(crate) frac: u32,
    greatest: u32,
}

impl Points {
    /// The points up to `greatest`, for numbers of `frac` fractional bits; none if they are more than 1024.
    ///
    /// # Panics
    ///
    /// When the numbers have fewer than 7 fractional bits, which is a mistake of the caller.
    pub fn up_to(greatest: usize, frac: u32) -> Option<Self> {
        assert!(frac > STEP_BITS, "numbers finer than the points");
        let points = Self { frac, greatest: u32::try_from(greatest).ok()? };
        (greatest <= 1 << MOST_BITS && points.index_bits() <= MOST_BITS).then_some(points)
    }

    /// Bits of the index of a point.
    pub fn index_bits(self) -> u32 {
        // One point below 1; the last number of the range may be counted up by one and lies at most two above the bound.
        let count = ((self.greatest - 1) << STEP_BITS) + 4;
        count.next_power_of_two().trailing_zeros().max(STEP_BITS)
    }

    /// A table of the values at the points.
    pub(crate) fn table(self, value: impl Fn(f64) -> u64) -> Vec<u64> {
        (0..1_u32 << self.index_bits()).map(|index| value(1.0 + (f64::from(index) - 1.0) * STEP)).collect()
    }

    /// The entries of tables at the point next to each number, below or above it.
    ///
    /// The components, less `1 - 2^-6`, drop what lies below a step, and their sum is an index as it is. 3 rounds; messages
    /// and masks of [`look_up`](crate::protocol::lookup::look_up).
    pub(crate) fn look_up(self, x: &Rep, tables: &[&[u64]], session: &mut Session) -> Result<Vec<Rep>> {
        let low = self.frac - STEP_BITS;
        let mut value = Split::of(x, session.party());
        // One step more, in place of the carry out of the dropped bits.
        value.add_constant((2_u64 << low).wrapping_sub(1 << self.frac), session.party());
        let query = Query { low, bits: self.index_bits(), tables };
        Ok(look_up_sums(&mut value, &[query], session)?.swap_remove(0))
    }
}
