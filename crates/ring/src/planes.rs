//! Bit planes: the same bit of many values, side by side.
//!
//! For `len` elements a plane has W = [`plane_words`]`(len)` words. Plane p is `planes[p * W..(p + 1) * W]`; element e is bit
//! `e % 64` of word `e / 64`. Unused high bits of the last word are zero.
//!
//! Both directions transpose bit matrices, 512 elements at a time so that each plane gets a whole cache line: in plain Rust,
//! with AVX2, or with the byte permutes and bit-matrix products of newer processors.

#![expect(clippy::inline_always, reason = "the loops are vectorised where their lengths are known")]

use core::slice;

use crate::level::{Level, level};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod gfni;

/// Elements of a chunk.
const CHUNK: usize = 512;

/// Words of a chunk in a plane.
const LINE: usize = CHUNK / 64;

/// Rows of a transposition from which nothing is left out.
const ALL_ROWS: usize = 64;

/// Up to so many planes, AVX2 alone puts values together faster than with byte permutes: in 0.6 to 0.95 of the time (Zen 4,
/// 2026-11-23).
#[cfg(target_arch = "x86_64")]
const FEW: usize = 32;

/// Words of one plane of `len` elements.
pub fn plane_words(len: usize) -> usize {
    len.div_ceil(64)
}

/// Writes the bits `low..low + width` of every value as `width` planes. Bits beyond the 64th are zero.
///
/// # Panics
///
/// If `out` has not [`plane_words`]`(values.len()) * width` words.
pub fn to_planes(values: &[u64], low: u32, width: u32, out: &mut [u64]) {
    to_planes_at(level(), values, low, width, out);
}

/// [`to_planes`] at a given level.
///
/// # Panics
///
/// If `out` has not [`plane_words`]`(values.len()) * width` words.
pub fn to_planes_at(level: Level, values: &[u64], low: u32, width: u32, out: &mut [u64]) {
    let words = plane_words(values.len());
    check_planes(out.len(), words, width);
    // Bits that the values have.
    let taken = width.min(64u32.saturating_sub(low));
    let (out, beyond) = out.split_at_mut(words * taken as usize);
    beyond.fill(0);
    if taken == 0 {
        return;
    }
    let (chunks, rest) = values.as_chunks::<CHUNK>();
    chunks_to_planes(level, chunks, low, taken as usize, out, words);
    if !rest.is_empty() {
        let mut chunk = [0; CHUNK];
        chunk[..rest.len()].copy_from_slice(rest);
        let mut planes = [0; 64 * LINE];
        chunks_to_planes(level, &[chunk], low, taken as usize, &mut planes, LINE);
        for (plane, line) in out.chunks_exact_mut(words).zip(planes.chunks_exact(LINE)) {
            let last = &mut plane[chunks.len() * LINE..];
            last.copy_from_slice(&line[..last.len()]);
        }
    }
}

/// Puts every element together from its `width` bits.
///
/// # Panics
///
/// If `width` is above 64, if `out` has not `len` words, or if `planes` has not [`plane_words`]`(len) * width` words.
pub fn from_planes(planes: &[u64], width: u32, len: usize, out: &mut [u64]) {
    from_planes_at(level(), planes, width, len, out);
}

/// [`from_planes`] at a given level.
///
/// # Panics
///
/// As [`from_planes`] does.
pub fn from_planes_at(level: Level, planes: &[u64], width: u32, len: usize, out: &mut [u64]) {
    assert!(width <= 64, "an integer has at most 64 planes, not {width}");
    assert_eq!(out.len(), len, "the output has another length than the planes");
    let words = plane_words(len);
    check_planes(planes.len(), words, width);
    if width == 0 {
        return out.fill(0);
    }
    let (chunks, rest) = out.as_chunks_mut::<CHUNK>();
    let chunked = chunks.len() * LINE;
    chunks_from_planes(level, planes, words, width as usize, chunks);
    if !rest.is_empty() {
        let mut last_planes = [0; 64 * LINE];
        for (line, plane) in last_planes.chunks_exact_mut(LINE).zip(planes.chunks_exact(words)) {
            line[..words - chunked].copy_from_slice(&plane[chunked..]);
        }
        let mut chunk = [0; CHUNK];
        chunks_from_planes(level, &last_planes, LINE, width as usize, slice::from_mut(&mut chunk));
        rest.copy_from_slice(&chunk[..rest.len()]);
    }
}

