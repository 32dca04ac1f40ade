//! Checkpoint files: what a party must keep to go on with a training.
//!
//! A party's checkpoints lie in its directory as `checkpoint-N`, N being the number of mini-batches that were done, and the last
//! [`KEPT`] of them stay. A file begins with its magic number and version and a JSON header: what it belongs to, the public state, and
//! the lengths of the vectors. The vectors follow as little-endian words, and last the BLAKE3 hash of all before.
//!
//! The vectors are shares and keys: a file is as secret as everything that the party holds.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::container::{Kind, Reader, Writer};
use crate::encrypted::StorageKey;
use crate::error::{DataError, Result};

/// Checkpoints of a party that stay; older ones are removed.
pub const KEPT: usize = 3;

const KIND: Kind = Kind { magic: *b"shamisen-check\0", version: 1, name: "a checkpoint of shamisen" };

const PREFIX: &str = "checkpoint-";

/// What a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Mini-batches that were done.
    pub number: u64,
    /// The party whose it is.
    pub party: usize,
    /// Hash of the job, in hexadecimal digits.
    pub job: String,
    /// Version of the program that wrote it.
    pub version: String,
    /// Hash of that program's file, in hexadecimal digits.
    pub build: String,
}

/// A checkpoint that was read.
pub struct Stored<S> {
    /// What it belongs to.
    pub label: Label,
    /// The public state.
    pub state: S,
    /// The vectors, in the order in which they were given.
    pub vectors: Vec<Vec<u64>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<S> {
    label: Label,
    state: S,
    lengths: Vec<u64>,
}

/// The path of a checkpoint in a party's directory.
pub fn checkpoint_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{number}"))
}

/// Writes a checkpoint into a party's directory, which only its owner may read, and removes those that are not among the last
/// [`KEPT`] up to this one. With a key it is encrypted under it.
///
/// When it returns, the file outlives a failure of the machine.
///
/// # Errors
///
/// If a file cannot be written or removed; the checkpoints before are all there then.
pub fn write(
    dir: &Path,
    label: &Label,
    state: &impl Serialize,
    vectors: &[&[u64]],
    key: Option<&StorageKey>,
) -> Result<()> {
    let lengths: Vec<u64> = vectors.iter().map(|words| words.len() as u64).collect();
    let body = 8 * lengths.iter().sum::<u64>();
    let header = Header { label: label.clone(), state, lengths };
    let mut file =
        Writer::create(&checkpoint_path(dir, label.number), &KIND, &header, key.map(|key| (key, body)))?;
    vectors.iter().try_for_each(|words| file.append_words(words))?;
    file.finish()?.publish()?;
    let numbers = numbers(dir)?;
    let mut earlier: Vec<u64> = numbers.iter().copied().filter(|&number| number <= label.number).collect();
    let kept = earlier.split_off(earlier.len().saturating_sub(KEPT));
    for number in numbers.into_iter().filter(|number| !kept.contains(number)) {
        let path = checkpoint_path(dir, number);
        fs::remove_file(&path).map_err(|e| DataError::io("remove", &path, e))?;
    }
    Ok(())
}

/// Reads a checkpoint of a party's directory; with a key, one that is encrypted under it.
///
/// # Errors
///
/// If the file cannot be read, is no checkpoint, or is damaged.
pub fn read<S: DeserializeOwned + Sync>(
    dir: &Path,
    number: u64,
    key: Option<&StorageKey>,
) -> Result<Stored<S>> {
    let path = checkpoint_path(dir, number);
    let file: Reader<Header<S>> = Reader::open(&path, &KIND, key)?;
    let bytes = |sum: u64, &words: &u64| sum.checked_add(words.checked_mul(8)?);
    file.verify(file.header.lengths.iter().try_fold(0, bytes), None)?;
    if file.header.label.number != number {
        let found = file.header.label.number;
        return Err(DataError::damaged(&path, format_args!("it is checkpoint {found} under another name")));
    }
    let mut at = 0;
    let mut vectors = Vec::with_capacity(file.header.lengths.len());
    for &length in &file.header.lengths {
        // The file has this length: `verify` has compared them.
        let mut words = vec![0; length as usize];
        file.read_words(at, &mut words)?;
        at += 8 * length;
        vectors.push(words);
    }
    let Header { label, state, .. } = file.header;
    Ok(Stored { label, state, vectors })
}

