//! A seeded public hold-out.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Marks `count` of `rows` rows, chosen uniformly by the seed; the same seed gives the same rows everywhere.
pub(crate) fn hold_out(rows: usize, count: usize, seed: u64) -> Vec<bool> {
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
    fn all_or_none() {
        assert_eq!(hold_out(3, 0, 7), [false; 3]);
        assert_eq!(hold_out(3, 3, 7), [true; 3]);
        assert!(hold_out(0, 0, 7).is_empty());
    }
}
