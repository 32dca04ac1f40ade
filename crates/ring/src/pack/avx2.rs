//! Packing with AVX2: a 128-bit lane holds two values, whose bits lie in 16 bytes.
//!
//! Eight values of w bits are w bytes. A pair of them starts inside a byte, at an even bit.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_and_si256, _mm256_castsi256_si128,
    _mm256_extracti128_si256, _mm256_or_si256, _mm256_permute4x64_epi64, _mm256_set_m128i,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_sllv_epi64, _mm256_srlv_epi64,
    _mm256_unpackhi_epi64,
};
use core::ops::RangeInclusive;

use crate::simd::{BYTES, HALF_WORDS, load_half, store_half};

/// Values of a group.
const GROUP: usize = 8;

/// The widths that [`pack`] takes: the bits before a pair in its first byte are of one value, and a pair ends in the 16th byte.
pub(super) const PACKED: RangeInclusive<u32> = 6..=58;

/// The widths that [`unpack`] takes: a value lies in eight bytes.
pub(super) const UNPACKED: RangeInclusive<u32> = 1..=57;

/// The bytes of one lane.
type Lane = [u8; 16];

/// Where the bits of a group of one width are.
#[derive(Clone, Copy)]
struct Places {
    /// The bytes in which the pairs start.
    starts: [usize; GROUP / 2],
    /// The bits at which they start.
    offsets: [u64; GROUP / 2],
    /// For each value the eight bytes from its first on, of those of its pair.
    orders: [Lane; GROUP / 2],
    /// The bit at which each value starts in its first byte.
    shifts: [u64; GROUP],
}

static PLACES: [Places; 59] = {
    let none = Places {
        starts: [0; GROUP / 2],
        offsets: [0; GROUP / 2],
        orders: [[0; 16]; GROUP / 2],
        shifts: [0; GROUP],
    };
    let mut table = [none; 59];
    let mut width = 1;
    while width < table.len() {
        table[width] = places(none, width);
        width += 1;
    }
    table
};

const fn places(mut places: Places, width: usize) -> Places {
    let mut e = 0;
    while e < GROUP {
        let (pair, bit) = (e / 2, e * width);
        if e % 2 == 0 {
            places.starts[pair] = bit / 8;
            places.offsets[pair] = bit as u64 % 8;
        }
        places.shifts[e] = bit as u64 % 8;
        let mut i = 0;
        while i < 8 {
            places.orders[pair][8 * (e % 2) + i] = (bit / 8 - places.starts[pair] + i) as u8;
            i += 1;
        }
        e += 1;
    }
    places
}

/// How the values of two pairs are shifted into place.
struct Shifts {
    /// The first of each pair to the left.
    first: __m256i,
    /// The second to the left into the low word.
    low: __m256i,
    /// The second to the right into the high word.
    high: __m256i,
    /// The value before the pair to the right.
    before: __m256i,
}

impl Shifts {
    #[target_feature(enable = "avx2")]
    fn new(width: u64, offsets: [u64; 2]) -> Self {
        // A shift by 64 bits leaves nothing.
        let both = |[[a, b], [c, d]]: [[u64; 2]; 2]| load_half(&[a, b, c, d]);
        Self {
            first: both(offsets.map(|offset| [offset, 64])),
            low: both(offsets.map(|offset| [width + offset, 64])),
            high: both(offsets.map(|offset| [64, 64 - width - offset])),
            before: both(offsets.map(|offset| [width - offset, 64])),
        }
    }

    /// The bits of two pairs, and before them those of the values in the low words of `before`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply(&self, before: __m256i, pairs: __m256i) -> __m256i {
        let seconds = _mm256_unpackhi_epi64(pairs, pairs);
        let first = _mm256_sllv_epi64(pairs, self.first);
        let second =
            _mm256_or_si256(_mm256_sllv_epi64(seconds, self.low), _mm256_srlv_epi64(seconds, self.high));
        _mm256_or_si256(_mm256_or_si256(first, second), _mm256_srlv_epi64(before, self.before))
    }
}

