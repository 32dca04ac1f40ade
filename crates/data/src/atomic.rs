//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Result};

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// Everyone whom the process's file mode mask lets.
    Public,
    /// The owner only.
    Secret,
}

/// A file under a temporary name, which takes its own name when it is complete.
///
/// Dropped before that, it disappears.
pub(crate) struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    published: bool,
}

impl AtomicFile {
    /// Creates the temporary file in the directory of `path`.
    pub(crate) fn create(path: &Path, access: Access) -> Result<Self> {
        // A symbolic link stays, and what it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().ok_or_else(|| {
            DataError::io("write", &path, io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))
        })?;
        let mut temporary_name = std::ffi::OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(format!(".{}.tmp", &random_hex::<8>()?));
        let temporary = path.with_file_name(temporary_name);
        let mode = match access {
            Access::Public => 0o666,
            Access::Secret => 0o600,
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(
            |e| match e.kind() {
                io::ErrorKind::NotFound => DataError::NotFound { path: directory(&path).to_owned() },
                _ => DataError::io("write", &path, e),
            },
        )?;
        Ok(Self { path, temporary, file: BufWriter::with_capacity(1 << 16, file), published: false })
    }

    /// The file for somebody who writes it himself, from its beginning; nothing may be appended then.
    pub(crate) fn handle(&self) -> Result<File> {
        self.file.get_ref().try_clone().map_err(|e| DataError::io("write", &self.path, e))
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| DataError::io("write", &self.path, e))
    }

    /// Waits until the disk has everything.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(|e| DataError::io("write", &self.path, e))
    }

    /// Gives the file its name; to be called after [`Self::sync`].
    pub(crate) fn publish(mut self) -> Result<()> {
        let renamed = fs::rename(&self.temporary, &self.path);
        self.published = renamed.is_ok();
        let dir = directory(&self.path);
        renamed.and_then(|()| File::open(dir)?.sync_all()).map_err(|e| DataError::io("write", &self.path, e))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.published {
            // Nothing more can be done about a temporary file that cannot be removed.
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// The directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a directory and those above it.
pub(crate) fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|e| DataError::io("create", dir, e))
}

/// `N` random bytes as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> Result<String> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|source| DataError::Randomness { source })?;
    Ok(bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect())
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_appears_only_when_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path, Access::Secret).unwrap();
        file.append(b"new").unwrap();
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(&dir.path().join("a"), Access::Public).unwrap();
        file.append(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let message =
            AtomicFile::create(Path::new("/nonexistent/x"), Access::Public).err().unwrap().to_string();
        assert_eq!(message, "/nonexistent does not exist: check the path");
    }
}
