//! Tables from CSV files.
//!
//! The first row names the columns. Cells are separated by commas, may be quoted, and lose spaces around them; blank
//! lines are skipped. Features are numbers; the target is any one of the columns.
//!
//! A file is cut between rows by one thread, and its pieces are read by others. Rows of plain numbers, without quotes,
//! are read cell by cell as they come; every other row is taken apart first, which also finds what is wrong with it.

mod records;
mod rows;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::csv::records::{Cells, Record, Records};
use crate::csv::rows::RowReader;
use crate::error::{DataError, Result};
use crate::source::{Block, CHUNK, Chunk, Selection, TableFile};

/// The largest number of classes: beyond it, the target column is not one of classes.
pub(crate) const MAX_CLASSES: usize = 1000;

/// The longest row, in bytes: what goes on for longer is not a table, or has a quote that is not closed.
const MAX_RECORD: usize = 1 << 26;

/// Bytes that are read at first for the header.
const HEADER_CHUNK: usize = 1 << 16;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A CSV file whose header was read.
#[derive(Debug)]
pub(crate) struct CsvFile {
    /// What it is called in messages.
    path: PathBuf,
    /// Where it is.
    file: PathBuf,
    /// The line of the header.
    line: u64,
    columns: Vec<String>,
}

impl CsvFile {
    /// Opens a file and reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::new(path, path, 1)
    }

    /// Opens a file whose rows are called those of `path`, and counted from 1.
    #[cfg(feature = "sql")]
    pub(crate) fn of_rows(file: &Path, path: &Path) -> Result<Self> {
        Self::new(file, path, 0)
    }

    fn new(file: &Path, path: &Path, line: u64) -> Result<Self> {
        let mut cutter = Cutter::open(file, path, line)?;
        let (cells, row) = cutter.header()?;
        let mut columns: Vec<String> = Vec::with_capacity(cells.len());
        let mut seen = HashSet::with_capacity(cells.len());
        for position in 0..cells.len() {
            let name = std::str::from_utf8(cells.get(position))
                .map_err(|_| DataError::NotUtf8 { path: path.to_owned(), row })?;
            if name.is_empty() {
                return Err(DataError::UnnamedColumn { path: path.to_owned(), position: position + 1 });
            }
            if !seen.insert(name.to_owned()) {
                return Err(DataError::DuplicateColumn { column: name.to_owned(), path: path.to_owned() });
            }
            columns.push(name.to_owned());
        }
        Ok(Self { path: path.to_owned(), file: file.to_owned(), line, columns })
    }

    /// The rows below the header.
    fn pieces(&self) -> Result<impl Iterator<Item = Result<Chunk>> + Send + use<>> {
        let mut cutter = Cutter::open(&self.file, &self.path, self.line)?;
        cutter.header()?;
        let columns = self.columns.len();
        Ok(std::iter::from_fn(move || cutter.next_rows(columns).transpose()))
    }
}

impl TableFile for CsvFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn count(&self) -> Result<u64> {
        self.pieces()?.map(|piece| piece.map(|piece| piece.rows as u64)).sum()
    }

    fn chunks(&self) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + Send + '_>> {
        Ok(Box::new(self.pieces()?))
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        let mut reader = RowReader::new(self, selection, chunk.rows);
        for record in Records::new(&chunk.bytes, chunk.first, true) {
            reader.push(record)?;
        }
        Ok(reader.finish())
    }
}

/// Whether a record is no row.
fn is_blank(record: &Record<'_>, cells: &mut Cells, columns: usize) -> bool {
    columns != 1 && cells.is_blank(record.text)
}

/// Cuts a file between records.
struct Cutter {
    path: PathBuf,
    file: File,
    /// What was read and not passed on.
    rest: Vec<u8>,
    /// The line at which it begins.
    line: u64,
    begun: bool,
    ended: bool,
}

impl Cutter {
    fn open(file: &Path, path: &Path, line: u64) -> Result<Self> {
        let file = File::open(file).map_err(|e| DataError::io("read", path, e))?;
        Ok(Self { path: path.to_owned(), file, rest: vec![], line, begun: false, ended: false })
    }

    /// Passes the header, and returns its cells and its line.
    fn header(&mut self) -> Result<(Cells, u64)> {
        let mut wanted = HEADER_CHUNK;
        let mut cells = Cells::default();
        loop {
            self.fill(wanted)?;
            let mut records = Records::new(&self.rest, self.line, self.ended);
            let header = records.by_ref().find(|record| !cells.is_blank(record.text));
            if let Some(Record { text, line, .. }) = header {
                cells.split(text);
                let (end, next) = records.position();
                self.rest.drain(..end);
                self.line = next;
                return Ok((cells, line));
            }
            if self.ended {
                return Err(DataError::EmptyFile { path: self.path.clone() });
            }
            wanted = self.longer()?;
        }
    }

    /// The next rows, of about [`CHUNK`] bytes together; `None` at the end.
    fn next_rows(&mut self, columns: usize) -> Result<Option<Chunk>> {
        let mut wanted = CHUNK;
        let mut cells = Cells::default();
        loop {
            self.fill(wanted)?;
            if self.rest.is_empty() {
                return Ok(None);
            }
            let mut records = Records::new(&self.rest, self.line, self.ended);
            let rows = records.by_ref().filter(|record| !is_blank(record, &mut cells, columns)).count();
            let (end, next) = records.position();
            if end == 0 {
                wanted = self.longer()?;
                continue;
            }
            let rest = self.rest.split_off(end);
            let bytes = std::mem::replace(&mut self.rest, rest);
            let first = std::mem::replace(&mut self.line, next);
            if rows > 0 {
                return Ok(Some(Chunk::of_rows(rows, first, bytes)));
            }
        }
    }

    /// How many bytes to have next, where those that there are hold no complete record.
    fn longer(&self) -> Result<usize> {
        if self.rest.len() >= MAX_RECORD {
            return Err(DataError::LongRow { path: self.path.clone(), row: self.line, limit: MAX_RECORD });
        }
        Ok(2 * self.rest.len())
    }

    /// Reads until there are `size` bytes, or all that there are.
    fn fill(&mut self, size: usize) -> Result<()> {
        let missing = size.saturating_sub(self.rest.len());
        if self.ended || missing == 0 {
            return Ok(());
        }
        self.rest.reserve_exact(missing);
        let read = (&self.file)
            .take(missing as u64)
            .read_to_end(&mut self.rest)
            .map_err(|e| DataError::io("read", &self.path, e))?;
        self.ended = read < missing;
        if !self.begun {
            self.begun = true;
            if self.rest.starts_with(BYTE_ORDER_MARK) {
                self.rest.drain(..BYTE_ORDER_MARK.len());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
