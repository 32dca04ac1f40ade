//! Tables from CSV files.
//!
//! The first row names the columns. Cells are separated by commas, may be quoted, and lose spaces around them; blank
//! lines are skipped. Features are numbers; the target is any one of the columns.
//!
//! A file is cut between rows by one thread, and its pieces are read by others. Rows of plain numbers, without quotes,
//! are read cell by cell as they come; every other row is taken apart first, which also finds what is wrong with it.

pub(crate) mod records;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::csv::records::{Cells, Record, Records};
use crate::error::{DataError, Place, Result};
use crate::source::{Block, CHUNK, Chunk, DISTINCT, Found, Selection, TableFile, Values};
use crate::table::{Matrix, Origin, TargetKind};

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
    path: PathBuf,
    columns: Vec<String>,
}

impl CsvFile {
    /// Opens the file and reads the header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut cutter = Cutter::open(path)?;
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
        Ok(Self { path: path.to_owned(), columns })
    }

    /// The rows below the header.
    fn pieces(&self) -> Result<impl Iterator<Item = Result<Chunk>> + Send + use<>> {
        let mut cutter = Cutter::open(&self.path)?;
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
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| DataError::io("read", path, e))?;
        Ok(Self { path: path.to_owned(), file, rest: vec![], line: 1, begun: false, ended: false })
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
                return Ok(Some(Chunk { rows, first, bytes }));
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

/// What a column is read as.
#[derive(Clone, Copy)]
enum Use {
    /// The feature of this number.
    Feature(usize),
    Number,
    Class,
    Nothing,
}

/// Reads rows of a file one after the other.
struct RowReader<'a> {
    file: &'a CsvFile,
    selection: &'a Selection,
    /// Of each column.
    uses: Vec<Use>,
    features: Vec<f64>,
    numbers: Vec<f64>,
    classes: Found,
    index: HashMap<Vec<u8>, u32>,
    rows: Vec<(u32, u64)>,
    cells: Cells,
}

impl<'a> RowReader<'a> {
    fn new(file: &'a CsvFile, selection: &'a Selection, rows: usize) -> Self {
        let mut uses = vec![Use::Nothing; file.columns.len()];
        match selection.target {
            Some((column, TargetKind::Number)) => uses[column] = Use::Number,
            Some((column, TargetKind::Classes)) => uses[column] = Use::Class,
            None => {}
        }
        for (feature, &column) in selection.features.iter().enumerate() {
            uses[column] = Use::Feature(feature);
        }
        Self {
            file,
            selection,
            uses,
            features: Vec::with_capacity(rows * selection.features.len()),
            numbers: vec![],
            classes: Found::default(),
            index: HashMap::new(),
            rows: Vec::with_capacity(rows),
            cells: Cells::default(),
        }
    }

    fn push(&mut self, record: Record<'_>) -> Result<()> {
        if is_blank(&record, &mut self.cells, self.uses.len()) {
            return Ok(());
        }
        let before = (self.features.len(), self.numbers.len());
        if record.quoted || self.push_plain(record.text).is_none() {
            self.features.truncate(before.0);
            self.numbers.truncate(before.1);
            self.push_cells(&record)?;
        }
        self.rows.push((0, record.line));
        Ok(())
    }

    /// Appends a row without quotes; `None` if it is not what it should be.
    fn push_plain(&mut self, text: &[u8]) -> Option<()> {
        let width = self.selection.features.len();
        let start = self.features.len();
        self.features.resize(start + width, 0.0);
        let mut at = 0;
        for column in 0..self.uses.len() {
            if column > 0 {
                if text.get(at) != Some(&b',') {
                    return None;
                }
                at += 1;
            }
            match self.uses[column] {
                Use::Feature(feature) => self.features[start + feature] = self.plain_number(text, &mut at)?,
                Use::Number => {
                    let number = self.plain_number(text, &mut at)?;
                    self.numbers.push(number);
                }
                Use::Class => {
                    let class = plain_text(text, &mut at);
                    if class.is_empty() {
                        return None;
                    }
                    self.push_class(class).ok()?;
                }
                Use::Nothing => {
                    plain_text(text, &mut at);
                }
            }
        }
        (at == text.len()).then_some(())
    }

    /// The number in the cell at `at`, which moves behind it.
    fn plain_number(&self, text: &[u8], at: &mut usize) -> Option<f64> {
        skip_spaces(text, at);
        let (number, length): (f64, usize) = fast_float2::parse_partial(&text[*at..]).ok()?;
        *at += length;
        skip_spaces(text, at);
        (number.abs() <= self.selection.limit).then_some(number)
    }

