//! Digits with AVX2: a byte for each of 32 elements, looked up in tables of bytes within registers.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_movemask_epi8, _mm256_packus_epi16, _mm256_packus_epi32,
    _mm256_permute4x64_epi64, _mm256_set_epi8, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_ps, _mm256_srl_epi64, _mm256_srli_epi16,
    _mm256_unpackhi_epi8, _mm256_unpacklo_epi8, _mm256_xor_si256,
};

use super::{GROUP, GROUP_WORDS, MAX_TABLES, POINTS, SIGN_PARITIES, Table, TableBytes};
use crate::simd::{HALF_WORDS, load_half, store_half};

/// Elements of half a group.
const HALF_GROUP: usize = GROUP / 2;

/// Words of their queries.
const HALF_GROUP_WORDS: usize = GROUP_WORDS / 2;

#[target_feature(enable = "avx2")]
pub(super) fn flip_groups(queries: &mut [[u64; GROUP_WORDS]], values: &[[u64; GROUP]], low: u32) {
    let low = _mm_cvtsi32_si128(low as i32);
    let (low_points, high_points) = (table(&POINTS.low), table(&POINTS.high));
    let queries = queries.as_flattened_mut().as_chunks_mut::<HALF_GROUP_WORDS>().0;
    for (queries, values) in queries.iter_mut().zip(values.as_flattened().as_chunks().0) {
        let digits = digits(values, low);
        let points = join(_mm256_shuffle_epi8(low_points, digits), _mm256_shuffle_epi8(high_points, digits));
        for (words, points) in queries.as_chunks_mut::<HALF_WORDS>().0.iter_mut().zip(points) {
            store_half(words, _mm256_xor_si256(load_half(words), points));
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn answer_groups(
    queries: &[[u64; GROUP_WORDS]],
    values: &[[u64; GROUP]],
    low: u32,
    tables: &[Table],
    out: &mut [u64],
    stride: usize,
) {
    let low = _mm_cvtsi32_si128(low as i32);
    let sign_parities = table(&SIGN_PARITIES);
    let nibble = _mm256_set1_epi8(15);
    let mut table_bytes = [TableBytes::ZERO; MAX_TABLES];
    let table_bytes = TableBytes::all(tables, &mut table_bytes);
    for (w, (queries, values)) in queries.iter().zip(values).enumerate() {
        let mut halves = [[_mm256_setzero_si256(); 3]; 2];
        let (queries, values) = (queries.as_chunks().0, values.as_chunks().0);
        for ((half, queries), values) in halves.iter_mut().zip(queries).zip(values) {
            let [low_bits, high_bits] = split(queries);
            *half = [digits(values, low), low_bits, high_bits];
        }
        for (word, bytes) in out[w..].iter_mut().step_by(stride).zip(table_bytes) {
            let (low_bytes, high_bytes) = (table(&bytes.low), table(&bytes.high));
            let mut answers = [0; 2];
            for (answer, [digits, low_bits, high_bits]) in answers.iter_mut().zip(halves) {
                let low = _mm256_and_si256(low_bits, _mm256_shuffle_epi8(low_bytes, digits));
                let high = _mm256_and_si256(high_bits, _mm256_shuffle_epi8(high_bytes, digits));
                let common = _mm256_xor_si256(low, high);
                let folded =
                    _mm256_and_si256(_mm256_xor_si256(common, _mm256_srli_epi16::<4>(common)), nibble);
                *answer = _mm256_movemask_epi8(_mm256_shuffle_epi8(sign_parities, folded)) as u32;
            }
            *word ^= u64::from(answers[0]) | (u64::from(answers[1]) << 32);
        }
    }
}

/// The same 16 bytes in both lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn table(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the array has the 16 bytes of a lane, and the instruction needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// The low and the high bytes of the lanes of half a group.
#[inline]
#[target_feature(enable = "avx2")]
fn split(queries: &[u64; HALF_GROUP_WORDS]) -> [__m256i; 2] {
    let byte = _mm256_set1_epi16(0xff);
    let (halves, _) = queries.as_chunks::<HALF_WORDS>();
    let (a, b) = (load_half(&halves[0]), load_half(&halves[1]));
    let low = _mm256_packus_epi16(_mm256_and_si256(a, byte), _mm256_and_si256(b, byte));
    let high = _mm256_packus_epi16(_mm256_srli_epi16::<8>(a), _mm256_srli_epi16::<8>(b));
    [exchange_middle(low), exchange_middle(high)]
}

/// Undoes [`split`].
#[inline]
#[target_feature(enable = "avx2")]
fn join(low: __m256i, high: __m256i) -> [__m256i; 2] {
    let (low, high) = (exchange_middle(low), exchange_middle(high));
    [_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high)]
}

/// The digits of half a group, one in each byte.
#[inline]
#[target_feature(enable = "avx2")]
fn digits(values: &[u64; HALF_GROUP], low: __m128i) -> __m256i {
    // Of each eight values in turn the digits, in the order 0, 1, 4, 5 in one lane and 2, 3, 6, 7 in the other.
    let mut eights = [_mm256_setzero_si256(); 4];
    for (eight, values) in eights.iter_mut().zip(values.as_chunks::<8>().0) {
        let (halves, _) = values.as_chunks::<HALF_WORDS>();
        let a = _mm256_castsi256_ps(_mm256_srl_epi64(load_half(&halves[0]), low));
        let b = _mm256_castsi256_ps(_mm256_srl_epi64(load_half(&halves[1]), low));
        let both = _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(a, b));
        *eight = _mm256_and_si256(both, _mm256_set1_epi32(15));
    }
    let [a, b, c, d] = eights;
    let pairs = exchange_middle(_mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d)));
    // Every second pair comes from the other half of its lane.
    let order = _mm256_set_epi8(
        15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8, 1, 0, 15, 14, 7, 6, 13, 12, 5, 4, 11, 10, 3, 2, 9, 8,
        1, 0,
    );
    _mm256_shuffle_epi8(pairs, order)
}

/// Exchanges the two words in the middle.
#[inline]
#[target_feature(enable = "avx2")]
fn exchange_middle(words: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(words)
}
