//! What can go wrong around a server and its clients.

use core::net::SocketAddr;
use std::io;
use std::path::{Path, PathBuf};

use shamisen_data::DataError;
use shamisen_net::NetError;

use crate::client::CallError;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, ServiceError>;

/// An error of a server or of one of its clients.
///
/// A line `hint: ...` of the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A file or directory could not be read, written or created.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file that would be written exists.
    #[error("{} exists, and a key is never overwritten\nhint: choose another directory", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// Other users of the machine may read a private key.
    #[error(
        "other users may read the private key {} (mode {mode:03o})\nhint: chmod 600 {}",
        path.display(),
        path.display()
    )]
    KeyIsOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The files of a key are not what they should be.
    #[error("the key in {} cannot be used: {source}", dir.display())]
    Key {
        /// The directory of the key.
        dir: PathBuf,
        /// Why.
        source: NetError,
    },
    /// A configuration that makes no sense.
    #[error("{}{}: {reason}", path.display(), line.map_or(String::new(), |line| format!(", line {line}")))]
    Config {
        /// The file.
        path: PathBuf,
        /// Where in it, counted from 1; none if it is about the file as a whole.
        line: Option<usize>,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// An address at which a server cannot listen.
    #[error(
        "cannot listen at {address}: {source}\nhint: choose another address in the configuration, or end the program that listens there"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Another server works in the data directory.
    #[error("another server works in {}\nhint: end it first, or give each server its own data directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The audit log is not what it was.
    #[error(
        "the audit log {} cannot be gone on with: {problem}\nhint: somebody or a fault of the disk has changed it; keep it, look into it, and move it away to begin a new one",
        path.display()
    )]
    Audit {
        /// The log.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key under which the server's share files are encrypted is not there, or another one.
    #[error("{problem}\nhint: put the key {} back from its safe copy; without it the share files cannot be read", path.display())]
    StorageKey {
        /// Where the key has to be.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Something about share files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An upload does not go on, but may later.
    #[error("{text}")]
    Upload {
        /// Which server, what is wrong, and what to do.
        text: String,
    },
    /// An upload will never go on.
    #[error("server {party} has given the upload up: {problem}")]
    UploadGone {
        /// The server.
        party: usize,
        /// Why.
        problem: String,
    },
    /// The operating system did not provide randomness.
    #[error("the operating system provides no randomness")]
    Randomness,
    /// The operating system did not let the program begin.
    #[error("cannot start the service: {source}")]
    Start {
        /// Why.
        source: io::Error,
    },
    /// What the three servers answered does not let a client go on.
    #[error("{reason}")]
    Answers {
        /// Why, and what to do.
        reason: String,
        /// What kind of reason it is.
        cause: Cause,
    },
    /// Whoever waited for the servers does not want to wait any longer.
    #[error("{0}")]
    Stopped(Stop),
    /// A name that cannot be one.
    #[error("{name:?} is no name: {reason}")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong about it.
        reason: &'static str,
    },
}

/// Why somebody does not want to wait for the servers any longer.
pub type Stop = Box<dyn core::error::Error + Send + Sync>;

/// What kind of reason there is why a client cannot go on.
///
/// This enum is complete. Of several reasons the last one in this order is what a client has to hear of first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// There is no connection to a server, or not to the one that is expected.
    Unreachable,
    /// A server did not answer in time.
    Silent,
    /// Something is wrong at a server, or the job failed.
    Fault,
    /// A server does not accept what was said.
    Refused,
    /// What was asked for is not there, or not for the one who asks.
    Unknown,
    /// A server, or the terms of a data set, forbid it.
    Forbidden,
}

impl From<&CallError> for Cause {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::Unreachable { .. } | CallError::WrongKey { .. } | CallError::Broken { .. } => {
                Self::Unreachable
            }
            CallError::Silent { .. } => Self::Silent,
            CallError::Refused { status: 401 | 403, .. } => Self::Forbidden,
            CallError::Refused { status: 404, .. } => Self::Unknown,
            CallError::Refused { status: 429 | 500.., .. } | CallError::NotUnderstood { .. } => Self::Fault,
            CallError::Refused { .. } | CallError::Identity(_) => Self::Refused,
        }
    }
}

impl ServiceError {
    /// A file or directory that could not be read, written or created.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
