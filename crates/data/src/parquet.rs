//! Tables from Parquet files, with the feature `parquet`.
//!
//! Columns have one value in each row: booleans, integers, floats and decimals are numbers, dates and points in time are dates, and
//! text is for classes and categories. A
//! file is read row group by row group, and a row group in chunks of rows: of each column, one page is in memory.
//! Pages are taken out of the file and unpacked by `pages`, which checks them; their values are decoded by the crate
//! `parquet`, which may panic on what makes no sense. The format is described at <https://parquet.apache.org/docs>.

#[cfg(feature = "parquet")]
mod column;
#[cfg(feature = "parquet")]
mod fault;
#[cfg(feature = "parquet")]
mod file;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod thrift;
#[cfg(feature = "parquet")]
mod write;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Result;
use crate::source::TableFile;

#[cfg(feature = "parquet")]
pub(crate) use write::write;

/// What a file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";

/// Whether a file is Parquet by its name, or by its beginning.
pub(crate) fn is_parquet(path: &Path) -> bool {
    if is_named_parquet(path) {
        return true;
    }
    let mut head = [0; MAGIC.len() + 1];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    // No text goes on like this: a CSV file may have a column `PAR1`.
    let [magic @ .., next] = &head;
    read.is_ok() && magic == MAGIC && next.is_ascii_control() && !next.is_ascii_whitespace()
}

/// Whether a file is Parquet by its name.
pub(crate) fn is_named_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

/// Opens a file.
#[cfg(feature = "parquet")]
pub(crate) fn open(path: &Path) -> Result<Box<dyn TableFile>> {
    Ok(Box::new(file::ParquetFile::open(path)?))
}

/// Says that a file cannot be opened.
#[cfg(not(feature = "parquet"))]
pub(crate) fn open(path: &Path) -> Result<Box<dyn TableFile>> {
    use crate::error::DataError;

    std::fs::metadata(path).map_err(|e| DataError::io("read", path, e))?;
    let problem = "this build of shamisen does not know the format: build it with `--features parquet`, or \
                   convert the table to CSV or NPY";
    Err(DataError::Parquet { path: path.to_owned(), problem: problem.to_owned() })
}

#[cfg(test)]
mod tests;
