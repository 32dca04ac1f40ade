//! Tables from Arrow IPC files and streams (also called Feather), with the feature `arrow`.
//!
//! Columns have one value in each row: booleans, integers, floats and decimals are numbers, dates and points in time are dates, and
//! text is for classes and categories, with a dictionary or without. One record batch of the file is in memory at a time. The format is
//! described at <https://arrow.apache.org/docs/format/Columnar.html>.

#[cfg(feature = "arrow")]
mod column;
#[cfg(feature = "arrow")]
mod file;
#[cfg(feature = "arrow")]
mod messages;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::Result;
use crate::source::TableFile;

/// What a file begins and ends with.
const MAGIC: &[u8; 6] = b"ARROW1";

/// What a message of a stream begins with.
const CONTINUATION: [u8; 4] = [0xff; 4];

const ENDINGS: [&str; 4] = ["arrow", "arrows", "feather", "ipc"];

/// Whether a file is Arrow IPC by its name, or by its beginning.
pub(crate) fn is_arrow(path: &Path) -> bool {
    let ending = path.extension().and_then(|extension| extension.to_str());
    if ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))) {
        return true;
    }
    let mut head = [0; MAGIC.len() + 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    // The magic of a file is padded with zeros, and no text begins like a message.
    read.is_ok() && (head == *b"ARROW1\0\0" || head.starts_with(&CONTINUATION))
}

/// Opens a file.
#[cfg(feature = "arrow")]
pub(crate) fn open(path: &Path) -> Result<Box<dyn TableFile>> {
    Ok(Box::new(file::ArrowFile::open(path)?))
}

/// Says that a file cannot be opened.
#[cfg(not(feature = "arrow"))]
pub(crate) fn open(path: &Path) -> Result<Box<dyn TableFile>> {
    use crate::error::DataError;

    std::fs::metadata(path).map_err(|e| DataError::io("read", path, e))?;
    let problem = "this build of shamisen does not know the format: build it with `--features arrow`, or convert the \
                   table to CSV or NPY";
    Err(DataError::Arrow { path: path.to_owned(), problem: problem.to_owned() })
}

#[cfg(test)]
#[cfg(feature = "arrow")]
mod tests;
