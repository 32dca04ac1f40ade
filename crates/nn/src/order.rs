//! The public order in which mini-batches visit the training rows.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use shamisen_ring::permutation::{Permutation, TABLE_LENGTH};

/// Separates this stream from every other one that the same public seed feeds.
const DOMAIN: &[u8; 16] = b"mini-batch order";

/// The public order of the mini-batches of a training run.
///
/// Each epoch is a fresh permutation of the rows, cut into batches; the last batch of an epoch is short when
/// `batch_size` does not divide `rows`. Everyone who knows the seed derives the same order.
///
/// Up to 2^20 rows, all permutations are equally likely. Of more rows no table is kept: their order is a [`Permutation`],
/// one of those that its keys reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOrder {
    seed: u64,
    rows: u32,
    batch_size: usize,
}

impl BatchOrder {
    /// The order of `rows` training rows in batches of `batch_size`.
    ///
    /// # Panics
    ///
    /// When `batch_size` is 0 or `rows` does not fit in 32 bits.
    pub fn new(seed: u64, rows: usize, batch_size: usize) -> Self {
        assert!(batch_size > 0, "a mini-batch has at least one row");
        let rows = u32::try_from(rows).expect("row numbers fit in 32 bits");
        Self { seed, rows, batch_size }
    }

    /// Number of mini-batches in an epoch, the short last one included.
    pub fn batches(&self) -> usize {
        (self.rows as usize).div_ceil(self.batch_size)
    }

    /// The mini-batches of `epoch` (counted from 0) in their order, each as the indices of its rows.
    pub fn epoch(&self, epoch: usize) -> impl ExactSizeIterator<Item = Vec<u32>> + use<> {
        let order = if self.rows as usize <= TABLE_LENGTH {
            Order::Table(self.permutation(epoch))
        } else {
            Order::Computed(self.computed(epoch))
        };
        let (size, rows) = (self.batch_size, self.rows as usize);
        (0..self.batches()).map(move |batch| {
            let start = batch * size;
            let places = start..rows.min(start.saturating_add(size));
            match &order {
                Order::Table(table) => table[places].to_vec(),
                Order::Computed(permutation) => {
                    places.map(|place| permutation.at(place as u64) as u32).collect()
                }
            }
        })
    }

    /// `ChaCha20` keyed by seed and epoch.
    fn stream(&self, epoch: usize) -> ChaCha20Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&(epoch as u64).to_le_bytes());
        key[16..].copy_from_slice(DOMAIN);
        ChaCha20Rng::from_seed(key)
    }

    /// A permutation of the rows without a table.
    fn computed(&self, epoch: usize) -> Permutation {
        let mut stream = self.stream(epoch);
        Permutation::new(self.rows.into(), std::array::from_fn(|_| stream.next_u64()))
    }

    /// A permutation of the rows by Fisher and Yates.
    fn permutation(&self, epoch: usize) -> Vec<u32> {
        let mut stream = self.stream(epoch);
        let mut order: Vec<u32> = (0..self.rows).collect();
        for last in (1..order.len()).rev() {
            // The high word of a product is uniform up to 2^-32, without the rejections that are slow and no
            // more random for a public order.
            let pick = (u128::from(stream.next_u64()) * (last as u128 + 1)) >> 64;
            order.swap(last, pick as usize);
        }
        order
    }
}

/// The order of an epoch.
enum Order {
    Table(Vec<u32>),
    Computed(Permutation),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(seed: u64, rows: usize, batch_size: usize, epoch: usize) -> Vec<Vec<u32>> {
        BatchOrder::new(seed, rows, batch_size).epoch(epoch).collect()
    }

    #[test]
    fn every_row_appears_once_and_only_the_last_batch_is_short() {
        for (rows, size, lengths) in [
            (10, 4, vec![4, 4, 2]),
            (8, 4, vec![4, 4]),
            (3, 5, vec![3]),
            (3, usize::MAX, vec![3]),
            (1, 1, vec![1]),
            (0, 4, vec![]),
        ] {
            let batches = epoch(7, rows, size, 0);
            assert_eq!(batches.len(), BatchOrder::new(7, rows, size).batches());
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
            let mut all = batches.concat();
            all.sort_unstable();
            assert_eq!(all, (0..rows as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_depends_on_seed_and_epoch_and_on_nothing_else() {
        assert_eq!(epoch(1, 100, 8, 3), epoch(1, 100, 8, 3));
        assert_ne!(epoch(1, 100, 8, 3), epoch(1, 100, 8, 4));
        assert_ne!(epoch(1, 100, 8, 3), epoch(2, 100, 8, 3));
        assert_eq!(epoch(1, 100, 8, 3).concat(), epoch(1, 100, 16, 3).concat());
    }

    #[test]
    fn all_permutations_are_equally_likely() {
        let mut counts = [0_u32; 24];
        let order = BatchOrder::new(5, 4, 4);
        for epoch in 0..24_000 {
            let p = order.permutation(epoch);
            let smaller_after = |i: usize| p[i + 1..].iter().filter(|&&x| x < p[i]).count();
            counts[smaller_after(0) * 6 + smaller_after(1) * 2 + smaller_after(2)] += 1;
        }
        // Each count is 1000 with standard deviation 31.
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn many_rows_need_no_table_and_appear_once() {
        let rows = TABLE_LENGTH + 3;
        let order = BatchOrder::new(9, rows, 1 << 16);
        let (first, second) = (order.epoch(0).flatten(), order.epoch(1).flatten());
        assert!(first.zip(second).filter(|(a, b)| a == b).count() < 20, "epochs differ");
        let mut seen = vec![false; rows];
        for row in order.epoch(0).flatten() {
            assert!(!std::mem::replace(&mut seen[row as usize], true), "row {row} appears twice");
        }
        assert!(seen.into_iter().all(|seen| seen));
        let lengths: Vec<usize> = order.epoch(0).map(|batch| batch.len()).collect();
        assert_eq!((lengths.len(), lengths[15], lengths[16]), (17, 1 << 16, 3));
        // The order does not depend on how it is cut.
        let finer: Vec<u32> = BatchOrder::new(9, rows, 7).epoch(0).take(3).flatten().collect();
        assert_eq!(finer, order.epoch(0).flatten().take(21).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "at least one row")]
    fn a_batch_of_no_rows_is_refused() {
        BatchOrder::new(0, 10, 0);
    }
}
