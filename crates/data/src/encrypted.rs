//! Files that a server keeps encrypted, and reads anywhere.
//!
//! Share files on a server's disk are encrypted under a [`StorageKey`] of the server, in segments of 4 KiB, so that a row can be
//! read without all that is before it, and a file can be written in pieces with a crash in between.
//!
//! | bytes | what |
//! |---|---|
//! | 15 | the kind of file |
//! | 1 | the version |
//! | 32 | a random salt |
//! | 8 | length of the content, little-endian |
//! | … | the segments: a random nonce of 12 bytes, the content encrypted, a tag of 16 bytes |
//!
//! The key of a file is derived (HKDF, SHA-256) from the storage key, the salt and the length; a segment is encrypted by
//! AES-256-GCM with its number as authenticated data. What was changed, cut, moved within the file or encrypted under another
//! key is found when it is read. Nonces are random, not counted: a segment that is written again after a crash, perhaps with
//! another content, gets another one. A file has at most 2^32 segments, the bound for random nonces (NIST SP 800-38D).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use crate::atomic::{Access, AtomicFile};
use crate::error::{DataError, Result};

const MAGIC: [u8; 16] = *b"shamisen-cipher\x01";

/// What kind of file it is, for messages.
const NAME: &str = "an encrypted file of shamisen";

const SALT: usize = 32;
const HEAD: usize = 16 + SALT + 8;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Content of a segment in bytes.
pub const SEGMENT: usize = 1 << 12;

/// A segment on the disk.
const STORED: usize = NONCE + SEGMENT + TAG;

/// Segments that are read or written at once.
const BATCH: usize = 64;

/// Most bytes of a file's content.
pub const MAX_CONTENT: u64 = (SEGMENT as u64) << 32;

/// The key under which a server encrypts what it keeps.
#[derive(Clone)]
pub struct StorageKey(Zeroizing<[u8; 32]>);

