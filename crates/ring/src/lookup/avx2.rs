//! Answers with blends by sign: one addition, one blend, one XOR and one shift for an entry and four queries.

use core::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm_loadl_epi64, _mm256_add_epi64, _mm256_and_si256, _mm256_blendv_pd,
    _mm256_castpd_si256, _mm256_castsi256_pd, _mm256_cvtepu16_epi64, _mm256_or_si256, _mm256_set_epi64x,
    _mm256_set1_epi8, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_sll_epi64,
    _mm256_slli_epi64, _mm256_srli_epi64, _mm256_xor_si256,
};

use super::{LANES, MAX_WORDS};
use crate::simd::{HALF_WORDS, load_half, store_half};

/// The queries that are answered side by side, four in a vector.
type Vectors = [__m256i; LANES / HALF_WORDS];

#[target_feature(enable = "avx2")]
pub(super) fn answer_groups(queries: &[u64], indices: &[u16], table: &[u64], masks: &[u64], out: &mut [u64]) {
    match table.len().div_ceil(64) {
        1 => answer::<1>(queries, indices, table, masks, out),
        2 => answer::<2>(queries, indices, table, masks, out),
        4 => answer::<4>(queries, indices, table, masks, out),
        8 => answer::<8>(queries, indices, table, masks, out),
        _ => answer::<MAX_WORDS>(queries, indices, table, masks, out),
    }
}

#[target_feature(enable = "avx2")]
fn answer<const WORDS: usize>(
    queries: &[u64],
    indices: &[u16],
    table: &[u64],
    masks: &[u64],
    out: &mut [u64],
) {
    // The last entry of a short table has the highest bit of its word.
    let unused = _mm_cvtsi32_si128(64 - table.len().min(64) as i32);
    let groups = queries.as_chunks::<WORDS>().0.as_chunks::<LANES>().0.iter();
    let groups = groups.zip(indices.as_chunks::<LANES>().0).zip(masks.as_chunks::<LANES>().0);
    for (((queries, indices), masks), out) in groups.zip(out.as_chunks_mut::<LANES>().0) {
        let mut words = [[0; LANES]; WORDS];
        for (lane, query) in queries.iter().enumerate() {
            for (word, bits) in words.iter_mut().zip(query) {
                word[lane] = *bits;
            }
        }
        let masks = load_all(masks);
        let mut sums = load_all(out);
        let mut bits = [[_mm256_setzero_si256(); WORDS]; 2];
        for (v, (bits, indices)) in bits.iter_mut().zip(indices.as_chunks().0).enumerate() {
            for (bits, words) in bits.iter_mut().zip(&words) {
                *bits = load_half(&words.as_chunks().0[v]);
            }
            permute(bits, load_indices(indices, table.len()));
        }
        let [first, second] = bits;
        for ((first, second), entries) in first.into_iter().zip(second).zip(table.chunks(64)) {
            let mut bits = [_mm256_sll_epi64(first, unused), _mm256_sll_epi64(second, unused)];
            // From the last entry on, so that each bit is the sign when its turn comes.
            for entry in entries.iter().rev() {
                let entry = _mm256_set1_epi64x(*entry as i64);
                for v in 0..2 {
                    let masked = _mm256_add_epi64(entry, masks[v]);
                    let selected = blend_by_sign(_mm256_setzero_si256(), masked, bits[v]);
                    sums[v] = _mm256_xor_si256(sums[v], selected);
                    bits[v] = _mm256_add_epi64(bits[v], bits[v]);
                }
            }
        }
        for (words, sums) in out.as_chunks_mut().0.iter_mut().zip(sums) {
            store_half(words, sums);
        }
    }
}

/// Moves bit `j` of each query to `j ^ index`.
#[inline]
#[target_feature(enable = "avx2")]
fn permute<const WORDS: usize>(words: &mut [__m256i; WORDS], indices: __m256i) {
    // Within bytes: the three low bits of the index exchange neighbours, pairs and halves.
    let sign = |bit: i32| _mm256_sll_epi64(indices, _mm_cvtsi32_si128(63 - bit));
    let [neighbours, pairs, halves] = [sign(0), sign(1), sign(2)];
    macro_rules! exchange {
        ($bits:expr, $signs:expr, $shift:literal, $lower:literal) => {
            let lower = _mm256_set1_epi8($lower);
            let down = _mm256_and_si256(_mm256_srli_epi64::<$shift>(*$bits), lower);
            let up = _mm256_slli_epi64::<$shift>(_mm256_and_si256(*$bits, lower));
            *$bits = blend_by_sign(*$bits, _mm256_or_si256(down, up), $signs);
        };
    }
    // Bytes within words: byte i comes from i ^ (index / 8).
    let byte_index = _mm256_and_si256(_mm256_srli_epi64::<3>(indices), _mm256_set1_epi64x(7));
    let (low, high) = (0, 0x0808_0808_0808_0808);
    let byte_index = _mm256_shuffle_epi8(byte_index, _mm256_set_epi64x(high, low, high, low));
    let (odd, even) = (0x0f0e_0d0c_0b0a_0908, 0x0706_0504_0302_0100);
    let order = _mm256_xor_si256(byte_index, _mm256_set_epi64x(odd, even, odd, even));
    for bits in &mut *words {
        exchange!(bits, neighbours, 1, 0x55);
        exchange!(bits, pairs, 2, 0x33);
        exchange!(bits, halves, 4, 0x0f);
        *bits = _mm256_shuffle_epi8(*bits, order);
    }
    // Words within queries.
    for step in 0..WORDS.ilog2() as usize {
        let signs = sign(6 + step as i32);
        for pair in words.chunks_exact_mut(2 << step) {
            let (first, second) = pair.split_at_mut(1 << step);
            for (a, b) in first.iter_mut().zip(second) {
                (*a, *b) = (blend_by_sign(*a, *b, signs), blend_by_sign(*b, *a, signs));
            }
        }
    }
}

/// The words of the second where the sign is set, and those of the first elsewhere.
#[inline]
#[target_feature(enable = "avx2")]
fn blend_by_sign(first: __m256i, second: __m256i, signs: __m256i) -> __m256i {
    let [first, second, signs] = [first, second, signs].map(|words| _mm256_castsi256_pd(words));
    _mm256_castpd_si256(_mm256_blendv_pd(first, second, signs))
}

/// Indices into so many entries.
#[inline]
#[target_feature(enable = "avx2")]
fn load_indices(indices: &[u16; HALF_WORDS], entries: usize) -> __m256i {
    // SAFETY: the array has the four values that the instruction reads.
    let indices = unsafe { _mm_loadl_epi64(indices.as_ptr().cast()) };
    _mm256_and_si256(_mm256_cvtepu16_epi64(indices), _mm256_set1_epi64x(entries as i64 - 1))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_all(words: &[u64; LANES]) -> Vectors {
    let (halves, _) = words.as_chunks();
    [load_half(&halves[0]), load_half(&halves[1])]
}
