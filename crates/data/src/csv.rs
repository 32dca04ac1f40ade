//! Tables from CSV files.
//!
//! The first row names the columns. Cells are separated by commas, may be quoted, and lose spaces around them; blank
//! lines are skipped. Features are numbers; the target is any one of the columns.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ::csv::{ByteRecord, ErrorKind, ReaderBuilder, Trim};

use crate::error::{DataError, Place, Result};
use crate::table::{Matrix, Origin, Schema, Table, Target, TargetKind};

/// The largest number of classes: beyond it, the target column is not one of classes.
pub const MAX_CLASSES: usize = 1000;

/// The largest magnitude, 2^63, that files are read with when their numbers are scaled afterwards.
pub const RAW_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// Reads CSV files, one below the other, as features and the column `target`.
///
/// `known` is the schema of the training data if these are test files: columns may then stand in any order, and the
/// classes are the known ones. `limit` is the largest magnitude of a number.
///
/// # Errors
///
/// If a file cannot be read; if it is empty, ragged or not UTF-8; if columns have no name or one name twice, are
/// missing, or differ between files; if a feature or a regression target is not a finite number within `limit`; if
/// a class is unknown, or there is one class only.
pub fn read_csv(
    paths: &[PathBuf],
    target: &str,
    kind: TargetKind,
    known: Option<&Schema>,
    limit: f64,
) -> Result<Table> {
    let first = paths.first().ok_or(DataError::NoFiles)?;
    let mut targets = Targets::new(kind, known.and_then(|schema| schema.classes.as_deref()));
    let mut features = Features::new(limit);
    let mut names: Option<Vec<String>> = None;
    for path in paths {
        let mut file = CsvFile::open(path)?;
        let target_column = file.position(target).ok_or_else(|| DataError::MissingTarget {
            path: path.clone(),
            target: target.to_owned(),
            columns: file.columns.clone(),
            nearest: nearest(target, &file.columns),
        })?;
        let feature_columns = if let Some(schema) = known {
            file.columns_of(schema, target)?
        } else {
            match &names {
                Some(names) if *names != file.columns => {
                    let difference = difference((first, names), (path, &file.columns));
                    return Err(DataError::ColumnsDiffer {
                        first: first.clone(),
                        path: path.clone(),
                        difference,
                    });
                }
                Some(_) => {}
                None => names = Some(file.columns.clone()),
            }
            (0..file.columns.len()).filter(|&column| column != target_column).collect()
        };
        if feature_columns.is_empty() {
            return Err(DataError::NoFeatures { path: path.clone(), target: target.to_owned() });
        }
        features.begin_file(path, &file, &feature_columns);
        while file.next_row()? {
            features.push_row(&file, &feature_columns)?;
            targets.push(&file, target_column, limit)?;
        }
        file.require_rows()?;
    }
    let (feature_names, features) = features.finish();
    let target_values = targets.finish();
    if known.is_none() {
        require_two_classes(&target_values, &features, target)?;
    }
    Ok(Table { feature_names, features, target_name: target.to_owned(), target: target_values })
}

/// Reads the feature columns of a CSV file for prediction, in the order of the schema.
///
/// Columns may stand in any order; the target column may be present and is ignored. `limit` is the largest magnitude
/// of a number.
///
/// # Errors
///
/// As [`read_csv`]; and if the file lacks a feature column, or has columns that the schema does not know.
pub fn read_features(path: &Path, schema: &Schema, limit: f64) -> Result<Matrix> {
    let mut file = CsvFile::open(path)?;
    let columns = file.columns_of(schema, &schema.target_name)?;
    let mut features = Features::new(limit);
    features.begin_file(path, &file, &columns);
    while file.next_row()? {
        features.push_row(&file, &columns)?;
    }
    file.require_rows()?;
    Ok(features.finish().1)
}

/// Fails if all rows have one class.
pub(crate) fn require_two_classes(target: &Target, features: &Matrix, target_name: &str) -> Result<()> {
    if let Target::Classes { names, labels } = target
        && let Some(first) = labels.first()
        && labels.iter().all(|label| label == first)
    {
        return Err(DataError::OneClass {
            path: features.first_file().to_owned(),
            target: target_name.to_owned(),
            class: names[*first as usize].clone(),
        });
    }
    Ok(())
}

/// A CSV file at one of its rows.
struct CsvFile {
    path: PathBuf,
    columns: Vec<String>,
    reader: ::csv::Reader<LineStarts<File>>,
    record: ByteRecord,
    /// The line at which the record begins, from 1.
    row: u64,
    seen_rows: bool,
}