    /// Appends a row cell by cell.
    fn push_cells(&mut self, record: &Record<'_>) -> Result<()> {
        let mut cells = std::mem::take(&mut self.cells);
        cells.split(record.text);
        let row = Row { file: self.file, cells: &cells, line: record.line };
        if cells.len() != self.uses.len() {
            return Err(DataError::RaggedRow {
                path: self.file.path.clone(),
                row: record.line,
                expected: self.uses.len(),
                found: cells.len(),
            });
        }
        let limit = self.selection.limit;
        for &column in &self.selection.features {
            let value = row.number(column, limit, |place, text| DataError::NotANumber { place, text })?;
            self.features.push(value);
        }
        match self.selection.target {
            None => {}
            Some((column, TargetKind::Number)) => {
                let text = |place, text| DataError::TextTarget { place, text };
                self.numbers.push(row.number(column, limit, text)?);
            }
            Some((column, TargetKind::Classes)) => {
                let class = row.cell(column)?;
                if class.is_empty() {
                    return Err(DataError::EmptyCell { place: row.place(column) });
                }
                // A row that was read in part has left its class already.
                self.classes.labels.truncate(self.rows.len());
                self.push_class(class.as_bytes()).map_err(|NotUtf8| row.not_utf8())?;
            }
        }
        self.cells = cells;
        Ok(())
    }

    /// Appends the class of the row.
    fn push_class(&mut self, class: &[u8]) -> std::result::Result<(), NotUtf8> {
        let label = match self.index.get(class) {
            Some(&label) => label,
            None if self.classes.names.len() == DISTINCT => DISTINCT as u32,
            None => {
                let name = std::str::from_utf8(class).map_err(|_| NotUtf8)?;
                let label = self.classes.names.len() as u32;
                self.classes.names.push(name.to_owned());
                self.classes.first.push(self.rows.len());
                self.index.insert(class.to_owned(), label);
                label
            }
        };
        self.classes.labels.push(label);
        Ok(())
    }

    fn finish(self) -> Block {
        let target = match self.selection.target {
            None => Values::None,
            Some((_, TargetKind::Number)) => Values::Numbers(self.numbers),
            Some((_, TargetKind::Classes)) => Values::Classes(self.classes),
        };
        let origin = Origin {
            files: [self.file.path.clone()].into(),
            rows: self.rows.into(),
            columns: self.selection.names.clone(),
        };
        Block { features: Matrix::with_origin(self.selection.features.len(), self.features, origin), target }
    }
}

struct NotUtf8;

fn skip_spaces(text: &[u8], at: &mut usize) {
    while text.get(*at).is_some_and(u8::is_ascii_whitespace) {
        *at += 1;
    }
}

/// The text of the cell at `at`, which moves behind it, without spaces around it.
fn plain_text<'t>(text: &'t [u8], at: &mut usize) -> &'t [u8] {
    let rest = &text[*at..];
    let length = memchr::memchr(b',', rest).unwrap_or(rest.len());
    *at += length;
    rest[..length].trim_ascii()
}

/// A row taken apart.
struct Row<'a> {
    file: &'a CsvFile,
    cells: &'a Cells,
    line: u64,
}

impl<'a> Row<'a> {
    fn cell(&self, column: usize) -> Result<&'a str> {
        std::str::from_utf8(self.cells.get(column)).map_err(|_| self.not_utf8())
    }

    fn not_utf8(&self) -> DataError {
        DataError::NotUtf8 { path: self.file.path.clone(), row: self.line }
    }

    fn place(&self, column: usize) -> Place {
        Place {
            file: Some(self.file.path.clone()),
            row: self.line,
            column: self.file.columns[column].clone(),
        }
    }

    /// A number of magnitude at most `limit`; `text` makes the error of a cell that holds text.
    fn number(&self, column: usize, limit: f64, text: impl Fn(Place, String) -> DataError) -> Result<f64> {
        let cell = self.cell(column)?;
        if cell.is_empty() {
            return Err(DataError::EmptyCell { place: self.place(column) });
        }
        let value: f64 = cell.parse().map_err(|_| text(self.place(column), cell.to_owned()))?;
        if value.abs() <= limit {
            return Ok(value);
        }
        let (place, text) = (self.place(column), cell.to_owned());
        if value.is_nan() || !cell.bytes().any(|byte| byte.is_ascii_digit()) {
            return Err(DataError::NotFinite { place, text });
        }
        Err(DataError::OutOfRange { place, text, limit })
    }
}

#[cfg(test)]
mod tests;
