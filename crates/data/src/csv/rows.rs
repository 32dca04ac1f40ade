//! The numbers and the target of the rows of a CSV file.

use std::collections::HashMap;

use crate::csv::records::{Cells, Record};
use crate::csv::{CsvFile, is_blank};
use crate::error::{DataError, Place, Result};
use crate::source::{Block, DISTINCT, Found, Selection, Values};
use crate::table::{Matrix, Origin, TargetKind};

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
pub(crate) struct RowReader<'a> {
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
    /// A reader of so many rows.
    pub(crate) fn new(file: &'a CsvFile, selection: &'a Selection, rows: usize) -> Self {
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

    /// Reads a row, unless the record is blank.
    pub(crate) fn push(&mut self, record: Record<'_>) -> Result<()> {
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

    /// All rows that were read.
    pub(crate) fn finish(self) -> Block {
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
