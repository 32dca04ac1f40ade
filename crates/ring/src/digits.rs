//! Oblivious look-ups of 4-bit digits whose results are bits: the servers' side.
//!
//! A look-up reads one digit of every value: the four bits from bit `low` on. A query has 16 bits for each element, one for
//! each digit that there is: element e has lane `e % 4` of word `e / 4`, the bits `16 * (e % 4)..` of it. Results are bit planes
//! as in [`planes`](crate::planes), one for each table. Time and addresses depend on the numbers of values and tables alone.

use core::slice;

use crate::level::{Level, level};
use crate::planes::plane_words;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// Elements of a word of queries.
const LANES: usize = 4;

/// Elements that are answered side by side: those of a word of a plane.
const GROUP: usize = 64;

/// Words of the queries of a group.
const GROUP_WORDS: usize = GROUP / LANES;

/// Tables of one call.
const MAX_TABLES: usize = 16;

/// A word with the lowest bit of every lane.
const EACH_LANE: u64 = 0x0001_0001_0001_0001;

/// For each digit, which bits of a query to add up.
type Table = [u16; 16];

/// A table whose digits are looked up within vector registers: low and high bytes apart.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct TableBytes {
    low: [u8; 16],
    high: [u8; 16],
}

/// The bit of each digit.
#[cfg(target_arch = "x86_64")]
static POINTS: TableBytes = TableBytes {
    low: [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0],
    high: [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128],
};

/// Bytes whose sign is set where the parity of four bits is odd.
#[cfg(target_arch = "x86_64")]
static SIGN_PARITIES: [u8; 16] = {
    let mut signs = [0; 16];
    let mut bits = 0u8;
    while bits < 16 {
        signs[bits as usize] = (bits.count_ones() as u8 & 1) << 7;
        bits += 1;
    }
    signs
};

/// Words of the queries of so many elements.
pub fn query_words(len: usize) -> usize {
    len.div_ceil(LANES)
}

/// Flips, in the query of every element, the bit of its digit `(values[e] >> low) & 15`.
///
/// Lanes past the last element stay as they are.
///
/// # Panics
///
/// If `queries` has not [`query_words`]`(values.len())` words or `low` is above 60.
pub fn set_points(queries: &mut [u64], values: &[u64], low: u32) {
    set_points_at(level(), queries, values, low);
}

/// [`set_points`] at a given level.
///
/// # Panics
///
/// As [`set_points`] does.
pub fn set_points_at(level: Level, queries: &mut [u64], values: &[u64], low: u32) {
    check_queries(queries, values, low);
    let (groups, rest) = values.as_chunks::<GROUP>();
    let (queries, last) = queries.split_at_mut(groups.len() * GROUP_WORDS);
    flip_groups(level, queries.as_chunks_mut().0, groups, low);
    if !rest.is_empty() {
        let mut points = [0; GROUP_WORDS];
        flip_groups(level, slice::from_mut(&mut points), &[padded(rest)], low);
        clear_beyond(&mut points, rest.len());
        for (word, points) in last.iter_mut().zip(points) {
            *word ^= points;
        }
    }
}

/// XORs the answers into the planes of `out`: into bit e of plane t the parity of the bits that the query of element e has in
/// common with `tables[t][digit]`, where the digit is `(values[e] >> low) & 15`.
///
/// With W = [`plane_words`]`(values.len())`, plane t is `out[t * W..(t + 1) * W]`. Bits past the last element stay as they are.
///
/// # Panics
///
/// If `queries` has not [`query_words`]`(values.len())` words, if `out` has not W words for each table, if there are more than
/// 16 tables, or if `low` is above 60.
pub fn answer(queries: &[u64], values: &[u64], low: u32, tables: &[[u16; 16]], out: &mut [u64]) {
    answer_at(level(), queries, values, low, tables, out);
}

/// [`answer`] at a given level.
///
/// # Panics
///
/// As [`answer`] does.
pub fn answer_at(
    level: Level,
    queries: &[u64],
    values: &[u64],
    low: u32,
    tables: &[[u16; 16]],
    out: &mut [u64],
) {
    check_queries(queries, values, low);
    assert!(tables.len() <= MAX_TABLES, "a query goes to at most {MAX_TABLES} tables, not {}", tables.len());
    let words = plane_words(values.len());
    assert_eq!(
        out.len(),
        words * tables.len(),
        "{} planes of {words} words have another length",
        tables.len()
    );
    if tables.is_empty() {
        return;
    }
    let (groups, rest) = values.as_chunks::<GROUP>();
    let (queries, last) = queries.split_at(groups.len() * GROUP_WORDS);
    answer_groups(level, queries.as_chunks().0, groups, low, tables, out, words);
    if !rest.is_empty() {
        let mut queries = padded(last);
        clear_beyond(&mut queries, rest.len());
        let mut answers = [0; MAX_TABLES];
        answer_groups(level, &[queries], &[padded(rest)], low, tables, &mut answers[..tables.len()], 1);
        for (word, answer) in out[groups.len()..].iter_mut().step_by(words).zip(answers) {
            *word ^= answer;
        }
    }
}

