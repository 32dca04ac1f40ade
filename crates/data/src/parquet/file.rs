//! A Parquet file as a table.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parquet::column::reader::get_column_reader;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
    ParquetStatisticsPolicy,
};
use parquet::schema::types::SchemaDescPtr;

use crate::cells::{self, Cells};
use crate::error::{DataError, Result, quoted};
use crate::parquet::MAGIC;
use crate::parquet::column::{Column, ColumnRows};
use crate::parquet::fault::{self, Fault, guarded};
use crate::parquet::pages::{self, Packing, Pages};
use crate::parquet::thrift::nested_column;
use crate::source::{Block, CHUNK, Chunk, Selection, TableFile};

/// Longest footer that is read: as of a file with a million columns in row groups.
const MAX_FOOTER: u64 = 1 << 26;

/// The length of the footer and the magic, after the footer.
const TAIL: u64 = 8;

/// A Parquet file whose footer was read.
pub(crate) struct ParquetFile {
    path: PathBuf,
    file: Arc<File>,
    schema: SchemaDescPtr,
    names: Vec<String>,
    columns: Vec<Column>,
    groups: Vec<Group>,
    /// In all row groups together.
    rows: u64,
}

/// A row group.
struct Group {
    rows: u64,
    /// Of each column.
    places: Vec<pages::Place>,
}

impl ParquetFile {
    /// Opens a file and reads its footer.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let io = |e| DataError::io("read", path, e);
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let refused = |fault| error(path, None, fault);
        if metadata.is_dir() {
            return Err(refused(Fault::Unsupported("it is a directory: name the files in it".to_owned())));
        }
        let (footer, end) = footer(&file, metadata.len()).map_err(refused)?;
        let footer = parse(&footer).map_err(refused)?;
        let schema = footer.file_metadata().schema_descr_ptr();
        let mut columns = Vec::with_capacity(schema.num_columns());
        let mut names = Vec::with_capacity(schema.num_columns());
        let mut seen = HashSet::with_capacity(schema.num_columns());
        for (position, column) in schema.columns().iter().enumerate() {
            let name = column.name();
            if name.is_empty() {
                return Err(DataError::UnnamedColumn { path: path.to_owned(), position: position + 1 });
            }
            if !seen.insert(name.to_owned()) {
                return Err(DataError::DuplicateColumn { column: name.to_owned(), path: path.to_owned() });
            }
            if column.path().parts().len() > 1 || column.max_rep_level() > 0 || column.max_def_level() > 1 {
                return Err(refused(nested(name)));
            }
            if name.starts_with("__index_level_") {
                return Err(refused(Fault::Unsupported(format!(
                    "its column {} is the index of a table of pandas: write the file with index=False, or give the \
                     index a name",
                    quoted(name)
                ))));
            }
            names.push(name.to_owned());
            columns.push(Column::new(column).map_err(refused)?);
        }
        if columns.is_empty() {
            return Err(refused(Fault::Unsupported("it has no columns: write it with some".to_owned())));
        }
        let mut groups = Vec::with_capacity(footer.num_row_groups());
        for group in footer.row_groups() {
            let rows = u64::try_from(group.num_rows())
                .map_err(|_| refused(Fault::damaged("a row group has no length")))?;
            let places = group.columns().iter().zip(&names);
            let places = places
                .map(|(chunk, name)| place(chunk, rows, end).map_err(|fault| error(path, Some(name), fault)));
            let places = places.collect::<Result<Vec<_>>>()?;
            if places.len() != columns.len() {
                return Err(refused(Fault::damaged("a row group lacks columns")));
            }
            groups.push(Group { rows, places });
        }
        let rows = groups.iter().try_fold(0_u64, |sum, group| sum.checked_add(group.rows));
        let rows = rows.ok_or_else(|| refused(Fault::damaged("its row groups have no sensible length")))?;
        Ok(Self { path: path.to_owned(), file: Arc::new(file), schema, names, columns, groups, rows })
    }

    /// Readers of the columns of a row group, from its beginning.
    fn readers(&self, group: &Group) -> Vec<ColumnRows> {
        let held = Arc::new(AtomicU64::new(0));
        let columns = self.columns.iter().zip(&group.places).zip(self.schema.columns());
        columns
            .map(|((column, &place), described)| {
                let file = Arc::clone(&self.file);
                let pages = Pages::new(file, place, column.stored, group.rows, Arc::clone(&held));
                ColumnRows::new(column, get_column_reader(Arc::clone(described), Box::new(pages)))
            })
            .collect()
    }
}

impl TableFile for ParquetFile {
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
        let step = (CHUNK / (self.columns.len() * size_of::<f64>())).max(1);
        Ok(Box::new(Chunks { file: self, step, group: 0, readers: vec![], left: 0, next: 1 }))
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        cells::parse(&self.path, &self.names, &chunk.columns, chunk, selection)
    }
}

