//! The element-wise steps of a truncation under replicated sharing.
//!
//! What they compute for is told where the protocol is. Bits of many elements come as a plane: element `e` is bit `e % 64` of
//! word `e / 64`. The bodies are plain loops that the compiler vectorises for each [`Level`](crate::level::Level).

use crate::level::{at_levels, level};

/// Subtracts every element from a bit: `out = bit - out`.
///
/// # Panics
///
/// If `plane` has not one bit for each element, rounded up to a word.
pub fn subtract_from_bits(out: &mut [u64], plane: &[u64]) {
    subtract_from_bits_at(level(), out, plane);
}

/// Keeps a share where the half's top bit is 0, and masks it: `out = (1 - msb(half)) share - mask`.
///
/// # Panics
///
/// If the slices differ in length.
pub fn select_masked(out: &mut [u64], share: &[u64], half: &[u64], mask: &[u64]) {
    select_masked_at(level(), out, share, half, mask);
}

/// Takes a signed share off a component: `out -= (1 - 2 bit) share 2^(64 - bits)`.
///
/// # Panics
///
/// If the slices differ in length, `plane` is not as long as they are, or `bits` is not 1 to 64.
pub fn subtract_signed(out: &mut [u64], share: &[u64], plane: &[u64], bits: u32) {
    assert!((1..=64).contains(&bits), "a truncation of 1 to 64 bits, not {bits}");
    subtract_signed_at(level(), out, share, plane, 64 - bits);
}

/// The component of the two who know the half `u_0`, from their sharing `own + received` of `q`:
/// `out = (u_0 >> bits) - (m_0 + (1 - m_0) bit + (1 - 2 bit) q) 2^(64 - bits) + offset` with `m_0 = msb(u_0)`.
///
/// `out` holds `own` before.
///
/// # Panics
///
/// If the slices differ in length, `plane` is not as long as they are, or `bits` is not 1 to 63.
pub fn known_component(
    out: &mut [u64],
    received: &[u64],
    half: &[u64],
    plane: &[u64],
    bits: u32,
    offset: u64,
) {
    assert!((1..64).contains(&bits), "a truncation of 1 to 63 bits, not {bits}");
    known_component_at(level(), out, received, half, plane, bits, offset);
}

/// Shifts a half and masks it: `out = (half >> bits) - mask`.
///
/// # Panics
///
/// If the slices differ in length or `bits` is 64 or more.
pub fn shift_masked(out: &mut [u64], half: &[u64], mask: &[u64], bits: u32) {
    assert!(bits < 64, "a truncation of 0 to 63 bits, not {bits}");
    shift_masked_at(level(), out, half, mask, bits);
}

at_levels! {
    /// [`subtract_from_bits`] at a given level.
    fn subtract_from_bits_at(out: &mut [u64], plane: &[u64]) {
        check_plane(out, plane);
        for (out, &word) in out.chunks_mut(64).zip(plane) {
            for (bit, out) in out.iter_mut().enumerate() {
                *out = (word >> bit & 1).wrapping_sub(*out);
            }
        }
    }
}

at_levels! {
    /// [`select_masked`] at a given level.
    fn select_masked_at(out: &mut [u64], share: &[u64], half: &[u64], mask: &[u64]) {
        let n = out.len();
        check_lengths(n, &[share, half, mask]);
        let (share, half, mask) = (&share[..n], &half[..n], &mask[..n]);
        for i in 0..n {
            out[i] = (share[i] & (half[i] >> 63).wrapping_sub(1)).wrapping_sub(mask[i]);
        }
    }
}

at_levels! {
    /// [`subtract_signed`] at a given level, with the shift to the left.
    fn subtract_signed_at(out: &mut [u64], share: &[u64], plane: &[u64], up: u32) {
        check_lengths(out.len(), &[share]);
        check_plane(out, plane);
        for ((out, share), &word) in out.chunks_mut(64).zip(share.chunks(64)).zip(plane) {
            for (bit, (out, &share)) in out.iter_mut().zip(share).enumerate() {
                let negative = (word >> bit & 1).wrapping_neg();
                *out = out.wrapping_sub((share ^ negative).wrapping_sub(negative) << up);
            }
        }
    }
}

