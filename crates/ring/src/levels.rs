//! A number in many units at once: what is compared and averaged under sharing though nobody may know how large it is.
//!
//! The units are powers of two, [`STEP`] bits apart, from far above all numbers of tables to far below; level 0 has the largest.
//! On each level the number is an integer of `2^-FRAC` units, modulo `2^64`. On coarse levels the integer is small and says little;
//! on fine ones it wraps around. The difference of two numbers is right on all levels where it fits, even if the numbers do not,
//! so that two large numbers that differ by little are told apart.

/// Number of units.
pub const LEVELS: usize = 33;

/// Bits from one unit to the next.
pub const STEP: u32 = 4;

/// Fractional bits of a number, in each unit.
pub const FRAC: u32 = 30;

/// The largest unit is two to this power: no difference of two numbers below `2^63` is larger.
const GREATEST: i32 = 66;

/// Magnitudes below this are encoded; those of tables are.
const LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// Two to the power of this is the unit of a level.
pub fn exponent(level: usize) -> i32 {
    GREATEST - STEP as i32 * level as i32
}

/// A number in all units, the largest first; `None` if it is not finite or its magnitude is above `2^63`.
///
/// ```
/// use shamisen_ring::levels::{LEVELS, decode, encode};
///
/// let words = encode(1e9 + 0.25).unwrap();
/// assert_eq!(decode(&words), 1e9 + 0.25);
/// let near = encode(1e9).unwrap();
/// assert_eq!(words[16].wrapping_sub(near[16]), 1 << 26); // in units of 2^2, with 30 fractional bits
/// assert_eq!(encode(f64::NAN), None);
/// assert_eq!(words.len(), LEVELS);
/// ```
pub fn encode(value: f64) -> Option<[u64; LEVELS]> {
    let fits = value.is_finite() && value.abs() <= LIMIT;
    fits.then(|| std::array::from_fn(|level| integer(value * scale(level))))
}

/// The number that the words of the first levels stand for, of at least one.
///
/// Each level says more precisely what the one before it has said; its integer may be off by a few.
pub fn decode(words: &[u64]) -> f64 {
    words.iter().enumerate().fold(0.0, |value, (level, &word)| {
        let missing = word.wrapping_sub(integer(value * scale(level)));
        value + missing as i64 as f64 / scale(level)
    })
}

/// Integers of a level for each 1.
fn scale(level: usize) -> f64 {
    f64::from(FRAC as i32 - exponent(level)).exp2()
}

/// The nearest integer, modulo `2^64`; ties to even.
fn integer(value: f64) -> u64 {
    const MANTISSA: u32 = 52;
    let rounded = value.round_ties_even();
    if rounded.abs() < LIMIT {
        return rounded as i64 as u64;
    }
    let bits = rounded.to_bits();
    // Of such a number the lowest bit of the mantissa stands for 2^11 at least.
    let shift = (bits >> MANTISSA & 0x7ff) as u32 - 1023 - MANTISSA;
    let mantissa = bits & ((1 << MANTISSA) - 1) | 1 << MANTISSA;
    let magnitude = mantissa.checked_shl(shift).unwrap_or(0);
    if rounded < 0.0 { magnitude.wrapping_neg() } else { magnitude }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = f64> {
        (-1.0..1.0f64, -90..63i32).prop_map(|(mantissa, exponent)| mantissa * f64::from(exponent).exp2())
    }

    proptest! {
        #[test]
        fn numbers_come_back(value in numbers()) {
            let words = encode(value).unwrap();
            let finest = f64::from(exponent(LEVELS - 1) - FRAC as i32).exp2();
            prop_assert!((decode(&words) - value).abs() <= (value.abs() * f64::EPSILON).max(finest));
            // Fewer levels say less.
            let coarse = decode(&words[..8]);
            prop_assert!((coarse - value).abs() <= f64::from(exponent(7) - FRAC as i32).exp2());
        }

        #[test]
        fn a_few_integers_more_or_less_do_not_matter(value in numbers(), error in -3i64..4) {
            let words = encode(value).unwrap().map(|word| word.wrapping_add(error as u64));
            let finest = f64::from(exponent(LEVELS - 1) - FRAC as i32).exp2();
            prop_assert!((decode(&words) - value).abs() <= (value.abs() * f64::EPSILON).max(4.0 * finest));
        }

        #[test]
        fn differences_are_right_where_they_fit(one in numbers(), ratio in -2.0..2.0f64) {
            let other = one * ratio;
            let (a, b) = (encode(one).unwrap(), encode(other).unwrap());
            for level in 0..LEVELS {
                let expected = (one - other) * scale(level);
                if expected.abs() < 2.0_f64.powi(40) {
                    let found = a[level].wrapping_sub(b[level]) as i64 as f64;
                    let rounding = 1.0 + (one.abs() + other.abs()) * scale(level) * f64::EPSILON;
                    prop_assert!((found - expected).abs() <= rounding, "level {}", level);
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_of_a_table_is_refused() {
        for value in [f64::NAN, f64::INFINITY, -1e300] {
            assert_eq!(encode(value), None);
        }
        assert!(encode(LIMIT).is_some() && encode(-LIMIT).is_some());
        assert_eq!(encode(0.0), Some([0; LEVELS]));
        // The largest difference there is fits into the largest unit.
        assert!((2.0 * LIMIT) < f64::from(exponent(0)).exp2());
    }
}
