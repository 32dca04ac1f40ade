//! A seeded public hold-out.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shamisen_ring::permutation::{Permutation, TABLE_LENGTH};

/// The rows that are held out, an exact number of them.
pub(crate) enum HoldOut {
    /// Of up to 2^20 rows each one is marked.
    Marked(Vec<bool>),
    /// Of more rows those are held out which a permutation moves to the first places.
    Permuted { permutation: Permutation, count: u64 },
}

impl HoldOut {
    /// Chooses `count` of `rows` rows by the seed.
    pub(crate) fn new(rows: u64, count: u64, seed: u64) -> Self {
        if rows <= TABLE_LENGTH as u64 {
            return Self::Marked(hold_out(rows as usize, count as usize, seed));
        }
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[16..].copy_from_slice(DOMAIN);
        let mut rng = ChaCha20Rng::from_seed(key);
        Self::Permuted { permutation: Permutation::new(rows, std::array::from_fn(|_| rng.next_u64())), count }
    }

    /// Whether a row, from 0, is held out.
    pub(crate) fn contains(&self, row: u64) -> bool {
        match self {
            Self::Marked(marked) => marked[row as usize],
            Self::Permuted { permutation, count } => permutation.at(row) < *count,
        }
    }
}

/// Separates the choice among many rows from that among few.
const DOMAIN: &[u8; 16] = b"rows held out   ";

/// Marks `count` of `rows` rows, chosen uniformly by the seed; the same seed gives the same rows everywhere.
fn hold_out(rows: usize, count: usize, seed: u64) -> Vec<bool> {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha20Rng::from_seed(key);
    let mut order: Vec<usize> = (0..rows).collect();
    let mut held_out = vec![false; rows];
    // The first part of a Fisher-Yates shuffle.
    for i in 0..count.min(rows) {
        let j = i + below(&mut rng, (rows - i) as u64) as usize;
        order.swap(i, j);
        held_out[order[i]] = true;
    }
    held_out
}

/// A uniform number below `bound`, which is not 0.
fn below(rng: &mut ChaCha20Rng, bound: u64) -> u64 {
    // Numbers from the largest multiple of the bound on would favour small remainders.
    let limit = u64::MAX - u64::MAX % bound;
    loop {
        let number = rng.next_u64();
        if number < limit {
            return number % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_picks_the_same_rows() {
        let picked = |seed| -> Vec<usize> {
            hold_out(20, 5, seed).iter().enumerate().filter_map(|(row, &out)| out.then_some(row)).collect()
        };
        // A published result names its seed: these rows must never change.
        assert_eq!(picked(1), [4, 8, 9, 13, 17]);
        assert_eq!(picked(1), picked(1));
        assert_ne!(picked(1), picked(2));
    }

    #[test]
    fn as_many_rows_as_asked_for_and_each_equally_often() {
        let mut times = [0u32; 10];
        for seed in 0..1000 {
            let held_out = hold_out(10, 3, seed);
            assert_eq!(held_out.iter().filter(|&&out| out).count(), 3);
            for (times, out) in times.iter_mut().zip(held_out) {
                *times += u32::from(out);
            }
        }
        assert!(times.iter().all(|times| (240..360).contains(times)), "{times:?}");
    }

    #[test]
    fn few_rows_are_held_out_as_marked() {
        let held_out = HoldOut::new(20, 5, 1);
        let picked: Vec<u64> = (0..20).filter(|&row| held_out.contains(row)).collect();
        assert_eq!(picked, [4, 8, 9, 13, 17]);
    }

    #[test]
    fn of_many_rows_exactly_as_many_are_held_out() {
        let rows = TABLE_LENGTH as u64 + 10;
        let picked = |seed| -> Vec<u64> {
            let held_out = HoldOut::new(rows, 300_000, seed);
            (0..rows).filter(|&row| held_out.contains(row)).collect()
        };
        let (first, second) = (picked(1), picked(2));
        assert_eq!((first.len(), second.len()), (300_000, 300_000));
        assert_eq!(first, picked(1));
        assert_ne!(first, second);
        // Each tenth of the rows has its share, up to 5 standard deviations.
        for part in first.chunk_by(|a, b| a * 10 / rows == b * 10 / rows) {
            assert!((29_200..30_800).contains(&part.len()), "{}", part.len());
        }
    }

    #[test]
    fn all_or_none() {
        assert_eq!(hold_out(3, 0, 7), [false; 3]);
        assert_eq!(hold_out(3, 3, 7), [true; 3]);
        assert!(hold_out(0, 0, 7).is_empty());
    }
}