at_levels! {
    /// [`known_component`] at a given level.
    fn known_component_at(
        out: &mut [u64],
        received: &[u64],
        half: &[u64],
        plane: &[u64],
        bits: u32,
        offset: u64,
    ) {
        check_lengths(out.len(), &[received, half]);
        check_plane(out, plane);
        let halves = received.chunks(64).zip(half.chunks(64));
        for ((out, (received, half)), &word) in out.chunks_mut(64).zip(halves).zip(plane) {
            for (bit, ((out, &received), &u0)) in out.iter_mut().zip(received).zip(half).enumerate() {
                let e = word >> bit & 1;
                let negative = e.wrapping_neg();
                let q = out.wrapping_add(received);
                let wrap = (u0 >> 63 | e).wrapping_add((q ^ negative).wrapping_sub(negative));
                *out = (u0 >> bits).wrapping_sub(wrap << (64 - bits)).wrapping_add(offset);
            }
        }
    }
}

at_levels! {
    /// [`shift_masked`] at a given level.
    fn shift_masked_at(out: &mut [u64], half: &[u64], mask: &[u64], bits: u32) {
        check_lengths(out.len(), &[half, mask]);
        for (out, (half, mask)) in out.iter_mut().zip(half.iter().zip(mask)) {
            *out = (half >> bits).wrapping_sub(*mask);
        }
    }
}

fn check_lengths(expected: usize, slices: &[&[u64]]) {
    for slice in slices {
        assert_eq!(slice.len(), expected, "the slices must have the length of the output");
    }
}

fn check_plane(values: &[u64], plane: &[u64]) {
    assert_eq!(plane.len(), values.len().div_ceil(64), "a plane has one bit for each element");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::level::Level;

    proptest! {
        #[test]
        fn every_level_agrees_with_the_formulas(
            rows in proptest::collection::vec(any::<[u64; 4]>(), 0..200),
            bits in 1_u32..64,
            offset: u64,
        ) {
            let column = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<_>>();
            let (out, share, half, mask) = (column(0), column(1), column(2), column(3));
            let plane: Vec<u64> = (0..rows.len().div_ceil(64)).map(|at| rows[at][1].rotate_left(7)).collect();
            let bit = |at: usize| plane[at / 64] >> (at % 64) & 1;
            let signed = |x: u64, bit: u64| if bit == 1 { x.wrapping_neg() } else { x };
            let each = |of: &dyn Fn(usize) -> u64| (0..rows.len()).map(of).collect::<Vec<_>>();
            for level in Level::available() {
                let mut got = out.clone();
                subtract_from_bits_at(level, &mut got, &plane);
                prop_assert_eq!(&got, &each(&|at| bit(at).wrapping_sub(out[at])));

                let mut got = out.clone();
                select_masked_at(level, &mut got, &share, &half, &mask);
                prop_assert_eq!(&got, &each(&|at| {
                    let kept = if half[at] >> 63 == 0 { share[at] } else { 0 };
                    kept.wrapping_sub(mask[at])
                }));

                let mut got = out.clone();
                subtract_signed_at(level, &mut got, &share, &plane, 64 - bits);
                prop_assert_eq!(&got, &each(&|at| {
                    out[at].wrapping_sub(signed(share[at], bit(at)).wrapping_mul(1 << (64 - bits)))
                }));

                let mut got = out.clone();
                known_component_at(level, &mut got, &share, &half, &plane, bits, offset);
                prop_assert_eq!(&got, &each(&|at| {
                    let m0 = half[at] >> 63;
                    let q = signed(out[at].wrapping_add(share[at]), bit(at));
                    let wrap = (m0 + (1 - m0) * bit(at)).wrapping_add(q);
                    (half[at] >> bits).wrapping_sub(wrap.wrapping_mul(1 << (64 - bits))).wrapping_add(offset)
                }));

                let mut got = out.clone();
                shift_masked_at(level, &mut got, &half, &mask, bits);
                prop_assert_eq!(&got, &each(&|at| (half[at] >> bits).wrapping_sub(mask[at])));
            }
        }
    }
}
