//! The frame of binary files: magic and version, a JSON header, a body, and a BLAKE3 hash of everything before it.
//!
//! The end of a body may be hashed in blocks of a megabyte, the last one shorter: the hash of the file then takes in the
//! hashes of the blocks in their place. They can be computed once for several files with the same blocks, and by several
//! threads when a file is opened.
//!
//! | bytes | what |
//! |---|---|
//! | 15 | the kind of file |
//! | 1 | the version |
//! | 4 | length of the header, little-endian |
//! | … | the header as JSON |
//! | … | the body |
//! | 32 | BLAKE3 |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic::{Access, AtomicFile};
use crate::encrypted::{EncryptedFile, EncryptedWriter, StorageKey};
use crate::error::{DataError, Result};
use crate::pipeline::in_order;

const PREFIX: u64 = 20;
const HASH: u64 = 32;
const MAX_HEADER: u32 = 1 << 18;

/// Bytes per read while checking the hash, and of a block.
pub(crate) const BLOCK: usize = 1 << 20;

/// A kind of file.
pub(crate) struct Kind {
    pub(crate) magic: [u8; 15],
    pub(crate) version: u8,
    /// With article, for messages.
    pub(crate) name: &'static str,
}

/// A file being written, secret and under a temporary name.
pub(crate) struct Writer {
    file: AtomicFile,
    /// Who writes it, if it is encrypted.
    encrypted: Option<EncryptedWriter>,
    hasher: blake3::Hasher,
}

impl Writer {
    /// Begins a file; with a key, one that is encrypted under it, with a body of so many bytes.
    pub(crate) fn create(
        path: &Path,
        kind: &Kind,
        header: &impl Serialize,
        encryption: Option<(&StorageKey, u64)>,
    ) -> Result<Self> {
        let json = serde_json::to_vec(header).map_err(|e| DataError::io("write", path, e.into()))?;
        debug_assert!(json.len() <= MAX_HEADER as usize);
        let file = AtomicFile::create(path, Access::Secret)?;
        let begin = |(key, body)| {
            let length = PREFIX + json.len() as u64 + body + HASH;
            EncryptedWriter::begin(path, file.handle()?, key, length)
        };
        let encrypted = encryption.map(begin).transpose()?;
        let mut writer = Self { file, encrypted, hasher: blake3::Hasher::new() };
        writer.append(&kind.magic)?;
        writer.append(&[kind.version])?;
        writer.append(&(json.len() as u32).to_le_bytes())?;
        writer.append(&json)?;
        Ok(writer)
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.put(bytes)
    }

    /// Appends a block whose hash is known.
    pub(crate) fn append_block(&mut self, bytes: &[u8], hash: &blake3::Hash) -> Result<()> {
        self.hasher.update(hash.as_bytes());
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.encrypted {
            None => self.file.append(bytes),
            Some(file) => file.append(bytes),
        }
    }

    /// Appends words, little-endian.
    pub(crate) fn append_words(&mut self, words: &[u64]) -> Result<()> {
        let mut chunk = [0u64; 512];
        for words in words.chunks(chunk.len()) {
            let chunk = &mut chunk[..words.len()];
            for (to, from) in chunk.iter_mut().zip(words) {
                *to = from.to_le();
            }
            self.append(bytemuck::cast_slice(chunk))?;
        }
        Ok(())
    }

    /// Appends the hash and waits for the disk; the file to publish.
    pub(crate) fn finish(mut self) -> Result<AtomicFile> {
        let hash = self.hasher.finalize();
        self.put(hash.as_bytes())?;
        self.file.sync()?;
        Ok(self.file)
    }
}

/// A file being read, whose frame is right; the hash is checked by [`Reader::verify`].
pub(crate) struct Reader<H> {
    pub(crate) path: PathBuf,
    pub(crate) header: H,
    content: Content,
    length: u64,
    body: u64,
}

/// Where the bytes of a file are.
enum Content {
    Plain(File),
    Encrypted(EncryptedFile),
}

impl Content {
    fn read_at(&self, path: &Path, at: u64, bytes: &mut [u8]) -> Result<()> {
        match self {
            Self::Plain(file) => file.read_exact_at(bytes, at).map_err(|e| DataError::io("read", path, e)),
            Self::Encrypted(file) => file.read_at(at, bytes),
        }
    }
}