/// The rows of a file in pieces.
struct Chunks<'a> {
    file: &'a ParquetFile,
    /// Most rows of a piece.
    step: usize,
    /// The next row group.
    group: usize,
    /// Of the columns of the present one.
    readers: Vec<ColumnRows>,
    /// Its rows that have not come yet.
    left: u64,
    /// The next row, from 1.
    next: u64,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Chunk>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left == 0 {
            let group = self.file.groups.get(self.group)?;
            self.group += 1;
            self.left = group.rows;
            // The pages of the row group before go first.
            self.readers.clear();
            self.readers = self.file.readers(group);
        }
        let rows = self.left.min(self.step as u64) as usize;
        let first = self.next;
        let columns = self.readers.iter_mut().zip(&self.file.names).map(|(reader, name)| {
            reader.read(rows).map_err(|fault| match fault {
                Fault::NotUtf8(row) => {
                    DataError::NotUtf8 { path: self.file.path.clone(), row: first + row as u64 }
                }
                fault => error(&self.file.path, Some(name), fault),
            })
        });
        let columns = columns.collect::<Result<Vec<Cells>>>();
        self.left -= rows as u64;
        self.next += rows as u64;
        Some(columns.map(|columns| Chunk { rows, first, bytes: vec![], columns }))
    }
}

/// The footer of a file of this length, and where it begins.
fn footer(file: &File, length: u64) -> fault::Result<(Vec<u8>, u64)> {
    let mut head = [0; MAGIC.len()];
    let begins = length >= MAGIC.len() as u64 && file.read_exact_at(&mut head, 0).is_ok();
    if !begins || head != *MAGIC {
        return Err(Fault::Unsupported(
            "it does not begin as a Parquet file does: check that the file is what its name says".to_owned(),
        ));
    }
    let mut tail = [0; TAIL as usize];
    let end = length.saturating_sub(TAIL).max(MAGIC.len() as u64);
    if file.read_exact_at(&mut tail, end).is_err() || tail[4..] != *MAGIC {
        if tail[4..] == *b"PARE" {
            return Err(Fault::Unsupported("it is encrypted: write it without encryption".to_owned()));
        }
        return Err(Fault::damaged("its end is missing"));
    }
    let size = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if size > end - MAGIC.len() as u64 {
        return Err(Fault::damaged("its footer is longer than the file"));
    }
    if size > MAX_FOOTER {
        return Err(Fault::Unsupported(format!(
            "its footer has more than {} MB: write it with larger row groups, or as several files",
            MAX_FOOTER >> 20
        )));
    }
    let mut footer = vec![0; size as usize];
    file.read_exact_at(&mut footer, end - size).map_err(Fault::Io)?;
    Ok((footer, end - size))
}

/// What a footer says.
fn parse(footer: &[u8]) -> fault::Result<ParquetMetaData> {
    let nonsense = |_| Fault::damaged("its footer makes no sense");
    if let Some(name) = nested_column(footer).map_err(nonsense)? {
        return Err(nested(&name));
    }
    let options = ParquetMetaDataOptions::default()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll);
    guarded(|| ParquetMetaDataReader::decode_metadata_with_options(footer, Some(&options)))
}

/// Where a column of a row group is, whose pages are before `end`.
fn place(chunk: &ColumnChunkMetaData, rows: u64, end: u64) -> fault::Result<pages::Place> {
    if chunk.file_path().is_some() {
        return Err(Fault::Unsupported("its rows are in other files: name these".to_owned()));
    }
    let packing = Packing::new(chunk.compression())?;
    // Some writers give 0 where there is no dictionary.
    let dictionary = chunk.dictionary_page_offset().filter(|&at| at > 0 && at < chunk.data_page_offset());
    let start = u64::try_from(dictionary.unwrap_or(chunk.data_page_offset())).ok();
    let length = u64::try_from(chunk.compressed_size()).ok();
    let values = u64::try_from(chunk.num_values()).ok();
    match (start, length) {
        (Some(start), Some(length))
            if values == Some(rows) && start.checked_add(length).is_some_and(|to| to <= end) =>
        {
            Ok(pages::Place { start, length, packing })
        }
        _ => Err(Fault::damaged("its footer makes no sense")),
    }
}

fn nested(name: &str) -> Fault {
    Fault::Unsupported(format!(
        "its column {} has several values in a row: give each value a column of its own, or remove the column",
        quoted(name)
    ))
}

/// The error for a fault of a file, in a column if it is in one.
fn error(path: &Path, column: Option<&str>, fault: Fault) -> DataError {
    match fault {
        Fault::Io(source) => DataError::io("read", path, source),
        Fault::Unsupported(problem) => DataError::Parquet { path: path.to_owned(), problem },
        fault => match column {
            Some(column) => DataError::damaged(path, format_args!("column {}: {fault}", quoted(column))),
            None => DataError::damaged(path, fault),
        },
    }
}
