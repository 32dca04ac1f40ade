//! The servers' side of an oblivious table look-up: each query selects a set of entries, and their XOR is the answer.
//!
//! A query has one bit for each of the N entries of the table, in [`query_words`]`(N)` words; with fewer than 64 entries the
//! high bits of its word are ignored. Of an index only the low log2 N bits count. Time and addresses depend on the number
//! of queries and entries alone.

#![expect(clippy::inline_always, reason = "inlined functions take on the features of the shell around them")]

use crate::level::{Level, at_levels, level};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// Queries answered side by side.
const LANES: usize = 8;

/// Words of the longest query.
const MAX_WORDS: usize = 16;

/// One word of each of the queries that are answered side by side.
type Lanes = [u64; LANES];

/// Words of one query into a table of so many entries.
///
/// # Panics
///
/// If the number is not a power of two from 16 to 1024.
pub fn query_words(entries: usize) -> usize {
    assert!(
        entries.is_power_of_two() && (16..=1024).contains(&entries),
        "a table has 16, 32, 64, ... or 1024 entries, not {entries}"
    );
    entries.div_ceil(64)
}

/// XORs the answers into `out`: `out[e]` with `table[j ^ indices[e]] + masks[e]` modulo 2^64 for every bit j of query e.
///
/// Tables with at most one entry that is not 0 take far less time, whatever their size: in all other places the mask alone counts.
///
/// # Panics
///
/// If the table has a size that [`query_words`] does not take, or the other slices do not fit to the number of indices.
pub fn answer(queries: &[u64], indices: &[u16], table: &[u64], masks: &[u64], out: &mut [u64]) {
    answer_at(level(), queries, indices, table, masks, out);
}

/// [`answer`] at a given level.
///
/// # Panics
///
/// As [`answer`] does.
pub fn answer_at(
    level: Level,
    queries: &[u64],
    indices: &[u16],
    table: &[u64],
    masks: &[u64],
    out: &mut [u64],
) {
    let words = check_queries(queries, indices, table.len());
    assert_eq!(masks.len(), indices.len(), "there is one mask for each index");
    assert_eq!(out.len(), indices.len(), "there is one answer for each index");
    let mut others = table.iter().enumerate().filter(|(_, entry)| **entry != 0);
    let (place, entry) = others.next().map_or((0, 0), |(place, entry)| (place, *entry));
    if others.next().is_none() {
        let only = Only { entry, place: place as u64, index_mask: table.len() as u64 - 1 };
        return answer_only(level, queries, indices, only, masks, out);
    }
    let whole = indices.len() / LANES * LANES;
    groups(level, &queries[..whole * words], &indices[..whole], table, &masks[..whole], &mut out[..whole]);
    let rest = indices.len() - whole;
    if rest > 0 {
        let mut last_queries = [0; LANES * MAX_WORDS];
        last_queries[..rest * words].copy_from_slice(&queries[whole * words..]);
        let mut last_indices = [0; LANES];
        last_indices[..rest].copy_from_slice(&indices[whole..]);
        let mut last_masks = [0; LANES];
        last_masks[..rest].copy_from_slice(&masks[whole..]);
        let mut answers = [0; LANES];
        groups(level, &last_queries[..LANES * words], &last_indices, table, &last_masks, &mut answers);
        for (out, answer) in out[whole..].iter_mut().zip(answers) {
            *out ^= answer;
        }
    }
}

/// Flips bit `indices[e]` of query e, into a table of so many entries.
///
/// # Panics
///
/// If `entries` is a number that [`query_words`] does not take, or the queries do not fit to the number of indices.
pub fn set_point(queries: &mut [u64], indices: &[u16], entries: usize) {
    set_point_at(level(), queries, indices, entries);
}

/// [`set_point`] at a given level.
///
/// # Panics
///
/// As [`set_point`] does.
pub fn set_point_at(level: Level, queries: &mut [u64], indices: &[u16], entries: usize) {
    let words = check_queries(queries, indices, entries);
    let index_mask = (entries - 1) as u64;
    if words == 1 {
        flip_in_words(level, queries, indices, index_mask);
    } else {
        flip_in_queries(level, queries, indices, index_mask, words);
    }
}

