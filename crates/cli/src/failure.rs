//! Why the program ends without success: what the user reads, and the exit status.

use std::io::{self, Write};
use std::path::Path;

use shamisen_data::DataError;
use shamisen_local::share::Stop;
use shamisen_party::event::Failed;
use shamisen_service::ServiceError;

/// The result of a command.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command did not succeed.
///
/// This enum is complete.
#[derive(Debug)]
pub enum Failure {
    /// What the user is told: status 2 for what the user can mend, 1 for a run that failed, 130 after Ctrl-C or a request to
    /// terminate.
    Told(shamisen_local::Failure),
    /// The message was given elsewhere.
    Reported {
        /// The exit status.
        status: u8,
    },
}

impl Failure {
    /// Bad input, or bad configuration.
    pub fn input(text: impl Into<String>) -> Self {
        shamisen_local::Failure::input(text).into()
    }

    /// A failed run.
    pub fn run(text: impl Into<String>) -> Self {
        shamisen_local::Failure::run(text).into()
    }

    /// A file that could not be read, written or created.
    pub fn file(action: &str, path: &Path, source: &io::Error) -> Self {
        shamisen_local::Failure::file(action, path, source).into()
    }

    /// The same, after the message was given elsewhere.
    #[must_use]
    pub fn reported(self) -> Self {
        Self::Reported { status: self.status() }
    }

    /// The exit status of the process.
    pub fn status(&self) -> u8 {
        use shamisen_local::Failure::{Input, Interrupted, Paused, Run};
        match self {
            Self::Told(Input(_)) => 2,
            Self::Told(Run(_)) => 1,
            Self::Told(Interrupted | Paused(_)) => 130,
            Self::Reported { status } => *status,
        }
    }

    /// Tells the user, on the standard error.
    pub fn print(&self) {
        use shamisen_local::Failure::{Interrupted, Paused};
        let text = match self {
            Self::Told(stopped @ (Interrupted | Paused(_))) => format!("{stopped}\n"),
            Self::Told(failure) => format!("error: {failure}\n"),
            Self::Reported { .. } => return,
        };
        // Without a standard error there is nobody to tell.
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

impl From<shamisen_local::Failure> for Failure {
    fn from(failure: shamisen_local::Failure) -> Self {
        Self::Told(failure)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Told(stop.into())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::Told(error.into())
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::Told(failed.into())
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Randomness | ServiceError::Start { .. } => Self::run(error.to_string()),
            ServiceError::Stopped(stop) => match stop.downcast::<shamisen_local::Failure>() {
                Ok(failure) => Self::Told(*failure),
                Err(stop) => Self::run(stop.to_string()),
            },
            _ => Self::input(error.to_string()),
        }
    }
}