fn check_queries(queries: &[u64], values: &[u64], low: u32) {
    assert!(low <= 60, "a digit starts at one of the bits 0 to 60, not at {low}");
    let expected = query_words(values.len());
    assert_eq!(queries.len(), expected, "the queries of {} elements have {expected} words", values.len());
}

fn padded<const N: usize>(words: &[u64]) -> [u64; N] {
    let mut padded = [0; N];
    padded[..words.len()].copy_from_slice(words);
    padded
}

/// Clears the lanes past so many elements.
fn clear_beyond(queries: &mut [u64; GROUP_WORDS], len: usize) {
    queries[len.div_ceil(LANES)..].fill(0);
    if !len.is_multiple_of(LANES) {
        queries[len / LANES] &= (1 << (16 * (len % LANES))) - 1;
    }
}

/// [`set_points`] of whole groups.
fn flip_groups(level: Level, queries: &mut [[u64; GROUP_WORDS]], values: &[[u64; GROUP]], low: u32) {
    match level.clamped() {
        // SAFETY: a clamped level is one that the processor has.
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 => unsafe { avx512::flip_groups(queries, values, low) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::flip_groups(queries, values, low) },
        _ => flip_lanes(queries, values, low),
    }
}

/// [`answer`] of whole groups; those of one table are `stride` words apart.
fn answer_groups(
    level: Level,
    queries: &[[u64; GROUP_WORDS]],
    values: &[[u64; GROUP]],
    low: u32,
    tables: &[Table],
    out: &mut [u64],
    stride: usize,
) {
    match level.clamped() {
        // SAFETY: a clamped level is one that the processor has.
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 => unsafe {
            avx512::answer_groups(queries, values, low, tables, out, stride);
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::answer_groups(queries, values, low, tables, out, stride) },
        _ => answer_lanes(queries, values, low, tables, out, stride),
    }
}

fn flip_lanes(queries: &mut [[u64; GROUP_WORDS]], values: &[[u64; GROUP]], low: u32) {
    for (word, values) in
        queries.as_flattened_mut().iter_mut().zip(values.as_flattened().as_chunks::<LANES>().0)
    {
        for (lane, value) in values.iter().enumerate() {
            *word ^= 1 << (16 * lane as u64 + ((value >> low) & 15));
        }
    }
}

fn answer_lanes(
    queries: &[[u64; GROUP_WORDS]],
    values: &[[u64; GROUP]],
    low: u32,
    tables: &[Table],
    out: &mut [u64],
    stride: usize,
) {
    let mut wide_tables = [[0; 16]; MAX_TABLES];
    for (wide, table) in wide_tables.iter_mut().zip(tables) {
        *wide = table.map(|bits| u64::from(bits) * EACH_LANE);
    }
    for (w, (queries, values)) in queries.iter().zip(values).enumerate() {
        let mut answers = [0; MAX_TABLES];
        for (i, (query, values)) in queries.iter().zip(values.as_chunks::<LANES>().0).enumerate() {
            let digits = values.iter().rev().fold(0, |digits, value| (digits << 16) | ((value >> low) & 15));
            // For each digit the lanes that have it, so that no address depends on a digit.
            let mut parts = [*query; 16];
            for bit in 0..4 {
                let set = ((digits >> bit) & EACH_LANE) * 0xffff;
                for (digit, part) in parts.iter_mut().enumerate() {
                    *part &= if (digit >> bit) & 1 == 1 { set } else { !set };
                }
            }
            for (answer, table) in answers.iter_mut().zip(&wide_tables[..tables.len()]) {
                let common = parts.iter().zip(table).fold(0, |bits, (part, table)| bits ^ (part & table));
                *answer |= lane_parities(common) << (i * LANES);
            }
        }
        for (word, answer) in out[w..].iter_mut().step_by(stride).zip(answers) {
            *word ^= answer;
        }
    }
}

/// The parities of the four lanes, as four bits.
fn lane_parities(mut lanes: u64) -> u64 {
    for shift in [8, 4, 2, 1] {
        lanes ^= lanes >> shift;
    }
    // The product brings bit 16 l to bit 48 + l; its other terms meet neither those nor each other.
    let gather = (1 << 48) | (1 << 33) | (1 << 18) | (1 << 3);
    ((lanes & EACH_LANE).wrapping_mul(gather) >> 48) & 15
}

#[cfg(target_arch = "x86_64")]
impl TableBytes {
    const ZERO: Self = Self { low: [0; 16], high: [0; 16] };

    /// The bytes of tables, at most as many as there is room for.
    fn all<'a>(tables: &[Table], room: &'a mut [Self; MAX_TABLES]) -> &'a [Self] {
        for (bytes, table) in room.iter_mut().zip(tables) {
            *bytes = Self { low: table.map(|bits| bits as u8), high: table.map(|bits| (bits >> 8) as u8) };
        }
        &room[..tables.len()]
    }
}

#[cfg(test)]
mod tests {
    use core::{array, iter};

    use proptest::prelude::*;

    use super::*;