/// Moves bit j of query e to `j + indices[e]`, modulo the number of entries, which is at least 64.
///
/// The [`answer`] of an unmoved query to a table that begins at entry `indices[e]` is that of the moved one to the table as it
/// is, at index 0.
///
/// # Panics
///
/// If `entries` is below 64 or a number that [`query_words`] does not take, or the queries do not fit to the number of indices.
pub fn rotate(queries: &mut [u64], indices: &[u16], entries: usize) {
    let words = check_queries(queries, indices, entries);
    assert!(entries >= 64, "a query that is moved has whole words, not {entries} bits");
    let mut before = [0; MAX_WORDS];
    let before = &mut before[..words];
    for (query, index) in queries.chunks_exact_mut(words).zip(indices) {
        let index = usize::from(*index);
        let mut step = 1;
        while step < words {
            let moves = (((index / 64 / step) & 1) as u64).wrapping_neg();
            before.copy_from_slice(query);
            for (w, word) in query.iter_mut().enumerate() {
                *word ^= (*word ^ before[(w + words - step) % words]) & moves;
            }
            step *= 2;
        }
        before.copy_from_slice(query);
        for (w, word) in query.iter_mut().enumerate() {
            let below = before[(w + words - 1) % words];
            *word = (*word << (index % 64)) | (below >> 1 >> (63 - index % 64));
        }
    }
}

fn check_queries(queries: &[u64], indices: &[u16], entries: usize) -> usize {
    let words = query_words(entries);
    assert_eq!(
        queries.len(),
        indices.len() * words,
        "a query has {words} words, and there is one for each index"
    );
    words
}

