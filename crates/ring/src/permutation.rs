//! A pseudo-random permutation of `0..len` that needs no table, for public orders of many rows.
//!
//! A Feistel network on the least number of bits that holds `len`, and cycle walking: what falls behind the end is
//! permuted again until it does not (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). The round
//! function is the finaliser of `SplitMix64`, which is fast and mixes well, but is no cipher: it is for orders that all may
//! know.

/// Rounds of the network, each with a key of its own.
pub const ROUNDS: usize = 8;

/// Up to this length a shuffled table of 4 bytes an element is small, and uniform over all permutations, which a Feistel
/// network on few bits is not: permutations are for what is longer.
pub const TABLE_LENGTH: usize = 1 << 20;

/// A permutation of `0..len`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    len: u64,
    /// Bits of the high half; the low half has as many or one more.
    high: u32,
    low: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..len` under these keys.
    ///
    /// # Panics
    ///
    /// If `len` is above 2^62.
    pub fn new(len: u64, keys: [u64; ROUNDS]) -> Self {
        assert!(len <= 1 << 62, "a permutation of at most 2^62 numbers");
        let bits = (64 - len.saturating_sub(1).leading_zeros()).max(2);
        Self { len, high: bits / 2, low: bits - bits / 2, keys }
    }

    /// Where `index` goes.
    ///
    /// # Panics
    ///
    /// If `index` is not below the length.
    pub fn at(&self, index: u64) -> u64 {
        assert!(index < self.len, "index {index} of a permutation of {} numbers", self.len);
        let mut at = self.network(index);
        // The domain is less than four times as large as the range, usually less than twice.
        while at >= self.len {
            at = self.network(at);
        }
        at
    }

    fn network(&self, index: u64) -> u64 {
        let (mut high, mut low) = (index >> self.low, index & ((1 << self.low) - 1));
        for keys in self.keys.chunks_exact(2) {
            high ^= mix(low ^ keys[0]) >> (64 - self.high);
            low ^= mix(high ^ keys[1]) >> (64 - self.low);
        }
        high << self.low | low
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keys as a seeded generator would give them.
    fn keys(seed: u64) -> [u64; ROUNDS] {
        core::array::from_fn(|round| mix(mix(seed + 1).wrapping_add(round as u64 + 1)))
    }

    proptest! {
        #[test]
        fn every_number_is_hit_once(len in 0u64..5000, seed in any::<u32>()) {
            let permutation = Permutation::new(len, keys(seed.into()));
            let mut images: Vec<u64> = (0..len).map(|index| permutation.at(index)).collect();
            images.sort_unstable();
            prop_assert_eq!(images, (0..len).collect::<Vec<_>>());
        }

        #[test]
        fn large_domains_are_left_nowhere(len in 1u64..1 << 62, pick in any::<u64>(), seed in any::<u64>()) {
            let permutation = Permutation::new(len, keys(seed >> 1));
            let (one, other) = (pick % len, (pick / 3) % len);
            prop_assert!(permutation.at(one) < len);
            prop_assert_eq!(one == other, permutation.at(one) == permutation.at(other));
        }
    }

    #[test]
    fn every_image_is_equally_likely() {
        const LEN: usize = 100;
        let mut counts = vec![[0_u32; LEN]; 3];
        for seed in 0..20_000 {
            let permutation = Permutation::new(LEN as u64, keys(seed));
            for (counts, index) in counts.iter_mut().zip([0, 41, 99]) {
                counts[permutation.at(index) as usize] += 1;
            }
        }
        // Each count is 200 with standard deviation 14.
        assert!(counts.iter().flatten().all(|count| (130..270).contains(count)), "{counts:?}");
    }

    #[test]
    fn neighbours_are_independent() {
        let len = (1 << 20) + 7;
        let permutation = Permutation::new(len, keys(7));
        let images: Vec<u64> = (0..len).map(|index| permutation.at(index)).collect();
        for lag in [1, 2, 1024] {
            let pairs = || images.iter().zip(&images[lag..]);
            let rising = pairs().filter(|(a, b)| a < b).count() as f64 / pairs().count() as f64;
            // A half, with standard deviation 0.0003.
            assert!((rising - 0.5).abs() < 0.003, "lag {lag}: {rising}");
            let mut cells = [0_u32; 64];
            for (a, b) in pairs() {
                cells[(a * 8 / len * 8 + b * 8 / len) as usize] += 1;
            }
            // 16384 each, with standard deviation 127.
            assert!(cells.iter().all(|count| (15_600..17_200).contains(count)), "lag {lag}: {cells:?}");
        }
    }

    #[test]
    fn keys_make_a_difference() {
        let image =
            |seed| (0..50).map(|index| Permutation::new(50, keys(seed)).at(index)).collect::<Vec<_>>();
        assert_eq!(image(3), image(3));
        assert_ne!(image(3), image(4));
    }

    #[test]
    #[should_panic(expected = "index 5 of a permutation of 5 numbers")]
    fn an_index_behind_the_end_is_refused() {
        Permutation::new(5, keys(0)).at(5);
    }
}