impl StorageKey {
    /// Draws a key and writes it to a file that must not exist yet, of mode 0600.
    ///
    /// # Errors
    ///
    /// If the file exists or cannot be written, or the operating system has no random bytes.
    pub fn create(path: &Path) -> Result<Self> {
        let mut key = Zeroizing::new([0u8; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|source| DataError::Randomness { source })?;
        let io = |e| DataError::io("write", path, e);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        let mut text = Zeroizing::new(blake3::Hash::from_bytes(*key).to_hex().as_bytes().to_vec());
        text.push(b'\n');
        let written = file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(dir)?.sync_all()
        });
        if let Err(error) = written {
            // Half a key is of no use, and nothing is encrypted under it yet.
            drop(fs::remove_file(path));
            return Err(io(error));
        }
        Ok(Self(key))
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is no key, or may be read by other users.
    pub fn read(path: &Path) -> Result<Self> {
        let io = |e| DataError::io("read", path, e);
        let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(DataError::KeyIsOpen { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(fs::read(path).map_err(io)?);
        let key = blake3::Hash::from_hex(text.trim_ascii())
            .map_err(|_| DataError::damaged(path, "it holds no key"))?;
        Ok(Self(Zeroizing::new(*key.as_bytes())))
    }

    /// A text that tells keys apart, and says nothing about them.
    pub fn check_value(&self) -> String {
        let mut value = [0u8; 32];
        let pseudo_random = Salt::new(HKDF_SHA256, b"shamisen check value").extract(self.0.as_slice());
        let filled = pseudo_random.expand(&[], HKDF_SHA256).and_then(|expanded| expanded.fill(&mut value));
        filled.unwrap_or_else(|_| unreachable!("HKDF with SHA-256 gives 32 bytes"));
        blake3::Hash::from_bytes(value).to_hex().to_string()
    }

    /// The key of a file with this head.
    fn of_file(&self, head: &[u8; HEAD]) -> LessSafeKey {
        let (kind, rest) = head.split_at(16);
        let (salt, length) = rest.split_at(SALT);
        let pseudo_random = Salt::new(HKDF_SHA256, salt).extract(self.0.as_slice());
        let info = [kind, length];
        let expanded = pseudo_random.expand(&info, &AES_256_GCM).expect("HKDF gives 32 bytes");
        LessSafeKey::new(UnboundKey::from(expanded))
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageKey").finish_non_exhaustive()
    }
}

/// An encrypted file that is being read.
pub(crate) struct EncryptedFile {
    path: PathBuf,
    file: File,
    key: LessSafeKey,
    length: u64,
}

impl EncryptedFile {
    /// Opens a complete file.
    pub(crate) fn open(path: &Path, key: &StorageKey) -> Result<Self> {
        let file = File::open(path).map_err(|e| DataError::io("read", path, e))?;
        let (head, found) = read_head(path, &file)?;
        let length = length_of(&head);
        let expected = stored_length(length);
        if found != expected {
            return Err(DataError::WrongLength { path: path.to_owned(), expected, found });
        }
        Ok(Self { path: path.to_owned(), file, key: key.of_file(&head), length })
    }

    /// Length of the content.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads content from this byte on.
    pub(crate) fn read_at(&self, mut at: u64, mut bytes: &mut [u8]) -> Result<()> {
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > self.length) {
            let end = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(DataError::io("read", &self.path, end));
        }
        let mut stored = Vec::new();
        while !bytes.is_empty() {
            let first = at / SEGMENT as u64;
            let skip = (at % SEGMENT as u64) as usize;
            let segments = (skip + bytes.len()).div_ceil(SEGMENT).min(BATCH);
            let content = (self.length - first * SEGMENT as u64).min((segments * SEGMENT) as u64) as usize;
            stored.resize(content + segments * (NONCE + TAG), 0);
            let place = HEAD as u64 + first * STORED as u64;
            self.file.read_exact_at(&mut stored, place).map_err(|e| DataError::io("read", &self.path, e))?;
            let (now, later) = bytes.split_at_mut(bytes.len().min(content - skip));
            let mut filled = 0;
            for (number, segment) in (first..).zip(stored.chunks_mut(STORED)) {
                let plain = self.decrypt(number, segment)?;
                let plain = if number == first { &plain[skip..] } else { plain };
                let taken = plain.len().min(now.len() - filled);
                now[filled..filled + taken].copy_from_slice(&plain[..taken]);
                filled += taken;
            }
            at += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    fn decrypt<'a>(&self, number: u64, segment: &'a mut [u8]) -> Result<&'a [u8]> {
        let damaged = || {
            let problem = "a part of it was changed, or it was encrypted under another key";
            DataError::damaged(&self.path, problem)
        };
        let (nonce, sealed) = segment.split_at_mut_checked(NONCE).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let plain = self.key.open_in_place(nonce, Aad::from(number.to_le_bytes()), sealed);
        plain.map(|plain| &*plain).map_err(|_| damaged())
    }
}

/// An encrypted file that is being written, perhaps over several starts of the program.
///
/// What is on the disk are whole segments; the rest of what was appended is kept in memory until the segment is full, and lost
/// when this is dropped.
pub struct EncryptedWriter {
    path: PathBuf,
    file: File,
    key: LessSafeKey,
    length: u64,
    /// Bytes of content in the file.
    written: u64,
    /// Content of the segment that is not full.
    rest: Vec<u8>,
    /// Segments on their way to the disk.
    stored: Vec<u8>,
}

impl EncryptedWriter {
    /// Begins a file with a content of so many bytes, of mode 0600.
    ///
    /// # Errors
    ///
    /// If the file exists or cannot be written, the content is too long, or the operating system has no random bytes.
    pub fn create(path: &Path, key: &StorageKey, length: u64) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        Self::begin(path, file.map_err(|e| DataError::io("write", path, e))?, key, length)
    }

