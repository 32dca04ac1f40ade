//! Small files and directories that appear whole or not at all, and results that three parties hand over.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use shamisen_party::handover;
use tempfile::TempDir;

use crate::failure::{Failure, Result};
use crate::interrupt::Protection;

/// Creates a directory that only its owner may enter.
pub(crate) fn create_secret_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Writes a file under another name in the same directory, and gives it its name when it is complete.
///
/// # Errors
///
/// If it cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
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
///
/// # Errors
///
/// With the reason, for the user.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Failure::input(format!("{} is a directory: name a file", path.display())));
    }
    let probe = tempfile::Builder::new().prefix(".shamisen-").tempfile_in(parent(path));
    probe.map(drop).map_err(|error| Failure::file("write to", parent(path), &error))
}

/// Fails if there is something at `dir`, or no new directory can be created there; nothing is left there. Messages say `what` it is for.
///
/// # Errors
///
/// With the reason, for the user.
pub fn check_new_dir(dir: &Path, what: &str) -> Result<()> {
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
#[derive(Debug)]
pub struct Staged {
    temporary: TempDir,
    dir: PathBuf,
    _protection: Protection,
}

impl Staged {
    /// Creates it.
    ///
    /// # Errors
    ///
    /// If that is not possible.
    pub fn new(dir: &Path) -> Result<Self> {
        let protection = Protection::new();
        let temporary = tempfile::Builder::new()
            .prefix(".shamisen-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent(dir))
            .map_err(|error| Failure::file("write", dir, &error))?;
        Ok(Self { temporary, dir: dir.to_owned(), _protection: protection })
    }

    /// Where it is now.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// The name that it gets.
    pub fn name(&self) -> &Path {
        &self.dir
    }

    /// Gives it its name, and returns that.
    ///
    /// # Errors
    ///
    /// If that is not possible.
    pub fn publish(self) -> Result<PathBuf> {
        fs::rename(self.temporary.path(), &self.dir)
            .map_err(|error| Failure::file("write", &self.dir, &error))?;
        // What it would remove has moved away.
        drop(self.temporary.keep());
        Ok(self.dir)
    }
}

/// The directory of a path.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts three shares of `len` words together, each in a file.
///
/// Fails if a file is missing or has another length, or two parties contradict each other.
pub(crate) fn combine(paths: &[PathBuf; 3], len: usize) -> Result<Vec<u64>> {
    let mut shares = [const { Vec::new() }; 3];
    for (party, (share, path)) in shares.iter_mut().zip(paths).enumerate() {
        *share = fs::read(path).map_err(|error| {
            Failure::run(format!("party {party} handed over no share of the result: {error}"))
        })?;
    }
    Ok(handover::combine(&shares, len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let failure = write_atomically(&dir.path().join("no/x"), b"").unwrap_err();
        assert!(matches!(failure, Failure::Input(_)));
    }
}
