//! The rows of a query as a table.

use std::io::{BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::csv::CsvFile;
use crate::error::{DataError, Result};
use crate::source::{Block, Chunk, Selection, TableFile};
use crate::sql::{Database, Kind, postgres, refused, sqlite};

/// The rows of a query, which were written down.
pub(crate) struct QueryTable {
    csv: CsvFile,
    /// Is removed with the table.
    _rows: NamedTempFile,
}

impl QueryTable {
    /// Makes a query, and writes its rows down.
    pub(crate) fn new(query: &str, database: &Database) -> Result<Self> {
        let query = query.trim().trim_end_matches(';');
        let place = std::env::temp_dir();
        let mut rows = tempfile::Builder::new()
            .prefix("shamisen-query-")
            .tempfile_in(&place)
            .map_err(|e| DataError::io("write", &place, e))?;
        let mut writer = BufWriter::new(rows.as_file_mut());
        match database.kind() {
            Kind::Postgres(rest) => postgres::write(query, database, rest, &mut writer)?,
            Kind::Sqlite(_) => sqlite::write(query, database, &mut writer)?,
            Kind::Unknown => {
                return Err(refused(
                    database,
                    "only SQLite files and URLs postgres://USER@HOST/NAME are read: give one of these, and a password in PGPASSWORD",
                ));
            }
        }
        writer.flush().map_err(|e| DataError::io("write", &place, e))?;
        drop(writer);
        let shown = format!("the query on {}", database.shown());
        Ok(Self { csv: CsvFile::of_rows(rows.path(), Path::new(&shown))?, _rows: rows })
    }
}

impl TableFile for QueryTable {
    fn path(&self) -> &Path {
        self.csv.path()
    }

    fn columns(&self) -> &[String] {
        self.csv.columns()
    }

    fn count(&self) -> Result<u64> {
        self.csv.count()
    }

    fn chunks(&self) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + Send + '_>> {
        self.csv.chunks()
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        self.csv.parse(chunk, selection)
    }
}
