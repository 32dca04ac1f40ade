//! Documents in three parts: bytes, such as the statistics of a table, that the servers keep for others and cannot read.
//!
//! The bytes are packed into words, which are shared as a [share file](crate::shares) of one column; the first word is their number.

use std::path::Path;

use crate::error::{DataError, Result};
use crate::shares::{Dealer, ShareFile};

/// Most bytes of a document.
pub const MAX_DOCUMENT: usize = 1 << 26;

/// Shares a document among three directories, as share files with this name and data set.
///
/// # Errors
///
/// If it is longer than [`MAX_DOCUMENT`], and as [`Dealer::create`] and [`Dealer::finish`].
pub fn deal(dirs: [&Path; 3], name: &str, dataset: &str, bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_DOCUMENT {
        let (expected, found) = (MAX_DOCUMENT, bytes.len());
        return Err(DataError::Length { operation: "sharing a document", expected, found });
    }
    let mut dealer = Dealer::create(dirs, name, dataset, (words(bytes.len()), 1), 0)?;
    dealer.push_word(bytes.len() as u64)?;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        dealer.push_word(u64::from_le_bytes(word))?;
    }
    dealer.finish()
}

/// Puts the share files of a document together, those of parties 0, 1 and 2.
///
/// # Errors
///
/// If a file is no share file of its party, or they do not belong together or contradict each other.
pub fn read(paths: [&Path; 3]) -> Result<Vec<u8>> {
    let mut files = Vec::with_capacity(3);
    for (party, path) in paths.iter().enumerate() {
        files.push(ShareFile::open(path, party)?);
    }
    let first = &files[0];
    let rows = first.rows();
    if rows > words(MAX_DOCUMENT) {
        return Err(DataError::damaged(paths[0], "it is longer than a document"));
    }
    let order: Vec<u32> = (0..rows as u32).collect();
    let mut components = Vec::with_capacity(3);
    for (file, path) in files.iter().zip(paths) {
        if (file.rows(), file.cols(), file.dataset()) != (rows, 1, first.dataset()) {
            return Err(DataError::damaged(path, "it is not of the same document as the two others"));
        }
        let (mut mine, mut next) = (vec![0; rows], vec![0; rows]);
        file.gather(&order, &mut mine, &mut next)?;
        components.push((mine, next));
    }
    for (party, path) in paths.iter().enumerate() {
        if components[party].1 != components[(party + 1) % 3].0 {
            return Err(DataError::damaged(path, "it contradicts the share of another party"));
        }
    }
    let word = |at: usize| components.iter().fold(0_u64, |sum, (mine, _)| sum.wrapping_add(mine[at]));
    let length = word(0);
    let mut bytes: Vec<u8> = (1..rows).flat_map(|at| word(at).to_le_bytes()).collect();
    if length > bytes.len() as u64 || words(length as usize) != rows {
        return Err(DataError::damaged(paths[0], "the three shares together are no document"));
    }
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// Words of a document with so many bytes.
fn words(bytes: usize) -> usize {
    1 + bytes.div_ceil(8)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::shares::{random_id, share_path};

    #[test]
    fn documents_come_back_from_three_shares() {
        for length in [0, 1, 7, 8, 9, 1000] {
            let place = tempfile::tempdir().unwrap();
            let dirs = ["a", "b", "c"].map(|name| place.path().join(name));
            let dirs = dirs.each_ref().map(PathBuf::as_path);
            let bytes: Vec<u8> = (0..length).map(|at| at as u8 ^ 0x55).collect();
            deal(dirs, "notes", &random_id().unwrap(), &bytes).unwrap();
            let paths = dirs.map(|dir| share_path(dir, "notes"));
            let paths = paths.each_ref().map(PathBuf::as_path);
            assert_eq!(read(paths).unwrap(), bytes);
            assert!(read([paths[0], paths[2], paths[1]]).is_err());
        }
    }

    #[test]
    fn shares_of_two_documents_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let dirs = ["a", "b", "c"].map(|name| place.path().join(name));
        let dirs = dirs.each_ref().map(PathBuf::as_path);
        let paths = dirs.map(|dir| share_path(dir, "notes"));
        let paths = paths.each_ref().map(PathBuf::as_path);
        let id = random_id().unwrap();
        deal(dirs, "notes", &id, b"the first one").unwrap();
        let old = fs::read(paths[1]).unwrap();
        deal(dirs, "notes", &id, b"the other one").unwrap();
        fs::write(paths[1], old).unwrap();
        let message = read(paths).unwrap_err().to_string();
        assert!(message.contains("contradicts"), "{message}");
    }
}