    /// Begins an empty file, which messages call `path`, with a content of so many bytes.
    pub(crate) fn begin(path: &Path, file: File, key: &StorageKey, length: u64) -> Result<Self> {
        let io = |e| DataError::io("write", path, e);
        if length > MAX_CONTENT {
            return Err(io(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        let mut head = [0u8; HEAD];
        head[..16].copy_from_slice(&MAGIC);
        getrandom::fill(&mut head[16..16 + SALT]).map_err(|source| DataError::Randomness { source })?;
        head[16 + SALT..].copy_from_slice(&length.to_le_bytes());
        file.write_all_at(&head, 0).map_err(io)?;
        Ok(Self::new(path, file, key.of_file(&head), length, 0))
    }

    /// Goes on with a file that [`create`](Self::create) began, behind its last whole segment.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is none of these.
    pub fn resume(path: &Path, key: &StorageKey) -> Result<Self> {
        let io = |e| DataError::io("write", path, e);
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        let (head, stored) = read_head(path, &file)?;
        let length = length_of(&head);
        let written = if stored >= stored_length(length) {
            length
        } else {
            (stored - HEAD as u64) / STORED as u64 * SEGMENT as u64
        };
        Ok(Self::new(path, file, key.of_file(&head), length, written))
    }

    fn new(path: &Path, file: File, key: LessSafeKey, length: u64, written: u64) -> Self {
        Self { path: path.to_owned(), file, key, length, written, rest: Vec::new(), stored: Vec::new() }
    }

    /// Bytes of content that are in the file.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends content.
    ///
    /// # Errors
    ///
    /// If it is longer than what is missing, or the file cannot be written.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        let missing = self.length - self.written - self.rest.len() as u64;
        if bytes.len() as u64 > missing {
            let (expected, found) = (missing as usize, bytes.len());
            return Err(DataError::Length { operation: "writing an encrypted file", expected, found });
        }
        if !self.rest.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(SEGMENT - self.rest.len()));
            self.rest.extend_from_slice(now);
            bytes = later;
            self.write_rest()?;
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BATCH * SEGMENT));
            let is_end = now.len() as u64 == self.length - self.written;
            let whole = if is_end { now.len() } else { now.len() / SEGMENT * SEGMENT };
            self.write(&now[..whole])?;
            self.rest.extend_from_slice(&now[whole..]);
            bytes = later;
        }
        Ok(())
    }

    /// Waits until the disk has what was written.
    ///
    /// # Errors
    ///
    /// If it does not get there.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|e| DataError::io("write", &self.path, e))
    }

    /// Writes the segment in memory, if it is full or the last one.
    fn write_rest(&mut self) -> Result<()> {
        if self.rest.len() == SEGMENT || self.rest.len() as u64 == self.length - self.written {
            let rest = std::mem::take(&mut self.rest);
            self.write(&rest)?;
        }
        Ok(())
    }

    /// Writes segments, of which only the last one of the file is not full.
    fn write(&mut self, content: &[u8]) -> Result<()> {
        self.stored.clear();
        let first = self.written / SEGMENT as u64;
        let mut nonces = vec![0u8; content.len().div_ceil(SEGMENT) * NONCE];
        getrandom::fill(&mut nonces).map_err(|source| DataError::Randomness { source })?;
        for ((number, nonce), plain) in (first..).zip(nonces.chunks(NONCE)).zip(content.chunks(SEGMENT)) {
            let start = self.stored.len() + NONCE;
            self.stored.extend_from_slice(nonce);
            self.stored.extend_from_slice(plain);
            let nonce = Nonce::try_assume_unique_for_key(nonce).expect("a nonce of 12 bytes");
            let aad = Aad::from(number.to_le_bytes());
            let tag = self.key.seal_in_place_separate_tag(nonce, aad, &mut self.stored[start..]);
            self.stored.extend_from_slice(tag.expect("a segment is short enough to be encrypted").as_ref());
        }
        let place = HEAD as u64 + first * STORED as u64;
        self.file.write_all_at(&self.stored, place).map_err(|e| DataError::io("write", &self.path, e))?;
        self.written += content.len() as u64;
        Ok(())
    }
}

