//! An Arrow IPC file or stream as a table.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::root_as_message;
use arrow_schema::{ArrowError, Schema};

use crate::arrow::column::{cells, check};
use crate::arrow::messages::{Message, Messages, damaged, unsupported};
use crate::cells::{self as tables, Cells};
use crate::error::{DataError, Result, quoted};
use crate::source::{Block, CHUNK, Chunk, Selection, TableFile};

/// A file whose schema was read, and whose rows were counted.
pub(crate) struct ArrowFile {
    path: PathBuf,
    names: Vec<String>,
    rows: u64,
}

impl ArrowFile {
    /// Opens a file, and reads all of it but its values.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut messages = Messages::open(path)?;
        let first = messages.next()?.ok_or_else(|| damaged(path, "it has no schema"))?;
        let schema = schema(&first, path)?;
        messages.pass(&first)?;
        let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
        let mut seen = HashSet::with_capacity(schema.fields().len());
        for (position, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            if name.is_empty() {
                return Err(DataError::UnnamedColumn { path: path.to_owned(), position: position + 1 });
            }
            if !seen.insert(name) {
                return Err(DataError::DuplicateColumn { column: name.clone(), path: path.to_owned() });
            }
            if name.starts_with("__index_level_") {
                return Err(unsupported(
                    path,
                    format!(
                        "its column {} is the index of a table of pandas: write the file without it, or give the index a \
                         name",
                        quoted(name)
                    ),
                ));
            }
            check(field.data_type())
                .map_err(|what| unsupported(path, format!("its column {} holds {what}", quoted(name))))?;
            names.push(name.clone());
        }
        if names.is_empty() {
            return Err(unsupported(path, "it has no columns: write it with some"));
        }
        let mut rows = 0_u64;
        while let Some(message) = messages.next()? {
            messages.pass(&message)?;
            rows = rows
                .checked_add(message.rows.unwrap_or(0))
                .ok_or_else(|| damaged(path, "its record batches have no sensible length"))?;
        }
        Ok(Self { path: path.to_owned(), names, rows })
    }
}

impl TableFile for ArrowFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn columns(&self) -> &[String] {
        &self.names
    }

    fn count(&self) -> Result<u64> {
        Ok(self.rows)
    }

    fn chunks(&self) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + Send + '_>> {
        Ok(Box::new(Chunks {
            messages: Messages::open(&self.path)?,
            decoder: Decoder { path: self.path.clone(), decoder: StreamDecoder::new() },
            columns: self.names.len(),
            batch: None,
            next: 1,
        }))
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        tables::parse(&self.path, &self.names, &chunk.columns, chunk, selection)
    }
}

/// Makes record batches of messages.
struct Decoder {
    path: PathBuf,
    decoder: StreamDecoder,
}

impl Decoder {
    /// The record batch of a message, if it has one.
    fn decode(&mut self, message: Message, body: Vec<u8>) -> Result<Option<RecordBatch>> {
        let mut buffers = [message.head, body].map(Buffer::from_vec);
        let decoder = &mut self.decoder;
        let decoded = guarded(|| {
            let mut batch = None;
            for buffer in &mut buffers {
                batch = decoder.decode(buffer)?.or(batch);
            }
            Ok::<_, ArrowError>(batch)
        });
        match decoded {
            Some(Ok(batch)) => Ok(batch),
            Some(Err(error)) => Err(DataError::damaged(&self.path, error)),
            None => Err(damaged(&self.path, "its values make no sense")),
        }
    }
}

/// The schema of a message.
fn schema(message: &Message, path: &Path) -> Result<Schema> {
    let read = || root_as_message(message.metadata()).ok()?.header_as_schema().map(try_fb_to_schema);
    match guarded(read) {
        Some(Some(Ok(schema))) => Ok(schema),
        Some(Some(Err(error))) => Err(unsupported(path, format!("{error}: write it with other columns"))),
        _ => Err(damaged(path, "it does not begin with a schema")),
    }
}

/// Lets the crate `arrow` work, which may panic on what makes no sense.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    // What has panicked is not used again: every error ends the reading.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The rows of a file in pieces.
struct Chunks {
    messages: Messages,
    decoder: Decoder,
    columns: usize,
    /// The present record batch, and how many of its rows have come.
    batch: Option<(RecordBatch, usize)>,
    /// The next row, from 1.
    next: u64,
}

impl Chunks {
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        let path = self.decoder.path.clone();
        let (batch, taken) = loop {
            match self.batch.take() {
                Some((batch, taken)) if taken < batch.num_rows() => break (batch, taken),
                _ => {}
            }
            let Some(message) = self.messages.next()? else { return Ok(None) };
            if message.rows == Some(0) {
                // The decoder would take a message without a body in with what comes after it.
                self.messages.pass(&message)?;
                continue;
            }
            let (body, promised) = (self.messages.body(&message)?, message.rows);
            self.batch = self.decoder.decode(message, body)?.map(|batch| (batch, 0));
            let rows = self.batch.as_ref().map(|(batch, _)| batch.num_rows() as u64);
            if rows != promised {
                return Err(damaged(&path, "a record batch has not the length that it promises"));
            }
        };
        let step = (CHUNK / (self.columns * size_of::<f64>())).max(1);
        let rows = (batch.num_rows() - taken).min(step);
        if batch.num_columns() != self.columns {
            return Err(damaged(&path, "a record batch has not the columns of the schema"));
        }
        let columns = batch.columns().iter().map(|column| cells(&column.slice(taken, rows)));
        let columns: Option<Vec<Cells>> = columns.collect();
        let columns = columns.ok_or_else(|| damaged(&path, "its schema changed"))?;
        let first = self.next;
        self.next += rows as u64;
        self.batch = Some((batch, taken + rows));
        Ok(Some(Chunk { rows, first, bytes: vec![], columns }))
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_chunk().transpose()
    }
}