    fn digit(value: u64, low: u32) -> usize {
        (value >> low) as usize & 15
    }

    fn naive_points(queries: &mut [u64], values: &[u64], low: u32) {
        for (e, value) in values.iter().enumerate() {
            queries[e / 4] ^= 1 << (16 * (e % 4) + digit(*value, low));
        }
    }

    fn naive_answers(queries: &[u64], values: &[u64], low: u32, tables: &[Table], out: &mut [u64]) {
        let words = plane_words(values.len());
        for (t, table) in tables.iter().enumerate() {
            for (e, value) in values.iter().enumerate() {
                let query = (queries[e / 4] >> (16 * (e % 4))) as u16;
                let parity = (query & table[digit(*value, low)]).count_ones() & 1;
                out[t * words + e / 64] ^= u64::from(parity) << (e % 64);
            }
        }
    }

    fn check(len: usize, low: u32, tables: usize, value: &mut impl FnMut() -> u64) {
        let tables: Vec<Table> = (0..tables).map(|_| array::from_fn(|_| value() as u16)).collect();
        let mut values = |n: usize| (0..n).map(|_| value()).collect::<Vec<_>>();
        let (queries, out) = (values(query_words(len)), values(plane_words(len) * tables.len()));
        let values = values(len);
        let mut points = queries.clone();
        naive_points(&mut points, &values, low);
        let mut answers = out.clone();
        naive_answers(&queries, &values, low, &tables, &mut answers);
        for level in Level::available() {
            let mut got = queries.clone();
            set_points_at(level, &mut got, &values, low);
            assert!(got == points, "{level:?}: {len} points, digits from bit {low} on");
            let mut got = out.clone();
            answer_at(level, &queries, &values, low, &tables, &mut got);
            assert!(
                got == answers,
                "{level:?}: {len} elements, digits from bit {low} on, {} tables",
                tables.len()
            );
        }
    }

    fn generator(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 31)
        }
    }

    proptest! {
        #[test]
        fn every_level_agrees_with_the_definition(
            len in prop_oneof![0usize..200, 0usize..2000],
            low in 0u32..=60,
            tables in 0usize..=16,
            seed: u64,
        ) {
            check(len, low, tables, &mut generator(seed));
        }
    }

    #[test]
    fn all_digits_and_short_lengths() {
        let mut value = generator(1);
        for low in 0..=60 {
            for len in [0, 1, 3, 4, 5, 63, 64, 65, 127, 128, 129, 1000] {
                check(len, low, 9, &mut value);
            }
        }
    }

    #[test]
    fn extreme_values() {
        for len in [5, 64, 300] {
            check(len, 60, 16, &mut || u64::MAX);
            check(len, 0, 16, &mut || 0);
        }
    }

    /// Two servers whose queries differ in one point, and whose tables are permuted by a part of the digit.
    #[test]
    fn two_answers_give_the_bits_of_the_entry() {
        let entries: [u16; 16] = array::from_fn(|j| (j * j + 5) as u16);
        // Bit j of entry d of table t is bit t of the entry j ^ d.
        let tables: Vec<Table> = (0..8)
            .map(|t| array::from_fn(|d| (0..16).fold(0, |bits, j| bits | (((entries[j ^ d] >> t) & 1) << j))))
            .collect();
        let wanted: Vec<u64> = (0..100).map(|e| (e * 7 + e / 16) << 8).collect();
        let theirs: Vec<u64> = (0..100).map(|e: u64| e.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let mine: Vec<u64> = wanted.iter().zip(&theirs).map(|(wanted, theirs)| wanted ^ theirs).collect();
        let mut queries: Vec<u64> = iter::repeat_with(generator(2)).take(25).collect();
        let mut answers = vec![0; 8 * 2];
        answer(&queries, &theirs, 8, &tables, &mut answers);
        set_points(&mut queries, &mine, 8);
        answer(&queries, &theirs, 8, &tables, &mut answers);
        for (e, wanted) in wanted.iter().enumerate() {
            let got = (0..8).fold(0, |bits, t| bits | (((answers[t * 2 + e / 64] >> (e % 64)) & 1) << t));
            assert_eq!(got, u64::from(entries[digit(*wanted, 8)]) & 0xff);
        }
    }

    #[test]
    #[should_panic(expected = "a digit starts at one of the bits 0 to 60, not at 61")]
    fn a_digit_has_four_bits() {
        set_points(&mut [0], &[0], 61);
    }

    #[test]
    #[should_panic(expected = "the queries of 5 elements have 2 words")]
    fn every_element_has_a_query() {
        answer(&[0], &[0; 5], 0, &[], &mut []);
    }

    #[test]
    #[should_panic(expected = "at most 16 tables, not 17")]
    fn the_tables_of_a_call_are_few() {
        answer(&[0], &[0], 0, &[[0; 16]; 17], &mut [0; 17]);
    }

    #[test]
    #[should_panic(expected = "2 planes of 1 words have another length")]
    fn every_table_has_a_plane() {
        answer(&[0], &[0], 0, &[[0; 16]; 2], &mut [0; 3]);
    }
}
