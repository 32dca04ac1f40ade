//! The pseudo-random generator: AES-128 in counter mode, addressed by stream and word.
//!
//! The words `2 b` and `2 b + 1` of stream `s` are the two halves of the AES-128 encryption of the block `s || b`, all
//! little-endian. Whoever holds the key reads any part of any stream. Words are pseudo-random as long as each is used once.

use core::fmt;

use aes::Aes128Enc;
use aes::Block;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

use crate::bits;

#[cfg(target_arch = "x86_64")]
mod vaes;

/// Blocks that the cipher encrypts in one call: 2 kB, a small part of the first-level cache.
const CHUNK_BLOCKS: usize = 128;

/// A pseudo-random function of (stream, position) under one key.
///
/// The key schedule is erased when the generator is dropped.
#[derive(Clone)]
pub struct Prg {
    cipher: Aes128Enc,
    #[cfg(target_arch = "x86_64")]
    vaes: Option<vaes::Vaes>,
}

impl Prg {
    /// The generator of this key.
    pub fn new(key: &[u8; 16]) -> Self {
        Self {
            cipher: Aes128Enc::new(key.into()),
            #[cfg(target_arch = "x86_64")]
            vaes: vaes::Vaes::new(key),
        }
    }

    /// Writes the words `offset..` of a stream.
    pub fn fill(&self, stream: u64, offset: u64, out: &mut [u64]) {
        self.combine(Combine::Replace, stream, offset, out);
    }

    /// Adds the words `offset..` of a stream to `out`, modulo 2^64.
    pub fn add_into(&self, stream: u64, offset: u64, out: &mut [u64]) {
        self.combine(Combine::Add, stream, offset, out);
    }

    /// Subtracts the words `offset..` of a stream from `out`, modulo 2^64.
    pub fn sub_into(&self, stream: u64, offset: u64, out: &mut [u64]) {
        self.combine(Combine::Subtract, stream, offset, out);
    }

    /// XORs the words `offset..` of a stream into `out`.
    pub fn xor_into(&self, stream: u64, offset: u64, out: &mut [u64]) {
        self.combine(Combine::Xor, stream, offset, out);
    }

    fn combine(&self, how: Combine, stream: u64, offset: u64, out: &mut [u64]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(vaes) = &self.vaes {
            return vaes.combine(how, stream, offset, out);
        }
        self.combine_portably(how, stream, offset, out);
    }

    /// Generates chunk by chunk with the crate's cipher, and combines each chunk while it is in the cache.
    fn combine_portably(&self, how: Combine, stream: u64, offset: u64, mut out: &mut [u64]) {
        let mut words = [0; 2 * CHUNK_BLOCKS];
        let mut block = offset / 2;
        let mut skip = (offset % 2) as usize;
        while !out.is_empty() {
            let take = out.len().min(words.len() - skip);
            let used = skip + take;
            self.encrypt_counters(stream, block, &mut words[..used.next_multiple_of(2)]);
            let (now, later) = out.split_at_mut(take);
            how.apply(now, &words[skip..used]);
            out = later;
            block = block.wrapping_add(CHUNK_BLOCKS as u64);
            skip = 0;
        }
    }

    fn encrypt_counters(&self, stream: u64, block: u64, words: &mut [u64]) {
        for (i, pair) in words.chunks_exact_mut(2).enumerate() {
            pair[0] = stream.to_le();
            pair[1] = block.wrapping_add(i as u64).to_le();
        }
        let (blocks, _) = Block::slice_as_chunks_mut(bytemuck::cast_slice_mut(words));
        self.cipher.encrypt_blocks(blocks);
        if cfg!(target_endian = "big") {
            for word in words {
                *word = word.swap_bytes();
            }
        }
    }
}

impl fmt::Debug for Prg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prg").finish_non_exhaustive()
    }
}

/// What happens to a word of output when its word of the stream arrives.
#[derive(Clone, Copy, Debug)]
enum Combine {
    Replace,
    Add,
    Subtract,
    Xor,
}