impl<H: DeserializeOwned> Reader<H> {
    /// Opens a file; with a key, one that is encrypted under it.
    pub(crate) fn open(path: &Path, kind: &Kind, key: Option<&StorageKey>) -> Result<Self> {
        let (content, length) = match key {
            None => {
                let io = |e: io::Error| DataError::io("read", path, e);
                let file = File::open(path).map_err(io)?;
                let length = file.metadata().map_err(io)?.len();
                (Content::Plain(file), length)
            }
            Some(key) => {
                let file = EncryptedFile::open(path, key)?;
                let length = file.length();
                (Content::Encrypted(file), length)
            }
        };
        if length < PREFIX + HASH {
            return Err(DataError::WrongFormat { path: path.to_owned(), expected: kind.name });
        }
        let mut prefix = [0u8; PREFIX as usize];
        content.read_at(path, 0, &mut prefix)?;
        if prefix[..15] != kind.magic {
            return Err(DataError::WrongFormat { path: path.to_owned(), expected: kind.name });
        }
        if prefix[15] != kind.version {
            let (found, supported) = (u32::from(prefix[15]), u32::from(kind.version));
            return Err(DataError::WrongVersion { path: path.to_owned(), found, supported });
        }
        let header_length = u32::from_le_bytes([prefix[16], prefix[17], prefix[18], prefix[19]]);
        let body = PREFIX + u64::from(header_length);
        if header_length > MAX_HEADER || body + HASH > length {
            return Err(DataError::damaged(path, "its header has an impossible length"));
        }
        let mut json = vec![0u8; header_length as usize];
        content.read_at(path, PREFIX, &mut json)?;
        let header = serde_json::from_slice(&json)
            .map_err(|e| DataError::damaged(path, format_args!("its header is not readable: {e}")))?;
        Ok(Self { path: path.to_owned(), header, content, length, body })
    }
}

impl<H: Sync> Reader<H> {
    /// Checks that the body has this many bytes, and the hash of everything; those from `blocks` on are hashed in blocks.
    ///
    /// Memory does not grow with the file. Blocks are read and hashed by as many threads as there are cores.
    pub(crate) fn verify(&self, body_length: Option<u64>, blocks: Option<u64>) -> Result<()> {
        let expected = body_length
            .and_then(|body| self.body.checked_add(body)?.checked_add(HASH))
            .ok_or_else(|| DataError::damaged(&self.path, "its header promises an impossible size"))?;
        if self.length != expected {
            return Err(DataError::WrongLength { path: self.path.clone(), expected, found: self.length });
        }
        let end = self.length - HASH;
        let plain = blocks.map_or(end, |start| (self.body + start).min(end));
        let mut hasher = blake3::Hasher::new();
        let mut chunk = vec![0u8; BLOCK.min(plain as usize)];
        for at in (0..plain).step_by(BLOCK) {
            let chunk = &mut chunk[..(plain - at).min(BLOCK as u64) as usize];
            self.read_at(at, chunk)?;
            hasher.update(chunk);
        }
        let hash_block = |at: u64| {
            let mut block = vec![0u8; (end - at).min(BLOCK as u64) as usize];
            self.read_at(at, &mut block).map(|()| blake3::hash(&block))
        };
        in_order((plain..end).step_by(BLOCK).map(Ok), hash_block, |hash| {
            hasher.update(hash.as_bytes());
            Ok::<_, DataError>(())
        })?;
        let mut hash = [0u8; HASH as usize];
        self.read_at(end, &mut hash)?;
        if hasher.finalize() != blake3::Hash::from_bytes(hash) {
            return Err(DataError::damaged(&self.path, "its checksum does not match"));
        }
        Ok(())
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.content.read_at(&self.path, at, bytes)
    }

    /// Reads bytes of the body.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.read_at(self.body + offset, bytes)
    }

    /// Reads words of the body from the byte `offset`.
    pub(crate) fn read_words(&self, offset: u64, words: &mut [u64]) -> Result<()> {
        self.read(offset, bytemuck::cast_slice_mut(words))?;
        for word in words {
            *word = u64::from_le(*word);
        }
        Ok(())
    }
}
