//! Bit planes with AVX2.
//!
//! Half a chunk, 256 values of eight bytes, is regrouped into vectors of 32 bytes that are eight values apart, for which
//! unpacking transposes 16 x 16 bytes at a time. Eight such vectors then become eight planes, or eight planes such vectors,
//! by swaps of bits between vectors.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_storeu_si128, _mm256_and_si256,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_set_m128i, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_slli_epi16, _mm256_srl_epi64, _mm256_srli_epi16, _mm256_unpackhi_epi8,
    _mm256_unpacklo_epi8, _mm256_xor_si256,
};

use super::{CHUNK, LINE};
use crate::simd::{load_half, store_half};

/// Values of half a chunk.
const HALF: usize = CHUNK / 2;

/// Values of half a chunk that share a lane in the vectors of bytes.
const LANE_VALUES: usize = HALF / 2;

/// One byte of half a chunk: vector r has the values `8 i + r` in the order of i.
type Bytes = [__m256i; 8];

#[target_feature(enable = "avx2")]
pub(super) fn chunks_to_planes(
    chunks: &[[u64; CHUNK]],
    low: u32,
    width: usize,
    planes: &mut [u64],
    stride: usize,
) {
    let mut bytes = [[[_mm256_setzero_si256(); 8]; 2]; 8];
    let shift = _mm_cvtsi32_si128(low as i32);
    let count = width.div_ceil(8);
    for (word, chunk) in (0..).step_by(LINE).zip(chunks) {
        for (h, half) in chunk.as_chunks().0.iter().enumerate() {
            match count {
                1 => take_apart::<1>(half, shift, h, &mut bytes),
                2 => take_apart::<2>(half, shift, h, &mut bytes),
                3 | 4 => take_apart::<4>(half, shift, h, &mut bytes),
                _ => take_apart::<8>(half, shift, h, &mut bytes),
            }
        }
        let lines = planes[word..].chunks_mut(stride).take(width);
        let mut lines = lines.filter_map(|plane| plane.first_chunk_mut::<LINE>());
        for [first, second] in &bytes[..count] {
            let vectors = transpose_bits(first).into_iter().zip(transpose_bits(second));
            for ((first, second), line) in vectors.zip(&mut lines) {
                let (halves, _) = line.as_chunks_mut();
                store_half(&mut halves[0], first);
                store_half(&mut halves[1], second);
            }
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn chunks_from_planes(planes: &[u64], stride: usize, width: usize, chunks: &mut [[u64; CHUNK]]) {
    let mut bytes = [[[_mm256_setzero_si256(); 8]; 2]; 8];
    let count = width.div_ceil(8);
    for (word, chunk) in (0..).step_by(LINE).zip(chunks) {
        let lines = planes[word..].chunks(stride).take(width);
        let mut lines = lines.filter_map(|plane| plane.first_chunk::<LINE>());
        for halves in &mut bytes[..count] {
            let mut vectors = [[_mm256_setzero_si256(); 8]; 2];
            for (r, line) in (0..8).zip(&mut lines) {
                let (halves, _) = line.as_chunks();
                vectors[0][r] = load_half(&halves[0]);
                vectors[1][r] = load_half(&halves[1]);
            }
            *halves = [transpose_bits(&vectors[0]), transpose_bits(&vectors[1])];
        }
        for (h, half) in chunk.as_chunks_mut().0.iter_mut().enumerate() {
            match count {
                1 => put_together::<1>(&bytes, h, half),
                2 => put_together::<2>(&bytes, h, half),
                3 | 4 => put_together::<4>(&bytes, h, half),
                _ => put_together::<8>(&bytes, h, half),
            }
        }
    }
}

/// The first `COUNT` bytes of half h of a chunk, a power of two.
#[inline]
#[target_feature(enable = "avx2")]
fn take_apart<const COUNT: usize>(
    values: &[u64; HALF],
    shift: __m128i,
    h: usize,
    bytes: &mut [[Bytes; 2]; 8],
) {
    let (pairs, _) = values.as_chunks();
    // Two neighbours at a time, of each eight values.
    for r in (0..8).step_by(2) {
        let mut rows = [[_mm256_setzero_si256(); 8]; 2];
        for (i, row) in rows.as_flattened_mut().iter_mut().enumerate() {
            let pair = 4 * i + r / 2;
            *row = _mm256_srl_epi64(load_pairs(&pairs[pair], &pairs[pair + LANE_VALUES / 2]), shift);
        }
        for (r, [a0, a1, a2, a3, a4, a5, a6, a7]) in (r..).zip(interleave(&rows[0], &rows[1])) {
            let fours = interleave(&[a0, a1, a2, a3], &[a4, a5, a6, a7]);
            for (j, [b0, b1, b2, b3]) in (0..COUNT).step_by(4).zip(fours) {
                let twos = interleave(&[b0, b1], &[b2, b3]);
                for (j, [c0, c1]) in (j..COUNT).step_by(2).zip(twos) {
                    for (j, [d]) in (j..COUNT).zip(interleave(&[c0], &[c1])) {
                        bytes[j][h][r] = d;
                    }
                }
            }
        }
    }
}

/// Undoes [`take_apart`]; the other bytes are zero.
#[inline]
#[target_feature(enable = "avx2")]
fn put_together<const COUNT: usize>(bytes: &[[Bytes; 2]; 8], h: usize, values: &mut [u64; HALF]) {
    let (first, second) = values.split_at_mut(LANE_VALUES);
    let (first, second) = (first.as_chunks_mut().0, second.as_chunks_mut().0);
    for r in (0..8).step_by(2) {
        let mut rows = [[_mm256_setzero_si256(); 8]; 2];
        for j in 0..COUNT {
            rows[0][j] = bytes[j][h][r];
            rows[1][j] = bytes[j][h][r + 1];
        }
        let mut pairs = first[r / 2..].iter_mut().step_by(4).zip(second[r / 2..].iter_mut().step_by(4));
        for [a0, a1, a2, a3, a4, a5, a6, a7] in interleave(&rows[0], &rows[1]) {
            for [b0, b1, b2, b3] in interleave(&[a0, a1, a2, a3], &[a4, a5, a6, a7]) {
                for [c0, c1] in interleave(&[b0, b1], &[b2, b3]) {
                    for ([d], (first, second)) in interleave(&[c0], &[c1]).into_iter().zip(&mut pairs) {
                        store_pairs(first, second, d);
                    }
                }
            }
        }
    }
}

/// The bytes of two times N vectors, alternating: in each lane those of its low half, and those of its high half.
#[inline]
#[target_feature(enable = "avx2")]
fn interleave<const N: usize>(first: &[__m256i; N], second: &[__m256i; N]) -> [[__m256i; N]; 2] {
    let mut results = [[_mm256_setzero_si256(); N]; 2];
    for n in 0..N {
        results[0][n] = _mm256_unpacklo_epi8(first[n], second[n]);
        results[1][n] = _mm256_unpackhi_epi8(first[n], second[n]);
    }
    results
}

/// Exchanges the places of bits in bytes with the places of vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_bits(bytes: &Bytes) -> Bytes {
    let [v0, v1, v2, v3, v4, v5, v6, v7] = *bytes;
    let ((v0, v4), (v1, v5)) = (swap::<4>(v0, v4), swap::<4>(v1, v5));
    let ((v2, v6), (v3, v7)) = (swap::<4>(v2, v6), swap::<4>(v3, v7));
    let ((v0, v2), (v1, v3)) = (swap::<2>(v0, v2), swap::<2>(v1, v3));
    let ((v4, v6), (v5, v7)) = (swap::<2>(v4, v6), swap::<2>(v5, v7));
    let ((v0, v1), (v2, v3)) = (swap::<1>(v0, v1), swap::<1>(v2, v3));
    let ((v4, v5), (v6, v7)) = (swap::<1>(v4, v5), swap::<1>(v6, v7));
    [v0, v1, v2, v3, v4, v5, v6, v7]
}

/// Exchanges the high blocks of J bits of the first with the low ones of the second.
#[inline]
#[target_feature(enable = "avx2")]
fn swap<const J: i32>(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
    let low_halves = _mm256_set1_epi8((0xff / ((1 << J) + 1)) as i8);
    let different = _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi16::<J>(a), b), low_halves);
    (_mm256_xor_si256(a, _mm256_slli_epi16::<J>(different)), _mm256_xor_si256(b, different))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_pairs(first: &[u64; 2], second: &[u64; 2]) -> __m256i {
    // SAFETY: each array has the two words of a lane, and the instructions need no alignment.
    unsafe {
        _mm256_set_m128i(_mm_loadu_si128(second.as_ptr().cast()), _mm_loadu_si128(first.as_ptr().cast()))
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_pairs(first: &mut [u64; 2], second: &mut [u64; 2], vector: __m256i) {
    // SAFETY: each array has the two words of a lane, and the instructions need no alignment.
    unsafe {
        _mm_storeu_si128(first.as_mut_ptr().cast(), _mm256_castsi256_si128(vector));
        _mm_storeu_si128(second.as_mut_ptr().cast(), _mm256_extracti128_si256::<1>(vector));
    }
}
