//! Small files and directories that appear whole or not at all, and shares that a party hands to the one who asked.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use shamisen_mpc::Rep;
use tempfile::TempDir;

use crate::failure::{Failure, Result};
use crate::interrupt::Protection;

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// Creates a directory that only its owner may enter.
pub(crate) fn create_secret_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Writes a file under another name in the same directory, and gives it its name when it is complete.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: &io::Error| Failure::file("write", path, error);
    let dir = parent(path);
    let mut file = tempfile::Builder::new()
        .prefix(".shamisen-")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(dir)
        .map_err(|error| failed(&error))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// Fails if a file cannot be created at `path`; nothing is left there.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Failure::input(format!("{} is a directory: name a file", path.display())));
    }
    let probe = tempfile::Builder::new().prefix(".shamisen-").tempfile_in(parent(path));
    probe.map(drop).map_err(|error| Failure::file("write to", parent(path), &error))
}

/// Fails if there is something at `dir`, or no new directory can be created there; nothing is left there.
pub(crate) fn check_new_dir(dir: &Path, what: &str) -> Result<()> {
    let taken = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => dir.symlink_metadata().is_ok(),
    };
    if taken {
        return Err(Failure::input(format!(
            "{} exists already: name a new directory for the {what}, or remove this one",
            dir.display()
        )));
    }
    let probe = tempfile::Builder::new().prefix(".shamisen-").tempdir_in(parent(dir));
    probe.map(drop).map_err(|error| Failure::file("write to", parent(dir), &error))
}

/// A directory that only its owner may enter, under another name beside the one that it gets when it is complete.
///
/// Dropped before that, it disappears.
pub(crate) struct Staged {
    temporary: TempDir,
    dir: PathBuf,
    _protection: Protection,
}

impl Staged {
    /// Creates it.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let protection = Protection::new();
        let temporary = tempfile::Builder::new()
            .prefix(".shamisen-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent(dir))
            .map_err(|error| Failure::file("write", dir, &error))?;
        Ok(Self { temporary, dir: dir.to_owned(), _protection: protection })
    }

    /// Where it is now.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// The name that it gets.
    pub(crate) fn name(&self) -> &Path {
        &self.dir
    }

    /// Gives it its name, and returns that.
    pub(crate) fn publish(self) -> Result<PathBuf> {
        fs::rename(self.temporary.path(), &self.dir)
            .map_err(|error| Failure::file("write", &self.dir, &error))?;
        // What it would remove has moved away.
        drop(self.temporary.keep());
        Ok(self.dir)
    }
}

/// The directory of a path.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a share: the components mine and next, little-endian.
pub(crate) fn write_share(path: &Path, share: &Rep) -> io::Result<()> {
    let (mine, next) = share.components();
    let bytes: Vec<u8> = mine.iter().chain(next).flat_map(|word| word.to_le_bytes()).collect();
    write_secret(path, &bytes)
}

/// Puts three shares of `len` words together.
///
/// Fails if a file is missing or has another length, or two parties contradict each other.
pub(crate) fn combine(paths: &[PathBuf; 3], len: usize) -> Result<Vec<u64>> {
    let mut shares = Vec::with_capacity(3);
    for (party, path) in paths.iter().enumerate() {
        let bytes = fs::read(path).map_err(|error| {
            Failure::run(format!("party {party} handed over no share of the result: {error}"))
        })?;
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().expect("a chunk of 8 bytes")))
            .collect();
        if bytes.len() != 16 * len {
            let text = format!("party {party} handed over {} bytes instead of {}", bytes.len(), 16 * len);
            return Err(Failure::run(text));
        }
        shares.push(words);
    }
    for party in 0..3 {
        let next = (party + 1) % 3;
        if shares[party][len..] != shares[next][..len] {
            return Err(Failure::run(format!(
                "parties {party} and {next} handed over shares that contradict each other"
            )));
        }
    }
    Ok((0..len).map(|at| shares[0][at].wrapping_add(shares[1][at]).wrapping_add(shares[2][at])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_together_and_contradictions_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a", "b", "c"].map(|name| dir.path().join(name));
        let components = [vec![1, 2], vec![10, 20], vec![u64::MAX, 5]];
        for party in 0..3 {
            let share = Rep::from_components(components[party].clone(), components[(party + 1) % 3].clone());
            write_share(&paths[party], &share).unwrap();
            assert_eq!(fs::metadata(&paths[party]).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(combine(&paths, 2).unwrap(), [10, 27]);
        assert!(combine(&paths, 3).is_err());
        write_share(&paths[1], &Rep::from_components(vec![11, 20], components[2].clone())).unwrap();
        assert!(combine(&paths, 2).is_err());
    }

    #[test]
    fn a_file_is_replaced_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(write_atomically(&dir.path().join("no/x"), b"").unwrap_err().status(), 2);
    }
}
