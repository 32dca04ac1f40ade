//! What can be wrong with a file, before it is known which one it is.

use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It cannot be read.
    Io(io::Error),
    /// It is not as it was written.
    Damaged(String),
    /// It is of a kind that is not read: what, and what to do.
    Unsupported(String),
    /// The text in this row of those that were asked for, from 0, is not UTF-8.
    NotUtf8(usize),
}

/// The result of what reads a file.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    pub(crate) fn damaged(problem: impl fmt::Display) -> Self {
        Self::Damaged(problem.to_string())
    }
}

/// Lets the crate `parquet` work, whose decoders panic on some damaged data.
pub(crate) fn guarded<T>(work: impl FnOnce() -> std::result::Result<T, ParquetError>) -> Result<T> {
    // What has panicked is not used again: every error ends the reading.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(_) => Err(Fault::damaged("its values make no sense")),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damaged(problem) | Self::Unsupported(problem) => problem.fmt(f),
            Self::NotUtf8(_) => "text is not UTF-8".fmt(f),
        }
    }
}

impl Error for Fault {}

/// The way of a fault of pages through the crate.
impl From<Fault> for ParquetError {
    fn from(fault: Fault) -> Self {
        Self::External(Box::new(fault))
    }
}

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<Self>() {
                Ok(fault) => *fault,
                Err(other) => Self::damaged(other),
            },
            ParquetError::General(problem) | ParquetError::NYI(problem) | ParquetError::EOF(problem) => {
                Self::Damaged(problem)
            }
            other => Self::damaged(other),
        }
    }
}
