//! The messages of a file or stream, of which nothing is believed before it is compared with what there is.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow_ipc::{MessageHeader, RecordBatch, root_as_message};

use crate::arrow::{CONTINUATION, MAGIC};
use crate::error::{DataError, Result};

/// Longest metadata of a message: as of a table with a million columns.
const MAX_METADATA: u64 = 1 << 28;

/// Most bytes of the magic and what fills up after it.
const MAX_PADDING: u64 = 1 << 10;

/// Most bytes of a record batch, as it is in memory.
const MAX_BATCH: u64 = 1 << 31;

/// The error of a file that is not as it was written.
pub(crate) fn damaged(path: &Path, problem: &str) -> DataError {
    DataError::damaged(path, problem)
}

/// The error of a file that is of a kind that is not read.
pub(crate) fn unsupported(path: &Path, problem: impl Into<String>) -> DataError {
    DataError::Arrow { path: path.to_owned(), problem: problem.into() }
}

/// Reads messages one after the other.
pub(crate) struct Messages {
    path: PathBuf,
    reader: BufReader<File>,
    /// Bytes of the file that have not come yet.
    left: u64,
}

/// A message whose body has not been read.
pub(crate) struct Message {
    /// All before the body.
    pub(crate) head: Vec<u8>,
    /// Where the metadata begin in `head`.
    start: usize,
    body: u64,
    /// Rows, if it is a record batch.
    pub(crate) rows: Option<u64>,
}

impl Message {
    /// The flatbuffer that says what it is.
    pub(crate) fn metadata(&self) -> &[u8] {
        &self.head[self.start..]
    }
}

impl Messages {
    /// Those of a file, which begins with the magic, or of a stream.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io = |e| DataError::io("read", path, e);
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(unsupported(path, "it is a directory: name the files in it"));
        }
        let mut head = Vec::new();
        (&mut file).take(MAX_PADDING).read_to_end(&mut head).map_err(io)?;
        let start = match head.as_slice() {
            // Writers fill up to 8 bytes, or to 64.
            head if head.starts_with(MAGIC) => {
                8 + 8 * head.chunks_exact(8).skip(1).take_while(|word| **word == [0; 8]).count() as u64
            }
            head if head.starts_with(&CONTINUATION) => 0,
            [b'F', b'E', b'A', b'1', ..] => {
                return Err(unsupported(
                    path,
                    "it is of the first version of Feather: write it anew as Arrow IPC",
                ));
            }
            _ => {
                let problem = "it does not begin as an Arrow file or stream does: check that the file is what its name says";
                return Err(unsupported(path, problem));
            }
        };
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let left = metadata.len().saturating_sub(start);
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), left })
    }

    /// The next message; `None` at the end, without whose mark rows may be missing. The body of the one before must have been read or passed.
    pub(crate) fn next(&mut self) -> Result<Option<Message>> {
        let mut head = self.read(4)?;
        if head == CONTINUATION {
            head.extend(self.read(4)?);
        }
        let start = head.len();
        let size = u64::from(u32::from_le_bytes([
            head[start - 4],
            head[start - 3],
            head[start - 2],
            head[start - 1],
        ]));
        if size == 0 {
            return Ok(None);
        }
        if size > MAX_METADATA {
            return Err(damaged(&self.path, "a message in it has no sensible length"));
        }
        head.extend(self.read(size)?);
        let message = root_as_message(&head[start..])
            .map_err(|_| damaged(&self.path, "a message in it makes no sense"))?;
        let body = u64::try_from(message.bodyLength()).ok().filter(|&body| body <= self.left);
        let body = body.ok_or_else(|| damaged(&self.path, "its end is missing"))?;
        if body > MAX_BATCH {
            return Err(self.too_large());
        }
        let rows = match message.header_as_record_batch() {
            Some(batch) => Some(
                u64::try_from(batch.length())
                    .map_err(|_| damaged(&self.path, "a record batch in it has no length"))?,
            ),
            None => None,
        };
        Ok(Some(Message { head, start, body, rows }))
    }

    /// Passes the body of a message.
    pub(crate) fn pass(&mut self, message: &Message) -> Result<()> {
        self.left -= message.body;
        // It is at most 2^31.
        self.reader.seek_relative(message.body as i64).map_err(|e| DataError::io("read", &self.path, e))
    }

    /// The body of a message, which may be unpacked.
    pub(crate) fn body(&mut self, message: &Message) -> Result<Vec<u8>> {
        let body = self.read(message.body)?;
        let unpacked =
            root_as_message(message.metadata()).ok().and_then(|message| match message.header_type() {
                MessageHeader::RecordBatch => unpacked(message.header_as_record_batch()?, &body),
                MessageHeader::DictionaryBatch => {
                    unpacked(message.header_as_dictionary_batch()?.data()?, &body)
                }
                _ => Some(0),
            });
        match unpacked {
            None => Err(damaged(&self.path, "a record batch in it makes no sense")),
            Some(bytes) if bytes > MAX_BATCH => Err(self.too_large()),
            Some(_) => Ok(body),
        }
    }

    fn too_large(&self) -> DataError {
        unsupported(&self.path, "a record batch of it has more than 2 GB: write it in smaller ones")
    }

    /// So many bytes.
    fn read(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if size <= self.left {
            self.left -= size;
            bytes.reserve_exact(size as usize);
            let read = self.reader.by_ref().take(size).read_to_end(&mut bytes);
            read.map_err(|e| DataError::io("read", &self.path, e))?;
        }
        if bytes.len() as u64 == size { Ok(bytes) } else { Err(damaged(&self.path, "its end is missing")) }
    }
}

/// Bytes of a batch after it is unpacked, as it promises; `None` if its buffers are not in its body.
fn unpacked(batch: RecordBatch<'_>, body: &[u8]) -> Option<u64> {
    let is_packed = batch.compression().is_some();
    let mut sum = 0_u64;
    for buffer in batch.buffers()? {
        let start = usize::try_from(buffer.offset()).ok()?;
        let end = start.checked_add(usize::try_from(buffer.length()).ok()?)?;
        let bytes = body.get(start..end)?;
        if is_packed && !bytes.is_empty() {
            let length = i64::from_le_bytes(*bytes.first_chunk()?);
            // What is not packed has the length -1.
            sum = sum.saturating_add(if length == -1 { 0 } else { u64::try_from(length).ok()? });
        }
    }
    Some(sum)
}
