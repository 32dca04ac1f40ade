//! The numbers and the target of the rows of a CSV file.

use crate::columns::{DateFormat, ReadAs, is_missing};
use crate::csv::records::{Cells, Record};
use crate::csv::{CsvFile, is_blank};
use crate::error::{DataError, Place, Result};
use crate::found::{Finder, NotUtf8};
use crate::numbers;
use crate::source::{Block, Selection, Values};
use crate::table::{Matrix, Origin, TargetKind};

/// What a column is read as.
#[derive(Clone, Copy)]
enum Use<'a> {
    /// The feature of this number.
    Feature(usize),
    /// The feature of this number, as a date.
    Date(usize, &'a DateFormat),
    /// The column of categories of this number.
    Category(usize),
    Number,
    Class,
    Nothing,
}

/// Reads rows of a file one after the other.
pub(crate) struct RowReader<'a> {
    file: &'a CsvFile,
    selection: &'a Selection,
    /// Of each column.
    uses: Vec<Use<'a>>,
    features: Vec<f64>,
    numbers: Vec<f64>,
    classes: Finder,
    /// Of each column of categories.
    categories: Vec<Finder>,
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
        let mut categories = 0;
        for (feature, (column, reading)) in selection.read_features().enumerate() {
            uses[column] = match &reading.kind {
                ReadAs::Number => Use::Feature(feature),
                ReadAs::Date(format) => Use::Date(feature, format),
                ReadAs::Category => {
                    categories += 1;
                    Use::Category(categories - 1)
                }
            };
        }
        Self {
            file,
            selection,
            uses,
            features: Vec::with_capacity(rows * selection.features.len()),
            numbers: vec![],
            classes: Finder::default(),
            categories: (0..categories).map(|_| Finder::default()).collect(),
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
            // A row that was read in part has left its class already.
            self.categories.iter_mut().chain([&mut self.classes]).for_each(|f| f.truncate(self.rows.len()));
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
                Use::Date(feature, format) => {
                    let text = std::str::from_utf8(plain_text(text, &mut at)).ok()?;
                    self.features[start + feature] = format.days(text)?;
                }
                Use::Category(number) => {
                    let category = plain_text(text, &mut at);
                    if category.is_empty() {
                        return None;
                    }
                    self.categories[number].push(category).ok()?;
                }
                Use::Number => {
                    let number = self.plain_number(text, &mut at)?;
                    self.numbers.push(number);
                }
                Use::Class => {
                    let class = plain_text(text, &mut at);
                    if class.is_empty() {
                        return None;
                    }
                    self.classes.push(class).ok()?;
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
        let mut categories = self.categories.iter_mut();
        for (column, reading) in self.selection.read_features() {
            let value = match &reading.kind {
                ReadAs::Category => {
                    if let Some(finder) = categories.next() {
                        row.push_category(column, reading.may_miss, finder)?;
                    }
                    0.0
                }
                _ if reading.may_miss && is_missing(row.cell(column)?) => f64::NAN,
                ReadAs::Number => {
                    row.number(column, limit, |place, text| DataError::NotANumber { place, text })?
                }
                ReadAs::Date(format) => numbers::date(row.present(column)?, format, &|| row.place(column))?,
            };
            self.features.push(value);
        }
        match self.selection.target {
            None => {}
            Some((column, TargetKind::Number)) => {
                let text = |place, text| DataError::TextTarget { place, text };
                self.numbers.push(row.number(column, limit, text)?);
            }
            Some((column, TargetKind::Classes)) => {
                row.push_category(column, false, &mut self.classes)?;
            }
        }
        self.cells = cells;
        Ok(())
    }

    /// All rows that were read.
    pub(crate) fn finish(self) -> Block {
        let target = match self.selection.target {
            None => Values::None,
            Some((_, TargetKind::Number)) => Values::Numbers(self.numbers),
            Some((_, TargetKind::Classes)) => Values::Classes(self.classes.finish()),
        };
        let origin = Origin {
            files: [self.file.path.clone()].into(),
            rows: self.rows.into(),
            columns: self.selection.names.clone(),
        };
        let categories = self.categories.into_iter().map(Finder::finish).collect();
        let features = Matrix::with_origin(self.selection.features.len(), self.features, origin);
        Block { features, categories, target }
    }
}

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

    /// A cell that is not empty.
    fn present(&self, column: usize) -> Result<&'a str> {
        match self.cell(column)? {
            "" => Err(DataError::EmptyCell { place: self.place(column) }),
            cell => Ok(cell),
        }
    }

    /// Takes in a class or category, which may be missing if `may_miss`.
    fn push_category(&self, column: usize, may_miss: bool, finder: &mut Finder) -> Result<()> {
        if may_miss && self.cell(column)?.is_empty() {
            finder.push_missing();
            return Ok(());
        }
        finder.push(self.present(column)?.as_bytes()).map_err(|NotUtf8| self.not_utf8())
    }

    /// A number of magnitude at most `limit`; `text` makes the error of a cell that holds text.
    fn number(&self, column: usize, limit: f64, text: impl Fn(Place, String) -> DataError) -> Result<f64> {
        let cell = self.present(column)?;
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
