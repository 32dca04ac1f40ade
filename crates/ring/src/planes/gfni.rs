//! Bit planes with AVX-512 VBMI and GFNI.
//!
//! A chunk is a matrix of bytes whose bytes are matrices of bits. The bytes of 64 values are regrouped by their position, eight
//! bytes at a time are transposed as 8 x 8 bits by one instruction, and the bytes that belong to one plane are regrouped
//! again: 64 planes cost two regroupings of 24 instructions and eight transpositions for 64 values.

use core::arch::x86_64::{
    __m512i, _mm_cvtsi32_si128, _mm512_gf2p8affine_epi64_epi8, _mm512_permutex2var_epi8, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_shuffle_i64x2, _mm512_srl_epi64,
};

use super::{CHUNK, LINE};
use crate::simd::{load, load_bytes, store};

/// An order of 64 bytes out of two vectors.
type Order = [u8; 64];

/// [`regroup`]: byte `[place][group]` of two vectors, for the places from `first` on.
const fn grouping(first: usize, reversal: usize) -> Order {
    let mut order = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (place, group) = (i / 16, i % 16);
        order[i] = (8 * (group ^ reversal) + place + first) as u8;
        i += 1;
    }
    order
}

/// [`ungroup`]: byte `[group][place]` from `[place][group]`, for the groups from `first` on.
const fn ungrouping(first: usize, reversal: usize) -> Order {
    let mut order = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (group, place) = (i / 8, i % 8);
        order[i] = (16 * (place ^ reversal) + group + first) as u8;
        i += 1;
    }
    order
}

/// Takes eight bytes in the opposite order, as the transposition of bits wants them.
const REVERSED: usize = 7;

static LOW_BYTES: Order = grouping(0, REVERSED);
static HIGH_BYTES: Order = grouping(4, REVERSED);
static LOW_PLANES: Order = grouping(0, 0);
static HIGH_PLANES: Order = grouping(4, 0);
static PLANES: [Order; 2] = [ungrouping(0, REVERSED), ungrouping(8, REVERSED)];
static BYTES: [Order; 2] = [ungrouping(0, 0), ungrouping(8, 0)];

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
pub(super) fn chunk_to_planes(
    values: &[u64; CHUNK],
    low: u32,
    width: usize,
    planes: &mut [u64],
    stride: usize,
) {
    let shift = _mm_cvtsi32_si128(low as i32);
    let mut lines = planes.chunks_mut(stride).take(width).filter_map(|plane| plane.first_chunk_mut::<LINE>());
    // Four bytes of the values at a time, for 32 planes.
    for order in [&LOW_BYTES, &HIGH_BYTES].into_iter().take(width.div_ceil(32)) {
        let mut bytes = [[_mm512_setzero_si512(); 8]; 4];
        for (k, block) in values.as_chunks::<64>().0.iter().enumerate() {
            let mut vectors = [_mm512_setzero_si512(); 8];
            for (vector, words) in vectors.iter_mut().zip(block.as_chunks::<LINE>().0) {
                *vector = _mm512_srl_epi64(load(words), shift);
            }
            for (blocks, byte) in bytes.iter_mut().zip(regroup(&vectors, order)) {
                blocks[k] = transpose_bits(byte);
            }
        }
        for blocks in &bytes {
            for order in [&LOW_PLANES, &HIGH_PLANES] {
                for (vector, line) in regroup(blocks, order).into_iter().zip(&mut lines) {
                    store(line, vector);
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
pub(super) fn chunk_from_planes(planes: &[u64], stride: usize, width: usize, values: &mut [u64; CHUNK]) {
    let mut lines = planes.chunks(stride).take(width).filter_map(|plane| plane.first_chunk::<LINE>());
    let low = bytes_from_planes(&mut lines);
    let high = bytes_from_planes(&mut lines);
    for ((block, low), high) in values.as_chunks_mut::<64>().0.iter_mut().zip(low).zip(high) {
        for (vector, words) in ungroup(low, high, &BYTES).into_iter().zip(block.as_chunks_mut::<LINE>().0) {
            store(words, vector);
        }
    }
}

/// Four bytes of the values of each block, from at most 32 planes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
fn bytes_from_planes<'a>(lines: &mut impl Iterator<Item = &'a [u64; LINE]>) -> [[__m512i; 4]; 8] {
    let mut bytes = [[_mm512_setzero_si512(); 4]; 8];
    for b in 0..4 {
        let mut planes = [_mm512_setzero_si512(); 8];
        for (plane, line) in planes.iter_mut().zip(&mut *lines) {
            *plane = load(line);
        }
        let [p0, p1, p2, p3, p4, p5, p6, p7] = planes;
        for (bytes, vector) in bytes.iter_mut().zip(ungroup([p0, p1, p2, p3], [p4, p5, p6, p7], &PLANES)) {
            bytes[b] = transpose_bits(vector);
        }
    }
    bytes
}

/// Of vectors of bytes `[group][place]`, four vectors of bytes `[vector][group]`: those of four places.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn regroup(vectors: &[__m512i; 8], order: &Order) -> [__m512i; 4] {
    let order = load_bytes(order);
    let [a, b, c, d, e, f, g, h] = *vectors;
    transpose_lanes([
        _mm512_permutex2var_epi8(a, order, b),
        _mm512_permutex2var_epi8(c, order, d),
        _mm512_permutex2var_epi8(e, order, f),
        _mm512_permutex2var_epi8(g, order, h),
    ])
}

/// Undoes [`regroup`] of the four low and the four high places.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn ungroup(low: [__m512i; 4], high: [__m512i; 4], [even, odd]: &[Order; 2]) -> [__m512i; 8] {
    let (even, odd) = (load_bytes(even), load_bytes(odd));
    let ([a, b, c, d], [e, f, g, h]) = (transpose_lanes(low), transpose_lanes(high));
    [
        _mm512_permutex2var_epi8(a, even, e),
        _mm512_permutex2var_epi8(a, odd, e),
        _mm512_permutex2var_epi8(b, even, f),
        _mm512_permutex2var_epi8(b, odd, f),
        _mm512_permutex2var_epi8(c, even, g),
        _mm512_permutex2var_epi8(c, odd, g),
        _mm512_permutex2var_epi8(d, even, h),
        _mm512_permutex2var_epi8(d, odd, h),
    ]
}

/// Swaps vectors and their 128-bit lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_lanes([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab_low, ab_high) = (_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xee>(a, b));
    let (cd_low, cd_high) = (_mm512_shuffle_i64x2::<0x44>(c, d), _mm512_shuffle_i64x2::<0xee>(c, d));
    [
        _mm512_shuffle_i64x2::<0x88>(ab_low, cd_low),
        _mm512_shuffle_i64x2::<0xdd>(ab_low, cd_low),
        _mm512_shuffle_i64x2::<0x88>(ab_high, cd_high),
        _mm512_shuffle_i64x2::<0xdd>(ab_high, cd_high),
    ]
}

/// Transposes the 8 x 8 bits of every word, whose bytes are given in the opposite order.
#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn transpose_bits(words: __m512i) -> __m512i {
    // Byte j of the result is the product of the word, as a matrix, with the j-th unit vector.
    let unit_vectors = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
    _mm512_gf2p8affine_epi64_epi8::<0>(unit_vectors, words)
}
