//! Tables in files, read in chunks of rows as often as needed, with bounded memory.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::arrow;
#[cfg(feature = "_columnar")]
use crate::cells::Cells;
use crate::columns::{Column, ColumnRules, ReadAs, Reading};
use crate::csv::CsvFile;
use crate::error::{DataError, Result};
use crate::found::Found;
use crate::npy::{NpyFile, is_npy};
use crate::npz::{NpzFile, is_npz};
use crate::parquet;
use crate::pipeline::in_order;
use crate::scaling::unnamed;
use crate::table::{Matrix, Schema, TargetKind};

/// The largest magnitude, 2^63, that files are read with; their numbers are scaled afterwards.
pub(crate) const RAW_LIMIT: f64 = 9_223_372_036_854_775_808.0;

/// Bytes of a file that are read at a time; a longer row is read as a whole.
pub(crate) const CHUNK: usize = 1 << 20;

/// A file of rows.
pub(crate) trait TableFile: Send + Sync {
    /// Where it is.
    fn path(&self) -> &Path;

    /// The names of its columns.
    fn columns(&self) -> &[String];

    /// The number of rows, which may take a look at the whole file.
    fn count(&self) -> Result<u64>;

    /// The rows from the beginning, as they are in the file.
    fn chunks(&self) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + Send + '_>>;

    /// The numbers and the target of the rows of a chunk.
    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block>;
}

/// Opens a file: as NPY or NPZ if its name ends so, as Parquet or Arrow if it is called or begins so, otherwise as CSV.
pub(crate) fn open(path: &Path) -> Result<Box<dyn TableFile>> {
    if is_npy(path) {
        return Ok(Box::new(NpyFile::open(path)?));
    }
    if is_npz(path) {
        return Ok(Box::new(NpzFile::open(path)?));
    }
    if parquet::is_parquet(path) {
        return parquet::open(path);
    }
    if arrow::is_arrow(path) {
        return arrow::open(path);
    }
    Ok(Box::new(CsvFile::open(path)?))
}

/// Some rows as they are in a file.
pub(crate) struct Chunk {
    /// Number of rows.
    pub(crate) rows: usize,
    /// Where the first one is: the line of a CSV file, or the row counted from 1.
    pub(crate) first: u64,
    /// The rows of a format that has one after the other.
    pub(crate) bytes: Vec<u8>,
    /// The columns of a format that has one after the other.
    #[cfg(feature = "_columnar")]
    pub(crate) columns: Vec<Cells>,
}

impl Chunk {
    /// Rows one after the other.
    pub(crate) fn of_rows(rows: usize, first: u64, bytes: Vec<u8>) -> Self {
        Self {
            rows,
            first,
            bytes,
            #[cfg(feature = "_columnar")]
            columns: vec![],
        }
    }
}

/// Which columns of a file are read, and as what.
#[derive(Clone)]
pub(crate) struct Selection {
    /// Positions of the features, in their order.
    pub(crate) features: Vec<usize>,
    /// How each of them is read.
    pub(crate) readings: Arc<[Reading]>,
    /// Position of the target, and what it holds.
    pub(crate) target: Option<(usize, TargetKind)>,
    /// The names of the features.
    pub(crate) names: Arc<[String]>,
    /// The largest magnitude of a number.
    pub(crate) limit: f64,
}

impl Selection {
    /// The positions of the features, and how each is read.
    pub(crate) fn read_features(&self) -> impl Iterator<Item = (usize, &Reading)> {
        self.features.iter().copied().zip(self.readings.iter())
    }
}

/// Rows that were read.
pub(crate) struct Block {
    /// The features: numbers, and dates as numbers; NaN where a value is missing, and nothing of meaning where there are categories.
    pub(crate) features: Matrix,
    /// Of each column of categories in their order, those of the rows.
    pub(crate) categories: Vec<Found>,
    /// The target of each row.
    pub(crate) target: Values,
}

/// The target of some rows.
pub(crate) enum Values {
    /// There is none.
    None,
    /// Numbers.
    Numbers(Vec<f64>),
    /// Classes.
    Classes(Found),
}