/// The numbers of all checkpoints in a party's directory, whole or not, in ascending order.
///
/// # Errors
///
/// If the directory cannot be read.
pub fn numbers(dir: &Path) -> Result<Vec<u64>> {
    let number = |name: &str| {
        let number = name.strip_prefix(PREFIX)?.parse().ok()?;
        (name == format!("{PREFIX}{number}")).then_some(number)
    };
    let mut numbers: Vec<u64> = names(dir)?.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes all checkpoints of a party's directory.
///
/// # Errors
///
/// If the directory cannot be read, or a file cannot be removed.
pub fn remove_all(dir: &Path) -> Result<()> {
    for number in numbers(dir)? {
        let path = checkpoint_path(dir, number);
        fs::remove_file(&path).map_err(|e| DataError::io("remove", &path, e))?;
    }
    Ok(())
}

/// Removes what a process that was killed while it wrote a checkpoint has left in a party's directory.
///
/// # Errors
///
/// If the directory cannot be read, or a file cannot be removed.
pub fn remove_unfinished(dir: &Path) -> Result<()> {
    let hidden = format!(".{PREFIX}");
    for name in names(dir)?.into_iter().filter(|name| name.starts_with(&hidden)) {
        let path = dir.join(name);
        fs::remove_file(&path).map_err(|e| DataError::io("remove", &path, e))?;
    }
    Ok(())
}

/// The names in a directory that are text.
fn names(dir: &Path) -> Result<Vec<String>> {
    let failed = |e| DataError::io("read", dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::damage::{change_each_byte, change_length};

    fn label(number: u64) -> Label {
        Label { number, party: 1, job: "0f".repeat(32), version: "0.1.0".to_owned(), build: "1e".repeat(32) }
    }

    fn read(dir: &Path, number: u64) -> Result<Stored<Vec<f64>>> {
        super::read(dir, number, None)
    }

    #[test]
    fn a_checkpoint_comes_back_bit_by_bit() {
        let dir = tempfile::tempdir().unwrap();
        let state = vec![0.1, 1.0 / 3.0, 5e-324, 1.797e308];
        let long: Vec<u64> = (0..10_000).map(|at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let vectors: [&[u64]; 4] = [&[1, u64::MAX], &[], &long, &[7]];
        write(dir.path(), &label(48), &state, &vectors, None).unwrap();
        let stored = read(dir.path(), 48).unwrap();
        assert_eq!((stored.label, stored.state), (label(48), state));
        assert_eq!(stored.vectors, vectors.map(<[u64]>::to_vec));
        let mode = fs::metadata(checkpoint_path(dir.path(), 48)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_last_three_stay() {
        let dir = tempfile::tempdir().unwrap();
        let put = |number| write(dir.path(), &label(number), &Vec::<f64>::new(), &[&[number]], None).unwrap();
        for number in [0, 16, 32, 5, 48] {
            put(number);
        }
        // What was written beyond 5 is of a run that has begun again before.
        assert_eq!(numbers(dir.path()).unwrap(), [0, 5, 48]);
        for number in [100, 64, 80] {
            put(number);
        }
        assert_eq!(numbers(dir.path()).unwrap(), [48, 64, 80]);
        for other in ["checkpoint-", "checkpoint-x", "checkpoint-007", "checkpoint-1.bak"] {
            fs::write(dir.path().join(other), "").unwrap();
        }
        assert_eq!(numbers(dir.path()).unwrap(), [48, 64, 80]);
        fs::write(dir.path().join(".checkpoint-96.0011.tmp"), "half").unwrap();
        remove_unfinished(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 7);
    }

    #[test]
    fn damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &label(3), &vec![0.5], &[&[1, 2, 3], &[4]], None).unwrap();
        let path = checkpoint_path(dir.path(), 3);
        change_each_byte(&path, &[0x01, 0x80], || assert!(read(dir.path(), 3).is_err()));
        change_length(&path, || assert!(read(dir.path(), 3).is_err()));
        assert_eq!(read(dir.path(), 3).unwrap().vectors, [vec![1, 2, 3], vec![4]]);
        fs::copy(&path, checkpoint_path(dir.path(), 4)).unwrap();
        let message = read(dir.path(), 4).err().unwrap().to_string();
        assert!(message.contains("checkpoint-4 is damaged (it is checkpoint 3"), "{message}");
        fs::write(&path, b"shamisen-model\0\x01").unwrap();
        let message = read(dir.path(), 3).err().unwrap().to_string();
        assert!(message.contains("is not a checkpoint of shamisen"), "{message}");
    }
    #[test]
    fn an_encrypted_checkpoint_shows_nothing_and_comes_back_under_its_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let key = StorageKey::create(&dir.path().join("key")).unwrap();
        let words: Vec<u64> = (0..3000).map(|at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        write(dir.path(), &label(3), &vec![0.5], &[&words, &[4]], Some(&key)).unwrap();
        let stored = super::read::<Vec<f64>>(dir.path(), 3, Some(&key)).unwrap();
        assert_eq!((stored.label, stored.vectors), (label(3), vec![words.clone(), vec![4]]));
        let path = checkpoint_path(dir.path(), 3);
        let bytes = fs::read(&path).unwrap();
        assert!(words[1..].iter().all(|word| !bytes.windows(8).any(|window| window == word.to_le_bytes())));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = StorageKey::create(&dir.path().join("other")).unwrap();
        assert!(super::read::<Vec<f64>>(dir.path(), 3, Some(&other)).is_err());
        assert!(read(dir.path(), 3).is_err());
        change_length(&path, || assert!(super::read::<Vec<f64>>(dir.path(), 3, Some(&key)).is_err()));
    }
}
