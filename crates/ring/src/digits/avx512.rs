//! Digits with AVX-512: a byte for each of 64 elements, looked up in tables of bytes within registers.

use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_movepi8_mask,
    _mm512_packus_epi16, _mm512_permutexvar_epi32, _mm512_permutexvar_epi64, _mm512_rorv_epi64,
    _mm512_set_epi32, _mm512_set_epi64, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_ternarylogic_epi64,
    _mm512_unpackhi_epi8, _mm512_unpacklo_epi8, _mm512_xor_si512,
};

use super::{GROUP, GROUP_WORDS, MAX_TABLES, POINTS, SIGN_PARITIES, Table, TableBytes};
use crate::simd::{BYTES, WORDS, load, load_bytes, store};

/// An order of 64 bytes that stay in their 128-bit lanes.
type Order = [u8; BYTES];

/// Byte `[b % 2][q % 2]` in each four of every lane, where a lane has the bytes b of two words q.
static HALVES: Order = {
    let mut order = [0; BYTES];
    let mut i = 0;
    while i < BYTES {
        order[i] = (8 * (i % 2) + i % 16 / 2) as u8;
        i += 1;
    }
    order
};

/// What brings together the eight values of each half.
static WHOLES: Order = {
    let mut order = [0; BYTES];
    let mut i = 0;
    while i < BYTES {
        order[i] = (4 * (i / 2 % 4) + 2 * (i % 16 / 8) + i % 2) as u8;
        i += 1;
    }
    order
};

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn flip_groups(queries: &mut [[u64; GROUP_WORDS]], values: &[[u64; GROUP]], low: u32) {
    let digits = Digits::new(low);
    let [low_points, high_points] = [table(&POINTS.low), table(&POINTS.high)];
    for (queries, values) in queries.iter_mut().zip(values) {
        let digits = digits.of(values);
        let points = join(_mm512_shuffle_epi8(low_points, digits), _mm512_shuffle_epi8(high_points, digits));
        for (words, points) in queries.as_chunks_mut::<WORDS>().0.iter_mut().zip(points) {
            store(words, _mm512_xor_si512(load(words), points));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn answer_groups(
    queries: &[[u64; GROUP_WORDS]],
    values: &[[u64; GROUP]],
    low: u32,
    tables: &[Table],
    out: &mut [u64],
    stride: usize,
) {
    let digits = Digits::new(low);
    let sign_parities = table(&SIGN_PARITIES);
    let nibble = _mm512_set1_epi8(15);
    let mut table_bytes = [TableBytes::ZERO; MAX_TABLES];
    let table_bytes = TableBytes::all(tables, &mut table_bytes);
    for (w, (queries, values)) in queries.iter().zip(values).enumerate() {
        let digits = digits.of(values);
        let [low_bits, high_bits] = split(queries);
        for (word, bytes) in out[w..].iter_mut().step_by(stride).zip(table_bytes) {
            let low = _mm512_and_si512(low_bits, _mm512_shuffle_epi8(table(&bytes.low), digits));
            let high = _mm512_shuffle_epi8(table(&bytes.high), digits);
            // low ^ (high & high_bits), and then (common ^ (common >> 4)) & 15.
            let common = _mm512_ternarylogic_epi64::<0x78>(low, high, high_bits);
            let folded = _mm512_ternarylogic_epi64::<0x28>(common, _mm512_srli_epi16::<4>(common), nibble);
            *word ^= _mm512_movepi8_mask(_mm512_shuffle_epi8(sign_parities, folded));
        }
    }
}

/// The same 16 bytes in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn table(bytes: &[u8; 16]) -> __m512i {
    // SAFETY: the array has the 16 bytes of a lane, and the instruction needs no alignment.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// The low and the high bytes of the 64 lanes of a group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn split(queries: &[u64; GROUP_WORDS]) -> [__m512i; 2] {
    let byte = _mm512_set1_epi16(0xff);
    let order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
    let (halves, _) = queries.as_chunks::<WORDS>();
    let (a, b) = (load(&halves[0]), load(&halves[1]));
    let low = _mm512_packus_epi16(_mm512_and_si512(a, byte), _mm512_and_si512(b, byte));
    let high = _mm512_packus_epi16(_mm512_srli_epi16::<8>(a), _mm512_srli_epi16::<8>(b));
    [_mm512_permutexvar_epi64(order, low), _mm512_permutexvar_epi64(order, high)]
}

/// Undoes [`split`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn join(low: __m512i, high: __m512i) -> [__m512i; 2] {
    let order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    let (low, high) = (_mm512_permutexvar_epi64(order, low), _mm512_permutexvar_epi64(order, high));
    [_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high)]
}

/// Takes the digits at one place out of groups of values.
struct Digits {
    /// The rotation that brings the digit of the eight values j to byte j.
    rotations: [__m512i; 8],
}

impl Digits {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(low: u32) -> Self {
        let mut rotations = [_mm512_setzero_si512(); 8];
        for (rotation, place) in rotations.iter_mut().zip((0..).step_by(8)) {
            *rotation = _mm512_set1_epi64((i64::from(low) - place) & 63);
        }
        Self { rotations }
    }

    /// The digits, one in each byte.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn of(&self, values: &[u64; GROUP]) -> __m512i {
        let mut digits = _mm512_setzero_si512();
        let mut byte = 0xff;
        for (rotation, values) in self.rotations.iter().zip(values.as_chunks::<WORDS>().0) {
            let rotated = _mm512_rorv_epi64(load(values), *rotation);
            digits = _mm512_ternarylogic_epi64::<0xca>(_mm512_set1_epi64(byte), rotated, digits);
            byte <<= 8;
        }
        // Byte j of word k to byte 8 j + k.
        let halves = _mm512_shuffle_epi8(digits, load_bytes(&HALVES));
        let quarters = _mm512_permutexvar_epi32(
            _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0),
            halves,
        );
        let digits = _mm512_shuffle_epi8(quarters, load_bytes(&WHOLES));
        _mm512_and_si512(digits, _mm512_set1_epi8(15))
    }
}
