//! Packing with AVX-512 VBMI: eight values of w bits are w bytes, whose bytes a permute finds.

use core::arch::x86_64::{
    _mm512_and_si512, _mm512_maskz_permutex2var_epi8, _mm512_maskz_permutexvar_epi8, _mm512_or_si512,
    _mm512_permutexvar_epi8, _mm512_set1_epi64, _mm512_sllv_epi64, _mm512_srlv_epi64, _mm512_sub_epi64,
};

use crate::simd::{BYTES, load, load_bytes, store, store_bytes};

/// Values of a group.
const GROUP: usize = 8;

/// Where the bits of a group of one width are. "Start" is the byte in which a value begins, and "shift" the bit in it.
#[derive(Clone, Copy)]
struct Places {
    /// The shift of each value.
    shifts: [u64; GROUP],
    /// For each packed byte, its byte in the shifted values, or in the bits beyond them: from the value that begins first.
    earlier: [u8; BYTES],
    /// From the value that begins inside the byte.
    later: [u8; BYTES],
    /// The packed bytes that have one.
    has_later: u64,
    /// For each value, the eight packed bytes from its start on.
    unpacked: [u8; BYTES],
    /// The ninth, as the lowest byte of its word.
    ninth: [u8; BYTES],
}

/// By width, from 8 (for packing) or 1 (for unpacking) to 63.
static PLACES: [Places; 64] = {
    let none = Places {
        shifts: [0; GROUP],
        earlier: [0; BYTES],
        later: [0; BYTES],
        has_later: 0,
        unpacked: [0; BYTES],
        ninth: [0; BYTES],
    };
    let mut table = [none; 64];
    let mut width = 1;
    while width < 64 {
        table[width] = places(none, width);
        width += 1;
    }
    table
};

const fn places(mut places: Places, width: usize) -> Places {
    let mut e = 0;
    while e < GROUP {
        places.shifts[e] = (e * width % 8) as u64;
        let mut i = 0;
        while i < 8 {
            places.unpacked[8 * e + i] = (e * width / 8 + i) as u8;
            i += 1;
        }
        places.ninth[8 * e] = (e * width / 8 + 8) as u8;
        e += 1;
    }
    let mut byte = 0;
    while byte < width {
        let earlier = 8 * byte / width;
        let offset = byte - earlier * width / 8;
        places.earlier[byte] = if offset < 8 { 8 * earlier + offset } else { BYTES + 8 * earlier } as u8;
        let later = earlier + 1;
        if later < GROUP && later * width < 8 * byte + 8 {
            places.later[byte] = (8 * later) as u8;
            places.has_later |= 1 << byte;
        }
        byte += 1;
    }
    places
}

/// Packs values of 8 to 63 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn pack(values: &[u64], width: usize, out: &mut [u64]) {
    let places = &PLACES[width];
    let bits = _mm512_set1_epi64((u64::MAX >> (64 - width)) as i64);
    let shifts = load(&places.shifts);
    let beyond = _mm512_sub_epi64(_mm512_set1_epi64(64), shifts);
    let (earlier, later) = (load_bytes(&places.earlier), load_bytes(&places.later));
    let pack = |group: &[u64; GROUP]| {
        let values = _mm512_and_si512(load(group), bits);
        let (low, high) = (_mm512_sllv_epi64(values, shifts), _mm512_srlv_epi64(values, beyond));
        let first = _mm512_maskz_permutex2var_epi8(u64::MAX >> (64 - width), low, earlier, high);
        _mm512_or_si512(first, _mm512_maskz_permutexvar_epi8(places.has_later, later, low))
    };

    let out: &mut [u8] = bytemuck::cast_slice_mut(out);
    let (groups, rest) = values.as_chunks::<GROUP>();
    let mut place = 0;
    for group in groups {
        if let Some(bytes) = out[place..].first_chunk_mut() {
            // The zeros after the bytes of this group make room for the next.
            store_bytes(bytes, pack(group));
        } else {
            let mut bytes = [0; BYTES];
            store_bytes(&mut bytes, pack(group));
            out[place..place + width].copy_from_slice(&bytes[..width]);
        }
        place += width;
    }
    let (mut group, mut bytes) = ([0; GROUP], [0; BYTES]);
    group[..rest.len()].copy_from_slice(rest);
    store_bytes(&mut bytes, pack(&group));
    let last = &mut out[place..];
    last.copy_from_slice(&bytes[..last.len()]);
}

/// Unpacks values of 1 to 63 bits.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn unpack(packed: &[u64], width: usize, out: &mut [u64]) {
    let places = &PLACES[width];
    let bits = _mm512_set1_epi64((u64::MAX >> (64 - width)) as i64);
    let shifts = load(&places.shifts);
    let beyond = _mm512_sub_epi64(_mm512_set1_epi64(64), shifts);
    let (order, ninth) = (load_bytes(&places.unpacked), load_bytes(&places.ninth));
    let unpack = |bytes: &[u8; BYTES]| {
        let bytes = load_bytes(bytes);
        let low = _mm512_srlv_epi64(_mm512_permutexvar_epi8(order, bytes), shifts);
        let high = _mm512_maskz_permutexvar_epi8(0x0101_0101_0101_0101, ninth, bytes);
        _mm512_and_si512(_mm512_or_si512(low, _mm512_sllv_epi64(high, beyond)), bits)
    };

    let packed: &[u8] = bytemuck::cast_slice(packed);
    for (values, place) in out.chunks_mut(GROUP).zip((0..).step_by(width)) {
        let mut padded = [0; BYTES];
        let bytes = packed[place..].first_chunk().unwrap_or_else(|| {
            let rest = &packed[place..];
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        });
        if let Ok(values) = values.try_into() {
            store(values, unpack(bytes));
        } else {
            let mut group = [0; GROUP];
            store(&mut group, unpack(bytes));
            values.copy_from_slice(&group[..values.len()]);
        }
    }
}