impl CsvFile {
    /// Opens the file and reads the header.
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| DataError::io("read", path, e))?;
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(LineStarts::new(file));
        let path = path.to_owned();
        let mut file =
            Self { path, columns: vec![], reader, record: ByteRecord::new(), row: 0, seen_rows: false };
        if !file.next_record()? {
            return Err(DataError::EmptyFile { path: file.path });
        }
        let mut columns: Vec<String> = Vec::with_capacity(file.record.len());
        let mut seen = HashSet::with_capacity(file.record.len());
        for position in 0..file.record.len() {
            let name = file.cell(position)?;
            if name.is_empty() {
                return Err(DataError::UnnamedColumn { path: file.path, position: position + 1 });
            }
            if !seen.insert(name.to_owned()) {
                return Err(DataError::DuplicateColumn { column: name.to_owned(), path: file.path });
            }
            columns.push(name.to_owned());
        }
        file.columns = columns;
        Ok(file)
    }

    /// Goes to the next row; `false` at the end.
    fn next_row(&mut self) -> Result<bool> {
        if !self.next_record()? {
            return Ok(false);
        }
        self.seen_rows = true;
        if self.record.len() != self.columns.len() {
            return Err(DataError::RaggedRow {
                path: self.path.clone(),
                row: self.row,
                expected: self.columns.len(),
                found: self.record.len(),
            });
        }
        Ok(true)
    }

    /// Goes to the next record that is not a line of spaces.
    fn next_record(&mut self) -> Result<bool> {
        loop {
            let more = self.reader.read_byte_record(&mut self.record).map_err(|e| match e.into_kind() {
                ErrorKind::Io(source) => DataError::io("read", &self.path, source),
                other => DataError::io("read", &self.path, io::Error::other(format!("{other:?}"))),
            })?;
            if !more {
                return Ok(false);
            }
            let offset = self.record.position().map_or(0, ::csv::Position::byte);
            self.row = self.reader.get_mut().line_at(offset);
            let blank = self.record.len() == 1 && self.record[0].is_empty() && self.columns.len() != 1;
            if !blank {
                return Ok(true);
            }
        }
    }

    fn require_rows(&self) -> Result<()> {
        if self.seen_rows { Ok(()) } else { Err(DataError::HeaderOnly { path: self.path.clone() }) }
    }

    fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    /// The positions of the schema's features; no other column than these and the target may exist.
    fn columns_of(&self, schema: &Schema, target: &str) -> Result<Vec<usize>> {
        let at: HashMap<&str, usize> =
            self.columns.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let missing = schema.feature_names.iter().filter(|name| !at.contains_key(name.as_str()));
        let missing: Vec<String> = missing.cloned().collect();
        if !missing.is_empty() {
            return Err(DataError::MissingColumns { path: self.path.clone(), columns: missing });
        }
        let known: HashSet<&str> = schema.feature_names.iter().map(String::as_str).collect();
        let unknown = self.columns.iter().filter(|name| !known.contains(name.as_str()) && *name != target);
        let unknown: Vec<String> = unknown.cloned().collect();
        if !unknown.is_empty() {
            return Err(DataError::UnknownColumns { path: self.path.clone(), columns: unknown });
        }
        Ok(schema.feature_names.iter().map(|name| at[name.as_str()]).collect())
    }

    fn cell(&self, column: usize) -> Result<&str> {
        std::str::from_utf8(&self.record[column])
            .map_err(|_| DataError::NotUtf8 { path: self.path.clone(), row: self.row })
    }

    fn place(&self, column: usize) -> Place {
        Place { file: Some(self.path.clone()), row: self.row, column: self.columns[column].clone() }
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

/// The feature columns as they are read.
struct Features {
    limit: f64,
    columns: Vec<String>,
    values: Vec<f64>,
    files: Vec<PathBuf>,
    rows: Vec<(u32, u64)>,
}

impl Features {
    fn new(limit: f64) -> Self {
        Self { limit, columns: vec![], values: vec![], files: vec![], rows: vec![] }
    }

    fn begin_file(&mut self, path: &Path, file: &CsvFile, columns: &[usize]) {
        self.files.push(path.to_owned());
        self.columns = columns.iter().map(|&column| file.columns[column].clone()).collect();
    }

    fn push_row(&mut self, file: &CsvFile, columns: &[usize]) -> Result<()> {
        for &column in columns {
            let value =
                file.number(column, self.limit, |place, text| DataError::NotANumber { place, text })?;
            self.values.push(value);
        }
        self.rows.push((self.files.len() as u32 - 1, file.row));
        Ok(())
    }

    fn finish(self) -> (Vec<String>, Matrix) {
        let origin = Origin {
            files: self.files.into(),
            rows: self.rows.into(),
            columns: self.columns.as_slice().into(),
        };
        let matrix = Matrix::with_origin(self.columns.len(), self.values, origin);
        (self.columns, matrix)
    }
}

/// The target column as it is read.
enum Targets {
    Classes { names: Vec<String>, index: HashMap<String, u32>, labels: Vec<u32>, known: bool },
    Number(Vec<f64>),
}

impl Targets {
    fn new(kind: TargetKind, known: Option<&[String]>) -> Self {
        match kind {
            TargetKind::Number => Self::Number(vec![]),
            TargetKind::Classes => {
                let names = known.unwrap_or_default().to_vec();
                let index = names.iter().cloned().zip(0..).collect();
                Self::Classes { names, index, labels: vec![], known: known.is_some() }
            }
        }
    }

    fn push(&mut self, file: &CsvFile, column: usize, limit: f64) -> Result<()> {
        match self {
            Self::Number(values) => {
                values.push(file.number(column, limit, |place, text| DataError::TextTarget { place, text })?);
            }
            Self::Classes { names, index, labels, known } => {
                let class = file.cell(column)?;
                if class.is_empty() {
                    return Err(DataError::EmptyCell { place: file.place(column) });
                }
                let label = match index.get(class) {
                    Some(&label) => label,
                    None if *known => {
                        let (place, class) = (file.place(column), class.to_owned());
                        return Err(DataError::UnknownClass { place, class, known: names.clone() });
                    }
                    None if names.len() == MAX_CLASSES => {
                        return Err(DataError::TooManyClasses {
                            place: file.place(column),
                            limit: MAX_CLASSES,
                        });
                    }
                    None => {
                        let label = names.len() as u32;
                        names.push(class.to_owned());
                        index.insert(class.to_owned(), label);
                        label
                    }
                };
                labels.push(label);
            }
        }
        Ok(())
    }

    /// The target; classes which were not known before are sorted.
    fn finish(self) -> Target {
        match self {
            Self::Number(values) => Target::Number(values),
            Self::Classes { names, labels, known: true, .. } => Target::Classes { names, labels },
            Self::Classes { names, mut labels, known: false, .. } => {
                let mut order: Vec<usize> = (0..names.len()).collect();
                let numbers: Option<Vec<f64>> = names
                    .iter()
                    .map(|name| name.parse().ok().filter(|number: &f64| number.is_finite()))
                    .collect();
                match numbers {
                    Some(numbers) => order.sort_by(|&a, &b| {
                        numbers[a].total_cmp(&numbers[b]).then_with(|| names[a].cmp(&names[b]))
                    }),
                    None => order.sort_by(|&a, &b| names[a].cmp(&names[b])),
                }
                let mut rank = vec![0u32; names.len()];
                for (to, &from) in (0..).zip(&order) {
                    rank[from] = to;
                }
                for label in &mut labels {
                    *label = rank[*label as usize];
                }
                Target::Classes { names: order.into_iter().map(|i| names[i].clone()).collect(), labels }
            }
        }
    }
}

/// Passes bytes on and remembers where lines begin that are not blank.
///
/// The reader's own line numbers count neither blank lines before a row nor, with `\r\n`, the line that just ended.
struct LineStarts<R> {
    inner: R,
    offset: u64,
    line: u64,
    previous: u8,
    /// Offset and line number; as many as the reader's buffer holds.
    starts: VecDeque<(u64, u64)>,
}

impl<R> LineStarts<R> {
    fn new(inner: R) -> Self {
        Self { inner, offset: 0, line: 1, previous: b'\n', starts: VecDeque::new() }
    }

    /// The line of the record whose bytes, and blank lines before them, begin at `offset`.
    fn line_at(&mut self, offset: u64) -> u64 {
        while self.starts.front().is_some_and(|&(start, _)| start < offset) {
            self.starts.pop_front();
        }
        self.starts.front().map_or(self.line, |&(_, line)| line)
    }
}

impl<R: Read> Read for LineStarts<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for &byte in &buffer[..count] {
            if matches!(self.previous, b'\n' | b'\r') {
                // The header begins line 1; a lone `\r` ends a line as `\r\n` and `\n` do.
                if self.offset > 0 && !(self.previous == b'\r' && byte == b'\n') {
                    self.line += 1;
                }
                if !matches!(byte, b'\n' | b'\r') {
                    self.starts.push_back((self.offset, self.line));
                }
            }
            self.previous = byte;
            self.offset += 1;
        }
        Ok(count)
    }
}

/// How the columns of two files differ, in words.
fn difference((first, names): (&Path, &[String]), (path, others): (&Path, &[String])) -> String {
    if let Some(missing) = names.iter().find(|name| !others.contains(name)) {
        return format!("`{missing}` is only in {}", first.display());
    }
    if let Some(extra) = others.iter().find(|name| !names.contains(name)) {
        return format!("`{extra}` is only in {}", path.display());
    }
    let at = names.iter().zip(others).position(|(a, b)| a != b).unwrap_or_default();
    format!(
        "column {} is `{}` in {} but `{}` in {}",
        at + 1,
        others[at],
        path.display(),
        names[at],
        first.display()
    )
}

/// The column most like `name`, if one is alike.
fn nearest(name: &str, columns: &[String]) -> Option<String> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(100).collect();
    columns
        .iter()
        .map(|column| {
            let column: Vec<char> = column.to_lowercase().chars().take(100).collect();
            edit_distance(&wanted, &column)
        })
        .zip(columns)
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
        .map(|(_, column)| column.clone())
}

/// The least number of insertions, deletions and replacements (Levenshtein).
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
