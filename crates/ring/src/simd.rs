//! Safe loads and stores of whole vectors: of 512 bits, or of 256 where a name says half.

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_loadu_si512, _mm512_storeu_si512,
};

/// Words of a vector.
pub(crate) const WORDS: usize = 8;

/// Words of half a vector.
pub(crate) const HALF_WORDS: usize = 4;

/// Bytes of a vector.
pub(crate) const BYTES: usize = 64;

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load(words: &[u64; WORDS]) -> __m512i {
    // SAFETY: the array has the eight words of a vector, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store(words: &mut [u64; WORDS], vector: __m512i) {
    // SAFETY: the array has the eight words of a vector, and the instruction needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_bytes(bytes: &[u8; BYTES]) -> __m512i {
    // SAFETY: the array has the 64 bytes of a vector, and the instruction needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_bytes(bytes: &mut [u8; BYTES], vector: __m512i) {
    // SAFETY: the array has the 64 bytes of a vector, and the instruction needs no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) };
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_half(words: &[u64; HALF_WORDS]) -> __m256i {
    // SAFETY: the array has the four words of half a vector, and the instruction needs no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_half(words: &mut [u64; HALF_WORDS], vector: __m256i) {
    // SAFETY: the array has the four words of half a vector, and the instruction needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
}