/// Answers a multiple of [`LANES`] queries.
fn groups(level: Level, queries: &[u64], indices: &[u16], table: &[u64], masks: &[u64], out: &mut [u64]) {
    match level.clamped() {
        // SAFETY: a clamped level is one that the processor has.
        #[cfg(target_arch = "x86_64")]
        Level::Amx | Level::Avx512 => unsafe { avx512::answer_groups(queries, indices, table, masks, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::answer_groups(queries, indices, table, masks, out) },
        _ => answer_groups(queries, indices, table, masks, out),
    }
}

/// Answers a multiple of [`LANES`] queries.
fn answer_groups(queries: &[u64], indices: &[u16], table: &[u64], masks: &[u64], out: &mut [u64]) {
    let words = table.len().div_ceil(64);
    let groups = queries.chunks_exact(words * LANES).zip(indices.as_chunks::<LANES>().0);
    let groups = groups.zip(masks.as_chunks::<LANES>().0).zip(out.as_chunks_mut::<LANES>().0);
    for (((queries, indices), masks), out) in groups {
        let mut bits = [[0; LANES]; MAX_WORDS];
        for (lane, query) in queries.chunks_exact(words).enumerate() {
            for (bits, word) in bits.iter_mut().zip(query) {
                bits[lane] = *word;
            }
        }
        let mut wide_indices = [0; LANES];
        for lane in 0..LANES {
            wide_indices[lane] = u64::from(indices[lane]);
        }
        permute(&mut bits[..words], &wide_indices, table.len());
        for (bits, entries) in bits.iter().zip(table.chunks(64)) {
            select(bits, entries, masks, out);
        }
    }
}

/// Moves bit `j` of each query to `j ^ index`.
#[inline]
fn permute(bits: &mut [Lanes], indices: &Lanes, entries: usize) {
    for step in 0..6u32.min(entries.ilog2()) {
        // The lower of every two blocks of bits that an index bit exchanges.
        let shift = 1 << step;
        let lower = u64::MAX / ((1 << shift) + 1);
        for bits in &mut *bits {
            for lane in 0..LANES {
                let exchange = ((indices[lane] >> step) & 1).wrapping_neg();
                let different = ((bits[lane] >> shift) ^ bits[lane]) & lower & exchange;
                bits[lane] ^= different ^ (different << shift);
            }
        }
    }
    for step in 0..bits.len().ilog2() {
        for pair in bits.chunks_exact_mut(2 << step) {
            let (first, second) = pair.split_at_mut(1 << step);
            for (a, b) in first.iter_mut().zip(second) {
                for lane in 0..LANES {
                    let exchange = ((indices[lane] >> (6 + step)) & 1).wrapping_neg();
                    let different = (a[lane] ^ b[lane]) & exchange;
                    a[lane] ^= different;
                    b[lane] ^= different;
                }
            }
        }
    }
}

/// XORs the masked entries whose bit is set into `out`.
#[inline]
fn select(bits: &Lanes, entries: &[u64], masks: &Lanes, out: &mut Lanes) {
    let mut bits = *bits;
    let mut sums = *out;
    // From the last entry on, so that each bit is the sign when its turn comes.
    for bits in &mut bits {
        *bits <<= 64 - entries.len();
    }
    for entry in entries.iter().rev() {
        for lane in 0..LANES {
            let selected = (bits[lane] as i64 >> 63) as u64;
            sums[lane] ^= entry.wrapping_add(masks[lane]) & selected;
            bits[lane] <<= 1;
        }
    }
    *out = sums;
}

/// The one entry of a table that is not 0.
#[derive(Clone, Copy)]
struct Only {
    entry: u64,
    place: u64,
    /// The number of entries, less 1.
    index_mask: u64,
}

at_levels! {
    /// [`answer`] from a table with one entry that is not 0.
    fn answer_only(queries: &[u64], indices: &[u16], only: Only, masks: &[u64], out: &mut [u64]) {
        let words = (only.index_mask as usize + 1).div_ceil(64);
        let counted = u64::MAX >> (63 - only.index_mask.min(63));
        for (((query, index), mask), out) in queries.chunks_exact(words).zip(indices).zip(masks).zip(out) {
            let place = (u64::from(*index) ^ only.place) & only.index_mask;
            let (mut all, mut word_of_place) = (0, 0);
            for (w, word) in (0_u64..).zip(query) {
                all ^= word;
                // All ones if this is the word, without a comparison that could become a branch.
                word_of_place |= word & (((place / 64) ^ w).wrapping_sub(1) >> 63).wrapping_neg();
            }
            let odd = u64::from((all & counted).count_ones() % 2).wrapping_neg();
            let selected = (word_of_place >> (place % 64) & 1).wrapping_neg();
            *out ^= (mask & odd) ^ ((mask ^ mask.wrapping_add(only.entry)) & selected);
        }
    }
}

at_levels! {
    /// [`set_point`] where each query is one word.
    fn flip_in_words(queries: &mut [u64], indices: &[u16], index_mask: u64) {
        for (query, index) in queries.iter_mut().zip(indices) {
            *query ^= 1 << (u64::from(*index) & index_mask);
        }
    }
}

at_levels! {
    /// [`set_point`] where each query has several words.
    fn flip_in_queries(queries: &mut [u64], indices: &[u16], index_mask: u64, words: usize) {
        match words {
            2 => flip::<2>(queries, indices, index_mask, 2),
            4 => flip::<4>(queries, indices, index_mask, 4),
            _ => flip::<8>(queries, indices, index_mask, words),
        }
    }
}

/// [`flip_in_queries`], some words at a time.
#[inline(always)]
fn flip<const BLOCK: usize>(queries: &mut [u64], indices: &[u16], index_mask: u64, words: usize) {
    for (query, index) in queries.chunks_exact_mut(words).zip(indices) {
        let index = u64::from(*index) & index_mask;
        for (block, first) in query.as_chunks_mut::<BLOCK>().0.iter_mut().zip((0..).step_by(BLOCK)) {
            for (word, w) in block.iter_mut().zip(first..) {
                // One if this is the word, without a comparison that could become a branch.
                let here = ((index / 64) ^ w).wrapping_sub(1) >> 63;
                *word ^= here << (index % 64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(queries: &[u64], indices: &[u16], table: &[u64], masks: &[u64], out: &mut [u64]) {
        let words = query_words(table.len());
        for e in 0..indices.len() {
            for j in 0..table.len() {
                if queries[e * words + j / 64] >> (j % 64) & 1 == 1 {
                    out[e] ^= table[j ^ (usize::from(indices[e]) % table.len())].wrapping_add(masks[e]);
                }
            }
        }
    }

    fn check(entries: usize, len: usize, value: &mut impl FnMut() -> u64) {
        let mut values = |n: usize| (0..n).map(|_| value()).collect::<Vec<_>>();
        let words = query_words(entries);
        let (queries, table, masks) = (values(len * words), values(entries), values(len));
        let indices: Vec<u16> = values(len).iter().map(|x| *x as u16).collect();
        let out = values(len);
        let mut expected = out.clone();
        naive(&queries, &indices, &table, &masks, &mut expected);
        let mut sparse = vec![0; entries];
        let place = values(1)[0] as usize % entries;
        sparse[place] = values(1)[0];
        let mut expected_of_sparse = out.clone();
        naive(&queries, &indices, &sparse, &masks, &mut expected_of_sparse);
        let mut points = queries.clone();
        for (e, index) in indices.iter().enumerate() {
            let j = usize::from(*index) % entries;
            points[e * words + j / 64] ^= 1 << (j % 64);
        }
        for level in Level::available() {
            let mut got = out.clone();
            answer_at(level, &queries, &indices, &table, &masks, &mut got);
            assert!(got == expected, "{level:?}: {len} queries into {entries} entries");
            let mut got = out.clone();
            answer_at(level, &queries, &indices, &sparse, &masks, &mut got);
            assert!(got == expected_of_sparse, "{level:?}: entry {place} alone of {entries}");
            let mut got = queries.clone();
            set_point_at(level, &mut got, &indices, entries);
            assert!(got == points, "{level:?}: {len} points among {entries} entries");
        }
    }

    proptest! {
        #[test]
        fn every_level_agrees_with_the_definition(log in 4u32..=10, len in 0usize..40, seed: u64) {
            let mut state = seed;
            check(1 << log, len, &mut || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state ^ (state >> 31)
            });
        }
    }

    #[test]
    fn extreme_values() {
        for log in 4..=10 {
            check(1 << log, 19, &mut || u64::MAX);
            check(1 << log, 19, &mut || 0);
        }
    }

    /// Two servers whose queries differ in one point, and whose tables are permuted by a part of the index.
    #[test]
    fn two_answers_give_the_entry() {
        for entries in [16, 32, 64, 128, 256, 512, 1024] {
            let words = query_words(entries);
            let table: Vec<u64> = (0..entries as u64).map(|x| x * x + 7).collect();
            let wanted: Vec<usize> = (0..entries).step_by(5).collect();
            let theirs: Vec<u16> = wanted.iter().map(|j| ((3 * j + 1) % entries) as u16).collect();
            let mine: Vec<u16> = wanted.iter().zip(&theirs).map(|(j, theirs)| *j as u16 ^ theirs).collect();
            let masks: Vec<u64> = wanted.iter().map(|j| (*j as u64).wrapping_mul(u64::MAX / 3)).collect();
            let mut queries: Vec<u64> =
                (1..=(words * wanted.len()) as u64).map(|x| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let mut answers = vec![0; wanted.len()];
            answer(&queries, &theirs, &table, &masks, &mut answers);
            set_point(&mut queries, &mine, entries);
            answer(&queries, &theirs, &table, &masks, &mut answers);
            for ((j, answer), mask) in wanted.iter().zip(answers).zip(masks) {
                assert_eq!(answer, table[*j].wrapping_add(mask));
            }
        }
    }

    #[test]
    fn moved_queries() {
        for entries in [64, 128, 256, 512, 1024] {
            let words = query_words(entries);
            let indices: Vec<u16> = (0..200).map(|e| (e * e * 37 + e) as u16).collect();
            let queries: Vec<u64> =
                (1..=(words * 200) as u64).map(|x| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let mut moved = queries.clone();
            rotate(&mut moved, &indices, entries);
            for (e, index) in indices.iter().enumerate() {
                let bit = |query: &[u64], j: usize| query[e * words + j / 64] >> (j % 64) & 1;
                for j in 0..entries {
                    assert_eq!(bit(&queries, j), bit(&moved, (j + usize::from(*index)) % entries));
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "whole words, not 32 bits")]
    fn moved_queries_have_whole_words() {
        rotate(&mut [0], &[0], 32);
    }

    #[test]
    #[should_panic(expected = "not 48")]
    fn a_table_has_a_power_of_two_of_entries() {
        query_words(48);
    }
}