/// Files with the same columns, one below the other.
pub(crate) struct Tables {
    files: Vec<Box<dyn TableFile>>,
    selections: Vec<Selection>,
    /// The rows before each file, and after the last one.
    starts: Vec<u64>,
}

impl Tables {
    /// Files whose columns are features but for `target`, or the last one, if there is a target of some kind.
    ///
    /// Fails if the target or all features are missing, or columns differ between files, or a file has no rows.
    pub(crate) fn with_target(
        files: Vec<Box<dyn TableFile>>,
        target: Option<&str>,
        kind: Option<TargetKind>,
        rules: &ColumnRules,
        limit: f64,
    ) -> Result<Self> {
        let first = files.first().ok_or(DataError::NoFiles)?;
        let mut selections = Vec::with_capacity(files.len());
        for file in &files {
            let (path, columns) = (file.path(), file.columns());
            let target = kind.map(|kind| Ok((target_column(&**file, target)?, kind))).transpose()?;
            if columns != first.columns() {
                let difference = difference((first.path(), first.columns()), (path, columns));
                let (first, path) = (first.path().to_owned(), path.to_owned());
                return Err(DataError::ColumnsDiffer { first, path, difference });
            }
            let place = target.map(|(column, _)| column);
            let features: Vec<usize> = (0..columns.len()).filter(|&column| Some(column) != place).collect();
            let target_name = place.map_or("", |column| &columns[column]);
            if features.is_empty() {
                return Err(DataError::NoFeatures { path: path.to_owned(), target: target_name.to_owned() });
            }
            let names: Vec<String> = features.iter().map(|&column| columns[column].clone()).collect();
            rules.check(path, &names, target_name)?;
            let (readings, names) = (rules.readings(&names), names.into());
            selections.push(Selection { features, readings, target, names, limit });
        }
        Self::new(files, selections)
    }

    /// Files with the columns that a schema names, in any order. The target is read if `with_target`; otherwise it may be
    /// there and is ignored.
    ///
    /// Fails if columns are missing or are too many, or a file has no rows.
    pub(crate) fn by_schema(
        files: Vec<Box<dyn TableFile>>,
        schema: &Schema,
        with_target: bool,
        limit: f64,
    ) -> Result<Self> {
        let kind = if schema.classes.is_some() { TargetKind::Classes } else { TargetKind::Number };
        let mut selections = Vec::with_capacity(files.len());
        for file in &files {
            let target = if with_target {
                Some((target_column(&**file, Some(&schema.target_name))?, kind))
            } else {
                None
            };
            let features = columns_of(file.path(), file.columns(), schema)?;
            selections.push(Selection {
                features,
                readings: schema.columns.iter().map(Column::reading).collect(),
                target,
                names: schema.columns.iter().map(|column| column.name.clone()).collect(),
                limit,
            });
        }
        Self::new(files, selections)
    }

    fn new(files: Vec<Box<dyn TableFile>>, selections: Vec<Selection>) -> Result<Self> {
        let mut starts = vec![0];
        for file in &files {
            let count = file.count()?;
            if count == 0 {
                return Err(DataError::HeaderOnly { path: file.path().to_owned() });
            }
            starts.push(starts[starts.len() - 1] + count);
        }
        Ok(Self { files, selections, starts })
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.starts[self.files.len()]
    }

    /// The names of the columns of features.
    pub(crate) fn feature_names(&self) -> &[String] {
        &self.selections[0].names
    }

    /// The name of the target; empty if it is not read.
    pub(crate) fn target_name(&self) -> &str {
        self.selections[0].target.map_or("", |(column, _)| &self.files[0].columns()[column])
    }

    /// The columns of features as far as it matters for reading others like them.
    pub(crate) fn columns_to_read(&self) -> Vec<Column> {
        let Selection { names, readings, .. } = &self.selections[0];
        names.iter().zip(&**readings).map(|(name, reading)| reading.column(name)).collect()
    }

    /// The names of those columns that hold categories.
    pub(crate) fn category_names(&self) -> Vec<&str> {
        let Selection { names, readings, .. } = &self.selections[0];
        let of_categories =
            names.iter().zip(&**readings).filter(|(_, reading)| reading.kind == ReadAs::Category);
        of_categories.map(|(name, _)| name.as_str()).collect()
    }

