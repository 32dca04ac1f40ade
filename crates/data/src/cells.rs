//! Rows of formats that have one column after the other, and know whether a value is missing.

use std::borrow::Cow;
use std::path::Path;

use crate::columns::{ReadAs, Reading, is_missing};
use crate::error::{DataError, Place, Result};
use crate::found::{Found, classes};
use crate::numbers;
use crate::source::{Block, Chunk, Selection, Values};
use crate::table::{Matrix, Origin, TargetKind};

/// The values of a column in some rows.
pub(crate) struct Cells {
    pub(crate) values: CellValues,
    /// The first row that is empty, where the value is NaN or [`MISSING`](crate::found::MISSING).
    pub(crate) empty: Option<usize>,
}

/// Numbers, dates as days since 1970-01-01, or text.
pub(crate) enum CellValues {
    Numbers(Vec<f64>),
    Dates(Vec<f64>),
    /// Of which all are told apart.
    Text(Found),
}

/// What is wrong in the column, in which row of the chunk.
type Wrong = (usize, DataError);

/// Reads the rows of a chunk, whose cells are in `columns` of these names.
pub(crate) fn parse(
    path: &Path,
    names: &[String],
    columns: &[Cells],
    chunk: &Chunk,
    selection: &Selection,
) -> Result<Block> {
    let reader = |column: usize| ColumnReader {
        cells: &columns[column],
        place: Place { file: Some(path.to_owned()), row: chunk.first, column: names[column].clone() },
        limit: selection.limit,
    };
    let width = selection.features.len();
    let mut features = vec![0.0; chunk.rows * width];
    let mut categories = Vec::new();
    let mut first_wrong: Option<Wrong> = None;
    let mut note = |wrong: Wrong| {
        if first_wrong.as_ref().is_none_or(|(row, _)| wrong.0 < *row) {
            first_wrong = Some(wrong);
        }
    };
    for (feature, (column, reading)) in selection.read_features().enumerate() {
        let reader = reader(column);
        if reading.kind == ReadAs::Category {
            reader.categories(reading.may_miss).map_or_else(&mut note, |found| categories.push(found));
            continue;
        }
        match reader.numbers(reading) {
            Err(wrong) => note(wrong),
            Ok(numbers) => {
                for (row, &number) in features.chunks_exact_mut(width).zip(&*numbers) {
                    row[feature] = number;
                }
            }
        }
    }
    let mut target = Values::None;
    match selection.target {
        None => {}
        Some((column, TargetKind::Classes)) => {
            reader(column).categories(false).map_or_else(&mut note, |found| target = Values::Classes(found));
        }
        Some((column, TargetKind::Number)) => {
            let plain = Reading { kind: ReadAs::Number, may_miss: false };
            match reader(column).numbers(&plain) {
                Ok(numbers) => target = Values::Numbers(numbers.into_owned()),
                Err((row, DataError::NotANumber { place, text })) => {
                    note((row, DataError::TextTarget { place, text }));
                }
                Err(wrong) => note(wrong),
            }
        }
    }
    if let Some((_, error)) = first_wrong {
        return Err(error);
    }
    let origin = Origin {
        files: [path.to_owned()].into(),
        rows: (chunk.first..chunk.first + chunk.rows as u64).map(|row| (0, row)).collect(),
        columns: selection.names.clone(),
    };
    Ok(Block { features: Matrix::with_origin(width, features, origin), categories, target })
}

/// Reads a column of a chunk.
struct ColumnReader<'a> {
    cells: &'a Cells,
    /// The place of its first row.
    place: Place,
    limit: f64,
}

impl<'a> ColumnReader<'a> {
    fn place(&self, row: usize) -> Place {
        Place { row: self.place.row + row as u64, ..self.place.clone() }
    }

    fn empty(&self) -> Option<Wrong> {
        self.cells.empty.map(|row| (row, DataError::EmptyCell { place: self.place(row) }))
    }

    /// The values as numbers, with NaN for those that may be missing.
    fn numbers(&self, reading: &Reading) -> std::result::Result<Cow<'a, [f64]>, Wrong> {
        let may_miss = reading.may_miss;
        match (&self.cells.values, &reading.kind) {
            (CellValues::Numbers(numbers), ReadAs::Date(format)) => {
                let days = |(row, number): (usize, &f64)| {
                    if number.is_nan() {
                        return if may_miss { Ok(f64::NAN) } else { Err(self.wrong_number(row, *number)) };
                    }
                    numbers::date(&number.to_string(), format, &|| self.place(row))
                        .map_err(|error| (row, error))
                };
                numbers.iter().enumerate().map(days).collect::<std::result::Result<_, _>>().map(Cow::Owned)
            }
            (CellValues::Numbers(numbers), _) => {
                let fits = |number: &f64| number.abs() <= self.limit || (may_miss && number.is_nan());
                match numbers.iter().position(|number| !fits(number)) {
                    Some(row) => Err(self.wrong_number(row, numbers[row])),
                    None => Ok(Cow::Borrowed(numbers)),
                }
            }
            (CellValues::Dates(days), ReadAs::Date(_)) => match self.empty() {
                Some(wrong) if !may_miss => Err(wrong),
                _ => Ok(Cow::Borrowed(days)),
            },
            (CellValues::Dates(_), _) => Err((0, DataError::DateColumn { place: self.place(0) })),
            (CellValues::Text(found), kind) => self.of_text(found, kind, may_miss),
        }
    }

    /// Numbers of text, which can only be dates.
    fn of_text(
        &self,
        found: &Found,
        kind: &ReadAs,
        may_miss: bool,
    ) -> std::result::Result<Cow<'a, [f64]>, Wrong> {
        let missing = if may_miss { None } else { self.empty() };
        let day = |(name, &row): (&String, &usize)| match kind {
            _ if may_miss && is_missing(name) => Ok(f64::NAN),
            ReadAs::Date(format) => {
                numbers::date(name, format, &|| self.place(row)).map_err(|error| (row, error))
            }
            _ => {
                // That it looks like a number would be puzzling.
                let text = if name.parse::<f64>().is_ok() { format!("\"{name}\"") } else { name.clone() };
                Err((row, DataError::NotANumber { place: self.place(row), text }))
            }
        };
        let days =
            found.names.iter().zip(&found.first).map(day).collect::<std::result::Result<Vec<f64>, _>>();
        match (days, missing) {
            (Err(wrong), Some(empty)) => Err(if empty.0 < wrong.0 { empty } else { wrong }),
            (Err(wrong), None) | (Ok(_), Some(wrong)) => Err(wrong),
            (Ok(days), None) => {
                let of = |&label: &u32| days.get(label as usize).copied().unwrap_or(f64::NAN);
                Ok(found.labels.iter().map(of).collect())
            }
        }
    }

    /// The values as classes or categories, of which some are missing if they may.
    fn categories(&self, may_miss: bool) -> std::result::Result<Found, Wrong> {
        match &self.cells.values {
            CellValues::Dates(_) => Err((0, DataError::DateColumn { place: self.place(0) })),
            CellValues::Numbers(_) => {
                let numbers = self.numbers(&Reading { kind: ReadAs::Category, may_miss })?;
                Ok(classes(numbers.iter().copied()))
            }
            CellValues::Text(found) => match self.empty() {
                Some(wrong) if !may_miss => Err(wrong),
                _ => Ok(found.clone()),
            },
        }
    }

    fn wrong_number(&self, row: usize, number: f64) -> Wrong {
        match self.empty() {
            Some(wrong) if wrong.0 == row => wrong,
            _ => (row, numbers::refusal(self.place(row), number, self.limit)),
        }
    }
}
