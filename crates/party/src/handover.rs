//! Shares of a result that three parties hand to the one who asked.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use shamisen_data::encrypted::{self, StorageKey};
use shamisen_data::scaling::Affine;
use shamisen_data::shared_scaling;
use shamisen_mpc::Rep;
use shamisen_mpc::protocol::pool::{POOLED_WORDS, pooled_statistics};

use crate::event::{Cause, Failed};

/// Writes a file that only its owner may read.
///
/// # Errors
///
/// If it cannot be written.
pub fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// Writes a share: the components mine and next, little-endian; with a key, encrypted under it.
pub(crate) fn write_share(path: &Path, share: &Rep, key: Option<&StorageKey>) -> Result<(), Failed> {
    let (mine, next) = share.components();
    let bytes = bytes_of(mine, next);
    match key {
        Some(key) => encrypted::write(path, key, &bytes).map_err(Failed::from),
        None => write_secret(path, &bytes)
            .map_err(|error| Failed::new(Cause::Input, format!("cannot write {}: {error}", path.display()))),
    }
}

/// A share as it is handed over.
pub fn bytes_of(mine: &[u64], next: &[u64]) -> Vec<u8> {
    mine.iter().chain(next).flat_map(|word| word.to_le_bytes()).collect()
}

/// Words of the statistics of a column.
pub fn statistics_words(pooled: bool) -> usize {
    if pooled { POOLED_WORDS } else { shared_scaling::WORDS }
}

/// How columns are scaled, from their statistics put together: those of one owner each, or pooled ones.
pub fn scaling(statistics: &[u64], pooled: bool) -> Vec<Affine> {
    let map = |words: &[u64]| {
        if pooled {
            let (offset, width) = pooled_statistics(words);
            Affine::of_width(offset, width)
        } else {
            shared_scaling::map(words)
        }
    };
    statistics.chunks_exact(statistics_words(pooled)).map(map).collect()
}

/// Puts the three parties' shares of `len` words together, each as its party wrote it.
///
/// # Errors
///
/// If one has another length, or two parties contradict each other.
///
/// # Panics
///
/// Never: words are read from pieces of 8 bytes.
pub fn combine(shares: &[Vec<u8>; 3], len: usize) -> Result<Vec<u64>, Failed> {
    let mut words = Vec::with_capacity(3);
    for (party, bytes) in shares.iter().enumerate() {
        if bytes.len() != 16 * len {
            let text = format!("party {party} handed over {} bytes instead of {}", bytes.len(), 16 * len);
            return Err(Failed::new(Cause::Misbehaved, text));
        }
        let word = |word: &[u8]| u64::from_le_bytes(word.try_into().expect("a chunk of 8 bytes"));
        words.push(bytes.chunks_exact(8).map(word).collect::<Vec<u64>>());
    }
    for party in 0..3 {
        let next = (party + 1) % 3;
        if words[party][len..] != words[next][..len] {
            let text = format!("parties {party} and {next} handed over shares that contradict each other");
            return Err(Failed::new(Cause::Misbehaved, text));
        }
    }
    Ok((0..len).map(|at| words[0][at].wrapping_add(words[1][at]).wrapping_add(words[2][at])).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn shares_come_together_and_contradictions_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        let components = [vec![1, 2], vec![10, 20], vec![u64::MAX, 5]];
        for party in 0..3 {
            let share = Rep::from_components(components[party].clone(), components[(party + 1) % 3].clone());
            write_share(&paths[party], &share, None).map_err(|failed| failed.message).unwrap();
            assert_eq!(fs::metadata(&paths[party]).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let read = || paths.each_ref().map(|path| fs::read(path).unwrap());
        assert_eq!(combine(&read(), 2).unwrap(), [10, 27]);
        assert!(combine(&read(), 3).is_err());
        write_share(&paths[1], &Rep::from_components(vec![11, 20], components[2].clone()), None)
            .map_err(|failed| failed.message)
            .unwrap();
        assert!(combine(&read(), 2).is_err());
    }
}