fn check_planes(len: usize, words: usize, width: u32) {
    assert_eq!(len, words * width as usize, "{width} planes of {words} words have another length");
}

/// Writes the bits `low..low + width` of chunks to the first words of planes that are `stride` apart.
fn chunks_to_planes(
    level: Level,
    chunks: &[[u64; CHUNK]],
    low: u32,
    width: usize,
    planes: &mut [u64],
    stride: usize,
) {
    match level.clamped() {
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 if level.has_byte_permutes() => {
            for (word, values) in (0..).step_by(LINE).zip(chunks) {
                // SAFETY: the processor has the instructions that the function is compiled for.
                unsafe { gfni::chunk_to_planes(values, low, width, &mut planes[word..], stride) };
            }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 | Level::Avx2 => {
            // SAFETY: a clamped level is one that the processor has.
            unsafe { avx2::chunks_to_planes(chunks, low, width, planes, stride) }
        }
        _ => {
            for (word, values) in (0..).step_by(LINE).zip(chunks) {
                swaps_to_planes(values, low, width, &mut planes[word..], stride);
            }
        }
    }
}

/// Puts chunks together from the first words of planes that are `stride` apart.
fn chunks_from_planes(
    level: Level,
    planes: &[u64],
    stride: usize,
    width: usize,
    chunks: &mut [[u64; CHUNK]],
) {
    match level.clamped() {
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 if width > FEW && level.has_byte_permutes() => {
            for (word, values) in (0..).step_by(LINE).zip(chunks) {
                // SAFETY: the processor has the instructions that the function is compiled for.
                unsafe { gfni::chunk_from_planes(&planes[word..], stride, width, values) };
            }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 | Level::Avx2 => {
            // SAFETY: a clamped level is one that the processor has.
            unsafe { avx2::chunks_from_planes(planes, stride, width, chunks) }
        }
        _ => {
            for (word, values) in (0..).step_by(LINE).zip(chunks) {
                swaps_from_planes(&planes[word..], stride, width, values);
            }
        }
    }
}

/// Transposes by swapping ever smaller blocks (Warren, "Hacker's Delight", section 7-3), two sizes at a time: first inside
/// the eight blocks of 64 values, then with the words of the blocks side by side, so that every loop runs over neighbours.
fn swaps_to_planes(values: &[u64; CHUNK], low: u32, width: usize, planes: &mut [u64], stride: usize) {
    let mut lines = [[0; LINE]; 64];
    let rows = width.next_power_of_two();
    for (g, block) in values.as_chunks::<64>().0.iter().enumerate() {
        let mut block = *block;
        for value in &mut block {
            *value >>= low;
        }
        exchange::<16>(&mut block, 16, rows);
        for (line, word) in lines.iter_mut().zip(&block[..rows.max(16)]) {
            line[g] = *word;
        }
    }
    exchange::<4>(lines[..rows.max(16)].as_flattened_mut(), 4 * LINE, rows);
    exchange::<1>(lines[..rows.max(4)].as_flattened_mut(), LINE, rows);
    for (plane, line) in planes.chunks_mut(stride).zip(&lines[..width]) {
        plane[..LINE].copy_from_slice(line);
    }
}

/// The steps of [`swaps_to_planes`] in the opposite order.
fn swaps_from_planes(planes: &[u64], stride: usize, width: usize, values: &mut [u64; CHUNK]) {
    let mut lines = [[0; LINE]; 64];
    let rows = width.next_power_of_two();
    for (line, plane) in lines[..width].iter_mut().zip(planes.chunks(stride)) {
        line.copy_from_slice(&plane[..LINE]);
    }
    exchange::<1>(lines[..rows.max(4)].as_flattened_mut(), LINE, ALL_ROWS);
    exchange::<4>(lines[..rows.max(16)].as_flattened_mut(), 4 * LINE, ALL_ROWS);
    for (g, block) in values.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let mut words = [0; 64];
        for (word, line) in words.iter_mut().zip(&lines[..rows.max(16)]) {
            *word = line[g];
        }
        exchange::<16>(&mut words, 16, ALL_ROWS);
        *block = words;
    }
}

/// In each four runs of words, exchanges blocks of `2 J` bits between the first and the second two, and then blocks of `J` bits
/// between neighbours.
///
/// Where no more than `2 J` or `J` rows of the result are wanted, those beyond them are left out.
#[inline(always)]
fn exchange<const J: usize>(words: &mut [u64], run: usize, rows: usize) {
    for four in words.chunks_exact_mut(4 * run) {
        let (a, rest) = four.split_at_mut(run);
        let (b, rest) = rest.split_at_mut(run);
        let (c, d) = rest.split_at_mut(run);
        if rows <= J {
            for i in 0..run {
                a[i] = merge(merge(a[i], c[i], 2 * J), merge(b[i], d[i], 2 * J), J);
            }
        } else if rows <= 2 * J {
            for i in 0..run {
                (a[i], b[i]) = swap(merge(a[i], c[i], 2 * J), merge(b[i], d[i], 2 * J), J);
            }
        } else {
            for i in 0..run {
                let ((a0, c0), (b0, d0)) = (swap(a[i], c[i], 2 * J), swap(b[i], d[i], 2 * J));
                ((a[i], b[i]), (c[i], d[i])) = (swap(a0, b0, J), swap(c0, d0, J));
            }
        }
    }
}

/// The low `j` of every `2 j` bits.
const fn low_halves(j: usize) -> u64 {
    u64::MAX / ((1 << j) + 1)
}

/// Exchanges the high blocks of `j` bits of the first with the low ones of the second.
#[inline(always)]
fn swap(a: u64, b: u64, j: usize) -> (u64, u64) {
    let different = ((a >> j) ^ b) & low_halves(j);
    (a ^ (different << j), b ^ different)
}

/// The first of what [`swap`] gives.
#[inline(always)]
fn merge(a: u64, b: u64, j: usize) -> u64 {
    let low = low_halves(j);
    (a & low) | ((b & low) << j)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(values: &[u64], low: u32, width: u32) -> Vec<u64> {
        let words = plane_words(values.len());
        let mut out = vec![0; words * width as usize];
        for (e, value) in values.iter().enumerate() {
            for p in 0..width {
                let bit = value.checked_shr(low + p).unwrap_or(0) & 1;
                out[p as usize * words + e / 64] |= bit << (e % 64);
            }
        }
        out
    }

    fn check(values: &[u64], low: u32, width: u32) {
        let expected = naive(values, low, width);
        for level in Level::available() {
            let mut planes = vec![u64::MAX; expected.len()];
            to_planes_at(level, values, low, width, &mut planes);
            assert!(planes == expected, "{level:?}: bits {low}..+{width} of {} values", values.len());
            if width <= 64 {
                let mut back = vec![u64::MAX; values.len()];
                from_planes_at(level, &planes, width, values.len(), &mut back);
                let mask = 1u64.checked_shl(width).map_or(u64::MAX, |top| top - 1);
                for (got, value) in back.iter().zip(values) {
                    assert_eq!(*got, value.checked_shr(low).unwrap_or(0) & mask, "{level:?}: width {width}");
                }
            }
        }
    }

    #[test]
    fn all_widths() {
        let values: Vec<u64> = (1..=700u64).map(|x| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for width in 0..=70 {
            for low in [0, 1, 8, 33, 63, 64, 100] {
                check(&values, low, width);
            }
        }
    }

    #[test]
    fn bits_beyond_the_elements_are_ignored_on_the_way_back() {
        for level in Level::available() {
            let mut out = [0; 3];
            from_planes_at(level, &[u64::MAX; 2], 2, 3, &mut out);
            assert_eq!(out, [3; 3], "{level:?}");
        }
    }

    proptest! {
        #[test]
        fn every_level_agrees_with_the_definition(
            values in proptest::collection::vec(
                prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), Just(1 << 63)], 0..1200,
            ),
            low in 0u32..70,
            width in 0u32..70,
        ) {
            check(&values, low, width);
        }
    }

    #[test]
    #[should_panic(expected = "3 planes of 2 words have another length")]
    fn the_output_has_all_planes() {
        to_planes(&[0; 65], 0, 3, &mut [0; 5]);
    }
}