impl Combine {
    fn apply(self, out: &mut [u64], words: &[u64]) {
        match self {
            Self::Replace => out.copy_from_slice(words),
            Self::Add => bits::add_assign(out, words),
            Self::Subtract => bits::sub_assign(out, words),
            Self::Xor => bits::xor_assign(out, words),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 16] = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";

    /// The words by the definition, one block after the other.
    fn naive(stream: u64, offset: u64, len: usize) -> Vec<u64> {
        let cipher = Aes128Enc::new((&KEY).into());
        let word = |position: u64| {
            let mut block = Block::default();
            block[..8].copy_from_slice(&stream.to_le_bytes());
            block[8..].copy_from_slice(&(position / 2).to_le_bytes());
            cipher.encrypt_block(&mut block);
            let half = 8 * (position % 2) as usize;
            u64::from_le_bytes(block[half..half + 8].try_into().unwrap())
        };
        (0..len as u64).map(|i| word(offset.wrapping_add(i))).collect()
    }

    /// FIPS 197, appendix C.1: the plain text is the block of this stream and counter.
    #[test]
    fn known_answer() {
        let stream = u64::from_le_bytes(*b"\x00\x11\x22\x33\x44\x55\x66\x77");
        let counter = u64::from_le_bytes(*b"\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
        let cipher_text = *b"\x69\xc4\xe0\xd8\x6a\x7b\x04\x30\xd8\xcd\xb7\x80\x70\xb4\xc5\x5a";
        let prg = Prg::new(&KEY);
        // The counter has its top bit set: as a word offset it wraps, so it is given to the inner functions.
        let mut words = [0; 2];
        prg.encrypt_counters(stream, counter, &mut words);
        assert_eq!(words.map(u64::to_le_bytes).concat(), cipher_text);
        #[cfg(target_arch = "x86_64")]
        if let Some(vaes) = &prg.vaes {
            let mut words = [0; 2];
            vaes.combine_blocks(Combine::Replace, stream, counter, &mut words);
            assert_eq!(words.map(u64::to_le_bytes).concat(), cipher_text);
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", Prg::new(&KEY)), "Prg { .. }");
    }

    #[test]
    fn streams_and_keys_are_distinct() {
        let word = |key: u8, stream| {
            let mut out = [0];
            Prg::new(&[key; 16]).fill(stream, 0, &mut out);
            out[0]
        };
        assert_ne!(word(1, 1), word(1, 2));
        assert_ne!(word(1, 1), word(2, 1));
    }

    #[test]
    fn a_part_equals_the_same_part_of_the_whole() {
        let prg = Prg::new(&KEY);
        let mut whole = vec![0; 1000];
        prg.fill(9, 0, &mut whole);
        for start in (0..300).chain([511, 512, 513, 998, 999, 1000]) {
            for len in [0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 127, 257, 600] {
                let end = (start + len).min(whole.len());
                let mut part = vec![0; end - start];
                prg.fill(9, start as u64, &mut part);
                assert_eq!(part, whole[start..end], "{start}..{end}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_way_agrees_with_the_definition(
            stream: u64,
            offset in prop_oneof![0u64..50, any::<u64>().prop_map(|x| x >> 1), Just(2 * u64::from(u32::MAX) - 7)],
            old in proptest::collection::vec(any::<u64>(), 0..700),
        ) {
            let prg = Prg::new(&KEY);
            let words = naive(stream, offset, old.len());
            let check = |how: Combine, one: fn(u64, u64) -> u64| {
                let expected: Vec<_> = old.iter().zip(&words).map(|(o, w)| one(*o, *w)).collect();
                let mut out = old.clone();
                prg.combine(how, stream, offset, &mut out);
                assert_eq!(out, expected, "{how:?}");
                let mut out = old.clone();
                prg.combine_portably(how, stream, offset, &mut out);
                assert_eq!(out, expected, "{how:?} portably");
            };
            check(Combine::Replace, |_, w| w);
            check(Combine::Add, u64::wrapping_add);
            check(Combine::Subtract, u64::wrapping_sub);
            check(Combine::Xor, |o, w| o ^ w);
        }
    }
}
