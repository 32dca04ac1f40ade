//! Fixed-point numbers in `Z_2^64`: two's complement, with the number of fractional bits given at run time.

/// Most fractional bits of a number.
pub const MAX_FRAC: u32 = 62;

/// `value` times 2^`frac`, rounded to the nearest integer, ties to even.
///
/// `None` if the value is not finite, or if the rounded integer has a magnitude of 2^62 or more: the protocols need a bit to
/// spare.
///
/// # Panics
///
/// If `frac` is above [`MAX_FRAC`].
///
/// ```
/// use shamisen_ring::fixed::{decode, encode};
///
/// assert_eq!(encode(-1.5, 16), Some((-3i64 << 15) as u64));
/// assert_eq!(decode((-3i64 << 15) as u64, 16), -1.5);
/// assert_eq!(encode(f64::NAN, 16), None);
/// ```
pub fn encode(value: f64, frac: u32) -> Option<u64> {
    let scaled = (value * scale(frac)).round_ties_even();
    (scaled.abs() < scale(62)).then_some(scaled as i64 as u64)
}

/// The number that `value` stands for: as a signed integer, divided by 2^`frac`.
///
/// # Panics
///
/// If `frac` is above [`MAX_FRAC`].
pub fn decode(value: u64, frac: u32) -> f64 {
    value as i64 as f64 / scale(frac)
}

/// A public factor in `(1/2, 1]`: an integer over two to a power.
///
/// Shared numbers are multiplied by the integer, which is local, and the power comes off in a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    numerator: u64,
    bits: u32,
}

impl Factor {
    /// The factor 1.
    pub const ONE: Self = Self { numerator: 1, bits: 0 };

    /// A positive number as a factor, rounded to a multiple of 2^-`bits`, times two to an exponent.
    ///
    /// # Panics
    ///
    /// If the number is not positive and finite, or `bits` is above 52.
    ///
    /// ```
    /// use shamisen_ring::fixed::Factor;
    ///
    /// let (factor, exponent) = Factor::of(0.1, 9);
    /// assert_eq!((factor.numerator(), factor.bits(), exponent), (205, 8, -3));
    /// assert_eq!(Factor::of(0.25, 9), (Factor::ONE, -2));
    /// ```
    pub fn of(number: f64, bits: u32) -> (Self, i32) {
        assert!(number > 0.0 && number.is_finite() && bits <= 52, "{number} as a factor of {bits} bits");
        let exponent = number.log2().ceil() as i32;
        let numerator = (number * f64::from(bits as i32 - exponent).exp2()).round() as u64;
        let common = numerator.trailing_zeros().min(bits);
        (Self { numerator: numerator >> common, bits: bits - common }, exponent)
    }

    /// The integer.
    pub fn numerator(self) -> u64 {
        self.numerator
    }

    /// The power of two by which it is divided.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The factor itself.
    pub fn value(self) -> f64 {
        self.numerator as f64 / scale(self.bits)
    }
}

fn scale(frac: u32) -> f64 {
    assert!(frac <= MAX_FRAC, "a number has at most {MAX_FRAC} fractional bits, not {frac}");
    (1u64 << frac) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(integer in -(1i64 << 53)..1 << 53, frac in 0..=MAX_FRAC) {
            let value = integer as f64 / f64::from(frac).exp2();
            prop_assert_eq!(encode(value, frac), Some(integer as u64));
            prop_assert_eq!(decode(integer as u64, frac).to_bits(), value.to_bits());
        }

        #[test]
        fn the_error_is_at_most_half_a_unit(value in -1e9..1e9f64, frac in 0u32..=20) {
            let decoded = decode(encode(value, frac).unwrap(), frac);
            prop_assert!((decoded - value).abs() <= 0.5 / f64::from(1u32 << frac), "{decoded}");
        }
    }

    proptest! {
        #[test]
        fn a_factor_is_near_its_number(number in 1e-9..1e9f64, bits in 1u32..=20) {
            let (factor, exponent) = Factor::of(number, bits);
            let near = factor.value() * f64::from(exponent).exp2();
            prop_assert!((near / number - 1.0).abs() <= 1.0 / f64::from(1u32 << bits), "{near}");
            prop_assert!(factor.value() >= 0.5 && factor.value() <= 1.0);
        }
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        let encoded = [0.5, 1.5, 2.5, -0.5, -1.5].map(|value| encode(value, 0));
        assert_eq!(encoded, [0, 2, 2, 0, -2].map(|integer: i64| Some(integer as u64)));
    }

    #[test]
    fn only_finite_numbers_in_range() {
        for frac in [0, 1, 16, 61, 62] {
            let limit = f64::from(62 - frac).exp2();
            let inside = limit * (1.0 - f64::EPSILON / 2.0);
            assert_eq!(encode(inside, frac), Some((1 << 62) - (1 << 9)));
            assert_eq!(encode(-inside, frac), Some(((1i64 << 9) - (1 << 62)) as u64));
            for value in [limit, -limit, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
                assert_eq!(encode(value, frac), None, "{value} with {frac} fractional bits");
            }
        }
    }

    #[test]
    #[should_panic(expected = "at most 62 fractional bits, not 63")]
    fn too_many_fractional_bits() {
        decode(0, 63);
    }
}
