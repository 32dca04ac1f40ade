//! Dense packing of values of a few bits, for messages.
//!
//! Element e of width w takes the bits `e * w..(e + 1) * w` of the packed words, counted from the lowest bit of the first word.
//! Unused high bits of the last word are zero.

use core::ops::Range;

use crate::level::{Level, at_levels, level};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod vbmi;

/// The level for widths that divide 64: the compiler's code for 512-bit vectors is up to four times slower than for 256-bit
/// ones (Zen 4, 2026-11-23).
const FASTEST_NARROW: Level = Level::Avx2;

/// Words that `len` values of `width` bits take.
pub fn packed_words(len: usize, width: u32) -> usize {
    (len * width as usize).div_ceil(64)
}

/// The words of a packed vector that hold some of its elements, which begin at a whole word and end at one or at the end.
pub fn part<'a>(packed: &'a [u64], elements: &Range<usize>, width: u32) -> &'a [u64] {
    &packed[packed_words(elements.start, width)..packed_words(elements.end, width)]
}

/// As [`part`], to be written.
pub fn part_mut<'a>(packed: &'a mut [u64], elements: &Range<usize>, width: u32) -> &'a mut [u64] {
    &mut packed[packed_words(elements.start, width)..packed_words(elements.end, width)]
}

/// Packs the low `width` bits of every value; the bits above are ignored.
///
/// # Panics
///
/// If `width` is not 1 to 64 or `out` has not [`packed_words`]`(values.len(), width)` words.
pub fn pack(values: &[u64], width: u32, out: &mut [u64]) {
    pack_at(level(), values, width, out);
}

/// [`pack`] at a given level.
///
/// # Panics
///
/// As [`pack`] does.
pub fn pack_at(level: Level, values: &[u64], width: u32, out: &mut [u64]) {
    check(out.len(), values.len(), width);
    let narrow = level.min(FASTEST_NARROW);
    match width {
        8 => narrow_to_bytes(narrow, values, out),
        16 => narrow_to_shorts(narrow, values, out),
        32 => narrow_to_halves(narrow, values, out),
        64 => out.copy_from_slice(values),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions that the function is compiled for.
        9.. if level.has_byte_permutes() => unsafe { vbmi::pack(values, width as usize, out) },
        #[cfg(target_arch = "x86_64")]
        _ if level.clamped() >= Level::Avx2 && avx2::PACKED.contains(&width) => {
            // SAFETY: a clamped level is one that the processor has.
            unsafe { avx2::pack(values, width as usize, out) }
        }
        _ => shift_in(level, values, width, out),
    }
}

/// Takes every value out of its `width` bits.
///
/// # Panics
///
/// If `width` is not 1 to 64 or `packed` has not [`packed_words`]`(out.len(), width)` words.
pub fn unpack(packed: &[u64], width: u32, out: &mut [u64]) {
    unpack_at(level(), packed, width, out);
}

/// [`unpack`] at a given level.
///
/// # Panics
///
/// As [`unpack`] does.
pub fn unpack_at(level: Level, packed: &[u64], width: u32, out: &mut [u64]) {
    check(packed.len(), out.len(), width);
    let narrow = level.min(FASTEST_NARROW);
    match width {
        8 => widen_bytes(narrow, packed, out),
        16 => widen_shorts(narrow, packed, out),
        32 => widen_halves(narrow, packed, out),
        64 => out.copy_from_slice(packed),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has the instructions that the function is compiled for.
        _ if level.has_byte_permutes() => unsafe { vbmi::unpack(packed, width as usize, out) },
        #[cfg(target_arch = "x86_64")]
        _ if level.clamped() >= Level::Avx2 && avx2::UNPACKED.contains(&width) => {
            // SAFETY: a clamped level is one that the processor has.
            unsafe { avx2::unpack(packed, width as usize, out) }
        }
        _ => shift_out(level, packed, width, out),
    }
}

fn check(words: usize, values: usize, width: u32) {
    assert!((1..=64).contains(&width), "a value has 1 to 64 bits, not {width}");
    let expected = packed_words(values, width);
    assert_eq!(words, expected, "{values} values of {width} bits take {expected} words, not {words}");
}

