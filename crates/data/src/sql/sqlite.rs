//! Queries on SQLite.

use std::io::Write;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::error::{DataError, Result, quoted};
use crate::sql::{Database, refused};

/// Writes the rows of a query as CSV, with the names of the columns.
pub(crate) fn write(query: &str, database: &Database, writer: &mut dyn Write) -> Result<()> {
    let path = database.shown();
    if !Path::new(&path).exists() {
        return Err(DataError::NotFound { path: path.into() });
    }
    let failed = |error: rusqlite::Error| refused(database, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
    let mut statement = connection.prepare(query).map_err(failed)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(refused(database, "the query gives no columns: write one that begins with SELECT"));
    }
    let mut csv = ::csv::Writer::from_writer(writer);
    let written = |e: ::csv::Error| DataError::io("write", &std::env::temp_dir(), e.into());
    csv.write_record(&names).map_err(written)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut number = 0_u64;
    while let Some(row) = rows.next().map_err(failed)? {
        number += 1;
        for (at, name) in names.iter().enumerate() {
            match row.get_ref(at).map_err(failed)? {
                ValueRef::Null => csv.write_field(""),
                ValueRef::Integer(value) => csv.write_field(value.to_string()),
                ValueRef::Real(value) => csv.write_field(value.to_string()),
                ValueRef::Text(text) => csv.write_field(text),
                ValueRef::Blob(_) => {
                    let problem = format!(
                        "row {number}, column {}: the value is a blob: take numbers or text of it in the query",
                        quoted(name)
                    );
                    return Err(refused(database, problem));
                }
            }
            .map_err(written)?;
        }
        csv.write_record(None::<&[u8]>).map_err(written)?;
    }
    csv.flush().map_err(|e| DataError::io("write", &std::env::temp_dir(), e))
}
