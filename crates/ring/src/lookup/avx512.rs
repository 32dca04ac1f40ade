//! Answers with mask registers: one addition, one test and one masked XOR for an entry and eight queries.

use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_add_epi64, _mm512_and_si512, _mm512_cvtepu16_epi64,
    _mm512_mask_blend_epi64, _mm512_mask_xor_epi64, _mm512_mullo_epi64, _mm512_set_epi64, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_slli_epi64, _mm512_srli_epi64,
    _mm512_ternarylogic_epi64, _mm512_test_epi64_mask, _mm512_xor_si512,
};

use super::{LANES, MAX_WORDS};
use crate::simd::{load, store};

/// The words with one bit, in memory so that a test takes its bit from there.
static UNITS: [i64; 64] = {
    let mut units = [0; 64];
    let mut j = 0;
    while j < 64 {
        units[j] = 1 << j;
        j += 1;
    }
    units
};

#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
pub(super) fn answer_groups(queries: &[u64], indices: &[u16], table: &[u64], masks: &[u64], out: &mut [u64]) {
    match table.len().div_ceil(64) {
        1 => answer::<1>(queries, indices, table, masks, out),
        2 => answer::<2>(queries, indices, table, masks, out),
        4 => answer::<4>(queries, indices, table, masks, out),
        8 => answer::<8>(queries, indices, table, masks, out),
        _ => answer::<MAX_WORDS>(queries, indices, table, masks, out),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
fn answer<const WORDS: usize>(
    queries: &[u64],
    indices: &[u16],
    table: &[u64],
    masks: &[u64],
    out: &mut [u64],
) {
    let groups = queries.as_chunks::<WORDS>().0.as_chunks::<LANES>().0.iter();
    let groups = groups.zip(indices.as_chunks::<LANES>().0).zip(masks.as_chunks::<LANES>().0);
    for (((queries, indices), masks), out) in groups.zip(out.as_chunks_mut::<LANES>().0) {
        let mut words = [[0; LANES]; WORDS];
        for (lane, query) in queries.iter().enumerate() {
            for (word, bits) in words.iter_mut().zip(query) {
                word[lane] = *bits;
            }
        }
        let mut bits = [_mm512_setzero_si512(); WORDS];
        for (bits, word) in bits.iter_mut().zip(&words) {
            *bits = load(word);
        }
        // SAFETY: the array has the eight values of half a vector.
        let indices = _mm512_cvtepu16_epi64(unsafe { _mm_loadu_si128(indices.as_ptr().cast()) });
        let indices = _mm512_and_si512(indices, _mm512_set1_epi64(table.len() as i64 - 1));
        permute(&mut bits, indices);

        let masks = load(masks);
        // Four sums, because the masked XORs of one wait for each other.
        let mut sums = [_mm512_setzero_si512(); 4];
        for (bits, entries) in bits.into_iter().zip(table.chunks(64)) {
            for (entries, units) in entries.as_chunks::<4>().0.iter().zip(UNITS.as_chunks::<4>().0) {
                for ((sum, entry), unit) in sums.iter_mut().zip(entries).zip(units) {
                    let masked = _mm512_add_epi64(_mm512_set1_epi64(*entry as i64), masks);
                    let selected = _mm512_test_epi64_mask(bits, _mm512_set1_epi64(*unit));
                    *sum = _mm512_mask_xor_epi64(*sum, selected, *sum, masked);
                }
            }
        }
        let sums = sums.into_iter().fold(load(out), |total, sum| _mm512_xor_si512(total, sum));
        store(out, sums);
    }
}

/// Moves bit `j` of each query to `j ^ index`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512bw")]
fn permute<const WORDS: usize>(words: &mut [__m512i; WORDS], indices: __m512i) {
    let index_bit = |bit: usize| _mm512_test_epi64_mask(indices, _mm512_set1_epi64(1 << bit));
    // Within bytes: the three low bits of the index exchange neighbours, pairs and halves.
    macro_rules! exchange {
        ($bits:expr, $step:literal, $shift:literal, $lower:literal) => {
            let (down, up) = (_mm512_srli_epi64::<$shift>(*$bits), _mm512_slli_epi64::<$shift>(*$bits));
            let exchanged = _mm512_ternarylogic_epi64::<0xca>(_mm512_set1_epi64($lower), down, up);
            *$bits = _mm512_mask_blend_epi64(index_bit($step), *$bits, exchanged);
        };
    }
    // Bytes within words: byte i comes from i ^ (index / 8), which the product writes to all eight bytes.
    let byte_index = _mm512_and_si512(_mm512_srli_epi64::<3>(indices), _mm512_set1_epi64(7));
    let byte_index = _mm512_mullo_epi64(byte_index, _mm512_set1_epi64(0x0101_0101_0101_0101));
    let (odd, even) = (0x0f0e_0d0c_0b0a_0908, 0x0706_0504_0302_0100);
    let order = _mm512_xor_si512(byte_index, _mm512_set_epi64(odd, even, odd, even, odd, even, odd, even));
    for bits in &mut *words {
        exchange!(bits, 0, 1, 0x5555_5555_5555_5555);
        exchange!(bits, 1, 2, 0x3333_3333_3333_3333);
        exchange!(bits, 2, 4, 0x0f0f_0f0f_0f0f_0f0f);
        *bits = _mm512_shuffle_epi8(*bits, order);
    }
    // Words within queries.
    for step in 0..WORDS.ilog2() as usize {
        let exchange = index_bit(6 + step);
        for pair in words.chunks_exact_mut(2 << step) {
            let (first, second) = pair.split_at_mut(1 << step);
            for (a, b) in first.iter_mut().zip(second) {
                (*a, *b) =
                    (_mm512_mask_blend_epi64(exchange, *a, *b), _mm512_mask_blend_epi64(exchange, *b, *a));
            }
        }
    }
}