/// Packs values of one of the widths [`PACKED`].
#[target_feature(enable = "avx2")]
pub(super) fn pack(values: &[u64], width: usize, out: &mut [u64]) {
    let places = &PLACES[width];
    let bits = _mm256_set1_epi64x((u64::MAX >> (64 - width)) as i64);
    let [a, b, c, d] = places.offsets;
    let shifts = [Shifts::new(width as u64, [a, b]), Shifts::new(width as u64, [c, d])];
    let pack = |group: &[u64; GROUP], out: &mut [u8; BYTES]| {
        let load = |first: usize| _mm256_and_si256(load_half(&group[first..].as_chunks().0[0]), bits);
        let (low, high) = (load(0), load(4));
        // No bits of another group are before this one.
        let before_low = _mm256_permute4x64_epi64::<0b00_01_00_00>(low);
        let vectors = [shifts[0].apply(before_low, low), shifts[1].apply(load(3), high)];
        for (vector, starts) in vectors.into_iter().zip(places.starts.as_chunks::<2>().0) {
            // In this order, because the bytes after a pair are zero.
            store_lane(&mut out[starts[0]..], _mm256_castsi256_si128(vector));
            store_lane(&mut out[starts[1]..], _mm256_extracti128_si256::<1>(vector));
        }
    };

    // The bits after the last value.
    if let Some(last) = out.last_mut() {
        *last = 0;
    }
    let out: &mut [u8] = bytemuck::cast_slice_mut(out);
    let (mut padded, mut bytes) = ([0; GROUP], [0; BYTES]);
    for (values, place) in values.chunks(GROUP).zip((0..).step_by(width)) {
        let group = values.try_into().unwrap_or_else(|_| {
            padded[..values.len()].copy_from_slice(values);
            &padded
        });
        // The bytes of the next group follow, or zeros.
        let rest = &mut out[place..];
        pack(group, rest.first_chunk_mut().unwrap_or(&mut bytes));
        if rest.len() < BYTES {
            rest.copy_from_slice(&bytes[..rest.len()]);
        }
    }
}

/// Unpacks values of one of the widths [`UNPACKED`].
#[target_feature(enable = "avx2")]
pub(super) fn unpack(packed: &[u64], width: usize, out: &mut [u64]) {
    let places = &PLACES[width];
    let bits = _mm256_set1_epi64x((u64::MAX >> (64 - width)) as i64);
    let (mut orders, mut shifts) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
    for v in 0..2 {
        orders[v] = lanes(&places.orders[2 * v], &places.orders[2 * v + 1]);
        shifts[v] = load_half(&places.shifts.as_chunks().0[v]);
    }
    let unpack = |bytes: &[u8; BYTES], out: &mut [u64; GROUP]| {
        for (v, out) in out.as_chunks_mut::<HALF_WORDS>().0.iter_mut().enumerate() {
            let (first, second) = (&bytes[places.starts[2 * v]..], &bytes[places.starts[2 * v + 1]..]);
            let pairs = lanes(&first.as_chunks().0[0], &second.as_chunks().0[0]);
            let words = _mm256_srlv_epi64(_mm256_shuffle_epi8(pairs, orders[v]), shifts[v]);
            store_half(out, _mm256_and_si256(words, bits));
        }
    };

    let packed: &[u8] = bytemuck::cast_slice(packed);
    let mut padded = [0; BYTES];
    for (values, place) in out.chunks_mut(GROUP).zip((0..).step_by(width)) {
        let bytes = packed[place..].first_chunk().unwrap_or_else(|| {
            let rest = &packed[place..];
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        });
        if let Ok(values) = values.try_into() {
            unpack(bytes, values);
        } else {
            let mut group = [0; GROUP];
            unpack(bytes, &mut group);
            values.copy_from_slice(&group[..values.len()]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(low: &Lane, high: &Lane) -> __m256i {
    // SAFETY: each array has the 16 bytes of a lane, and the instructions need no alignment.
    unsafe { _mm256_set_m128i(_mm_loadu_si128(high.as_ptr().cast()), _mm_loadu_si128(low.as_ptr().cast())) }
}

/// Stores a lane to the first bytes, of which there are enough.
#[inline]
#[target_feature(enable = "avx2")]
fn store_lane(bytes: &mut [u8], lane: __m128i) {
    let bytes: &mut Lane = &mut bytes.as_chunks_mut().0[0];
    // SAFETY: the array has the 16 bytes of a lane, and the instruction needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), lane) };
}