    /// What the target holds, if it is read.
    pub(crate) fn kind(&self) -> Option<TargetKind> {
        self.selections[0].target.map(|(_, kind)| kind)
    }

    /// The first file.
    pub(crate) fn first(&self) -> &dyn TableFile {
        &*self.files[0]
    }

    /// Reads all rows from the beginning. `work` gets them in several threads, with the number of the first row of each
    /// block, from 0; `sink` gets what it returns in the order of the rows.
    pub(crate) fn blocks<T: Send, E: From<DataError>>(
        &self,
        work: impl Fn(u64, Block) -> Result<T> + Sync,
        sink: impl FnMut(T) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let chunks = (0..self.files.len()).flat_map(|at| FileChunks {
            tables: self,
            at,
            next: self.starts[at],
            chunks: None,
            ended: false,
        });
        let work = |(at, row, chunk): (usize, u64, Chunk)| {
            work(row, self.files[at].parse(&chunk, &self.selections[at])?)
        };
        in_order(chunks, work, sink)
    }
}

/// The chunks of one of the files, with the number of their first row.
struct FileChunks<'a> {
    tables: &'a Tables,
    at: usize,
    next: u64,
    chunks: Option<Box<dyn Iterator<Item = Result<Chunk>> + Send + 'a>>,
    ended: bool,
}

impl Iterator for FileChunks<'_> {
    type Item = Result<(usize, u64, Chunk)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let file = &self.tables.files[self.at];
        if self.chunks.is_none() {
            match file.chunks() {
                Ok(chunks) => self.chunks = Some(chunks),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        let end = self.tables.starts[self.at + 1];
        let changed = || DataError::Changed { path: file.path().to_owned() };
        let chunk = self.chunks.as_mut().and_then(Iterator::next);
        let result = match chunk {
            Some(Ok(chunk)) if chunk.rows as u64 <= end - self.next => {
                let first = self.next;
                self.next += chunk.rows as u64;
                return Some(Ok((self.at, first, chunk)));
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.next == end => None,
            _ => Some(Err(changed())),
        };
        self.ended = true;
        result
    }
}

/// The position of the target; the last column if it has no name.
fn target_column(file: &dyn TableFile, target: Option<&str>) -> Result<usize> {
    let columns = file.columns();
    let Some(target) = target else { return Ok(columns.len() - 1) };
    columns.iter().position(|name| name == target).ok_or_else(|| DataError::MissingTarget {
        path: file.path().to_owned(),
        target: target.to_owned(),
        columns: columns.to_vec(),
        nearest: nearest(target, columns),
    })
}

/// The positions of the schema's features; no other column than these and the target may exist.
///
/// If none of them has a name of its own, and the file has none of their names either, they are the columns in their order.
fn columns_of(path: &Path, columns: &[String], schema: &Schema) -> Result<Vec<usize>> {
    let at: HashMap<&str, usize> = columns.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let names = || schema.columns.iter().map(|column| column.name.as_str());
    if names().enumerate().all(|(column, name)| name == unnamed(column))
        && !names().any(|name| at.contains_key(name))
    {
        let features: Vec<usize> =
            (0..columns.len()).filter(|&at| columns[at] != schema.target_name).collect();
        if features.len() == schema.columns.len() {
            return Ok(features);
        }
    }
    let missing: Vec<String> = names().filter(|name| !at.contains_key(name)).map(str::to_owned).collect();
    if !missing.is_empty() {
        return Err(DataError::MissingColumns { path: path.to_owned(), columns: missing });
    }
    let known: HashSet<&str> = names().collect();
    let unknown =
        columns.iter().filter(|name| !known.contains(name.as_str()) && **name != schema.target_name);
    let unknown: Vec<String> = unknown.cloned().collect();
    if !unknown.is_empty() {
        return Err(DataError::UnknownColumns { path: path.to_owned(), columns: unknown });
    }
    Ok(names().map(|name| at[name]).collect())
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
pub(crate) fn nearest(name: &str, columns: &[String]) -> Option<String> {
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