/// Defines both directions for a width that divides 64.
macro_rules! whole_parts {
    ($narrow:ident, $widen:ident, $part:ty) => {
        at_levels! {
            fn $narrow(values: &[u64], out: &mut [u64]) {
                const COUNT: usize = 8 / size_of::<$part>();
                let (groups, rest) = values.as_chunks::<COUNT>();
                let (words, last) = out.split_at_mut(groups.len());
                for (word, group) in words.iter_mut().zip(groups) {
                    let mut bytes = [0; 8];
                    for (part, value) in bytes.chunks_exact_mut(size_of::<$part>()).zip(group) {
                        part.copy_from_slice(&(*value as $part).to_le_bytes());
                    }
                    *word = u64::from_le_bytes(bytes);
                }
                if let [word] = last {
                    *word = rest.iter().rev().fold(0, |word, value| (word << <$part>::BITS) | u64::from(*value as $part));
                }
            }
        }

        at_levels! {
            fn $widen(packed: &[u64], out: &mut [u64]) {
                const COUNT: usize = 8 / size_of::<$part>();
                let (groups, rest) = out.as_chunks_mut::<COUNT>();
                let (words, last) = packed.split_at(groups.len());
                let part = |word: u64, i: usize| u64::from((word >> (i * <$part>::BITS as usize)) as $part);
                for (word, group) in words.iter().zip(groups) {
                    for i in 0..COUNT {
                        group[i] = part(*word, i);
                    }
                }
                for (i, value) in rest.iter_mut().enumerate() {
                    *value = part(last[0], i);
                }
            }
        }
    };
}

whole_parts!(narrow_to_bytes, widen_bytes, u8);
whole_parts!(narrow_to_shorts, widen_shorts, u16);
whole_parts!(narrow_to_halves, widen_halves, u32);

at_levels! {
    /// Packs any width, a word of output at a time.
    fn shift_in(values: &[u64], width: u32, out: &mut [u64]) {
        let mask = u64::MAX >> (64 - width);
        let (mut word, mut filled) = (0, 0);
        let mut words = out.iter_mut();
        for value in values {
            let value = value & mask;
            word |= value << filled;
            filled += width;
            if filled >= 64 {
                if let Some(out) = words.next() {
                    *out = word;
                }
                filled -= 64;
                // The bits of the value that did not fit; a shift by the whole width leaves none.
                word = value.checked_shr(width - filled).unwrap_or(0);
            }
        }
        if let Some(out) = words.next() {
            *out = word;
        }
    }
}

at_levels! {
    /// Unpacks any width.
    fn shift_out(packed: &[u64], width: u32, out: &mut [u64]) {
        let mask = u64::MAX >> (64 - width);
        let (mut word, mut left) = (0u64, 0);
        let mut words = packed.iter();
        for value in out {
            *value = word;
            if left < width {
                let next = words.next().copied().unwrap_or(0);
                *value |= next << left;
                word = next.checked_shr(width - left).unwrap_or(0);
                left += 64;
            } else {
                word = word.checked_shr(width).unwrap_or(0);
            }
            *value &= mask;
            left -= width;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(values: &[u64], width: u32) -> Vec<u64> {
        let mut out = vec![0; packed_words(values.len(), width)];
        for (e, value) in values.iter().enumerate() {
            for b in 0..width as usize {
                let bit = e * width as usize + b;
                out[bit / 64] |= ((value >> b) & 1) << (bit % 64);
            }
        }
        out
    }

    fn check_width(values: &[u64], width: u32) {
        let expected = naive(values, width);
        let mask = u64::MAX >> (64 - width);
        let kept: Vec<_> = values.iter().map(|value| value & mask).collect();
        for level in Level::available() {
            let mut packed = vec![u64::MAX; expected.len()];
            pack_at(level, values, width, &mut packed);
            assert!(packed == expected, "{level:?}: {} values of {width} bits", values.len());
            let mut back = vec![u64::MAX; values.len()];
            unpack_at(level, &packed, width, &mut back);
            assert!(back == kept, "{level:?}: {} values of {width} bits", values.len());
            // On processors with vectors, the calls above reach these for some widths only.
            shift_in(level, values, width, &mut packed);
            assert!(packed == expected, "{level:?}: {} values of {width} bits", values.len());
            shift_out(level, &packed, width, &mut back);
            assert!(back == kept, "{level:?}: {} values of {width} bits", values.len());
        }
    }

    #[test]
    fn all_widths_and_short_lengths() {
        let values: Vec<u64> = (1..=140u64).map(|x| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for width in 1..=64 {
            for len in 0..=values.len() {
                check_width(&values[..len], width);
            }
            check_width(&[u64::MAX; 77], width);
        }
    }

    proptest! {
        #[test]
        fn every_level_agrees_with_the_definition(
            values in proptest::collection::vec(any::<u64>(), 0..400),
            width in 1u32..=64,
        ) {
            check_width(&values, width);
        }
    }

    #[test]
    fn bits_beyond_the_values_are_ignored() {
        for level in Level::available() {
            let mut out = [0; 3];
            unpack_at(level, &[u64::MAX], 20, &mut out);
            assert_eq!(out, [0xf_ffff; 3], "{level:?}");
        }
    }

    #[test]
    #[should_panic(expected = "10 values of 20 bits take 4 words, not 3")]
    fn the_output_has_room_for_all() {
        pack(&[0; 10], 20, &mut [0; 3]);
    }

    #[test]
    #[should_panic(expected = "a value has 1 to 64 bits, not 0")]
    fn a_value_has_bits() {
        unpack(&[], 0, &mut [0; 3]);
    }
}
