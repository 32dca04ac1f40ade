//! Whether words look uniformly random.

use std::collections::HashSet;

/// Standard deviations from the mean beyond which words are not taken for random: 2 in a billion tests of good words
/// come out so, and the seeds are fixed.
const LIMIT: f64 = 6.0;

/// The statistic of `words` that is least like that of random ones, if it is beyond all chance.
pub(crate) fn conspicuous(words: &[u64]) -> Option<String> {
    let total = words.iter().map(|word| f64::from(word.count_ones())).sum::<f64>();
    let balance = balance(total, 64.0 * words.len() as f64);
    if balance.abs() > LIMIT {
        return Some(format!("bits are {balance:.1} deviations out of balance"));
    }
    // Below that many, a count of ones is not near enough to normal.
    if words.len() >= 40 {
        let off = |place: u32| {
            let ones = words.iter().filter(|word| **word >> place & 1 == 1).count();
            self::balance(ones as f64, words.len() as f64)
        };
        if let Some(place) = (0..64).find(|&place| off(place).abs() > LIMIT) {
            return Some(format!("bit {place} is {:.1} deviations out of balance", off(place)));
        }
    }
    if words.len() >= 160 {
        let distance = distance(words);
        if distance > LIMIT {
            return Some(format!("bytes are {distance:.1} deviations from uniform"));
        }
    }
    None
}

/// How many standard deviations `ones` lies above half of `count`.
fn balance(ones: f64, count: f64) -> f64 {
    (ones - count / 2.0) / (count / 4.0).sqrt()
}

/// Chi-square of the bytes against the uniform distribution, as a standard normal number (Wilson and Hilferty).
fn distance(words: &[u64]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
        counts[usize::from(byte)] += 1;
    }
    let expected = 8.0 * words.len() as f64 / 256.0;
    let square = |count: u32| (f64::from(count) - expected) * (f64::from(count) - expected) / expected;
    let chi_square: f64 = counts.iter().map(|&count| square(count)).sum();
    let (freedom, spread) = (255.0, 2.0 / (9.0 * 255.0));
    ((chi_square / freedom).cbrt() - (1.0 - spread)) / f64::sqrt(spread)
}

/// Words seen so far, to find two that are equal or opposite: a mask used twice.
#[derive(Default)]
pub(crate) struct Seen {
    words: HashSet<u64>,
    pairs: HashSet<u64>,
}

impl Seen {
    /// Adds the words of a message; whether one of them is 0, or equal or opposite to another.
    ///
    /// Random words are so with a probability of `count^2 / 2^64`.
    pub(crate) fn repeats(&mut self, words: &[u64]) -> bool {
        words.iter().any(|&word| word == 0 || !self.words.insert(word.min(word.wrapping_neg())))
    }

    /// As [`Seen::repeats`] for pairs of 32-bit numbers: the halves of each word, and the low halves of each two.
    ///
    /// Numbers packed in 32 bits are compared with each other so, and with words that lost no bits.
    pub(crate) fn repeats_pairs(&mut self, halves: impl Iterator<Item = (u32, u32)>) -> bool {
        let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        halves.into_iter().any(|(low, high)| {
            let pair = join(low, high).min(join(low.wrapping_neg(), high.wrapping_neg()));
            !self.pairs.insert(pair)
        })
    }
}
