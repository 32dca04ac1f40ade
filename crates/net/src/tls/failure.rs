//! Why a connection failed.

use core::fmt;
use std::io;

use crate::{NetError, Party};

/// Why a connection failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The other end is gone.
    Closed,
    /// The other end did not answer in time.
    TimedOut,
    /// The two ends do not agree about TLS.
    Tls(rustls::Error),
    /// The network failed.
    Io(io::Error),
}

impl Failure {
    /// The same as an error about `peer`, with which a session had begun.
    pub(super) fn with(self, peer: Party) -> NetError {
        match self {
            Self::Closed | Self::Tls(rustls::Error::AlertReceived(_)) => NetError::Disconnected { peer },
            Self::TimedOut => NetError::Io { peer, source: io::ErrorKind::TimedOut.into() },
            Self::Tls(error) => {
                NetError::Io { peer, source: io::Error::new(io::ErrorKind::InvalidData, error) }
            }
            Self::Io(source) => NetError::Io { peer, source },
        }
    }
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed"),
            Self::TimedOut => f.write_str("no answer"),
            Self::Tls(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}