impl fmt::Debug for EncryptedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedWriter")
            .field("path", &self.path)
            .field("length", &self.length)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// Writes an encrypted file, which only its owner may read and which appears when it is complete.
///
/// When it returns, the file outlives a failure of the machine.
///
/// # Errors
///
/// If it cannot be written, or the operating system has no random bytes.
pub fn write(path: &Path, key: &StorageKey, content: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path, Access::Secret)?;
    EncryptedWriter::begin(path, file.handle()?, key, content.len() as u64)?.append(content)?;
    file.sync()?;
    file.publish()
}

/// Reads the content of a complete encrypted file from its beginning, in pieces of at most a quarter of a megabyte.
///
/// # Errors
///
/// If it cannot be read, was changed, or was encrypted under another key; and those of `sink`.
pub fn read_all<E: From<DataError>>(
    path: &Path,
    key: &StorageKey,
    mut sink: impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let file = EncryptedFile::open(path, key)?;
    let mut piece = vec![0u8; (BATCH * SEGMENT).min(file.length as usize)];
    let mut at = 0;
    while at < file.length {
        let piece_length = (file.length - at).min(piece.len() as u64) as usize;
        file.read_at(at, &mut piece[..piece_length])?;
        sink(&piece[..piece_length])?;
        at += piece_length as u64;
    }
    Ok(())
}

/// Reads content of a complete encrypted file from this byte on, at most so many bytes, and fewer at the end.
///
/// # Errors
///
/// If it cannot be read, was changed, or was encrypted under another key.
pub fn read_part(path: &Path, key: &StorageKey, from: u64, most: usize) -> Result<Vec<u8>> {
    let file = EncryptedFile::open(path, key)?;
    let mut part = vec![0; file.length.saturating_sub(from).min(most as u64) as usize];
    file.read_at(from.min(file.length), &mut part)?;
    Ok(part)
}

/// Length of the content of a complete encrypted file.
///
/// # Errors
///
/// If it cannot be read.
pub fn length(path: &Path, key: &StorageKey) -> Result<u64> {
    Ok(EncryptedFile::open(path, key)?.length)
}

/// The head of a file, and the length of the file.
fn read_head(path: &Path, file: &File) -> Result<([u8; HEAD], u64)> {
    let io = |e| DataError::io("read", path, e);
    let found = file.metadata().map_err(io)?.len();
    let mut head = [0u8; HEAD];
    let other = || DataError::WrongFormat { path: path.to_owned(), expected: NAME };
    if found < HEAD as u64 {
        return Err(other());
    }
    file.read_exact_at(&mut head, 0).map_err(io)?;
    if head[..15] != MAGIC[..15] {
        return Err(other());
    }
    if head[15] != MAGIC[15] {
        let (found, supported) = (u32::from(head[15]), u32::from(MAGIC[15]));
        return Err(DataError::WrongVersion { path: path.to_owned(), found, supported });
    }
    if length_of(&head) > MAX_CONTENT {
        return Err(DataError::damaged(path, "its head promises an impossible size"));
    }
    Ok((head, found))
}

fn length_of(head: &[u8; HEAD]) -> u64 {
    let (_, length) = head.split_at(HEAD - 8);
    u64::from_le_bytes(length.try_into().expect("the last 8 bytes"))
}

/// Length of a complete file with so much content, which is at most [`MAX_CONTENT`].
fn stored_length(content: u64) -> u64 {
    HEAD as u64 + content + content.div_ceil(SEGMENT as u64) * (NONCE + TAG) as u64
}

#[cfg(test)]
mod tests;
