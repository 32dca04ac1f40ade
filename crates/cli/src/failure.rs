//! Why the program ends without success: what the user reads, and the exit status.

use std::io::{self, Write};
use std::path::Path;

use shamisen_data::DataError;
use shamisen_service::ServiceError;

/// The result of a command.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command did not succeed.
///
/// This enum is complete.
#[derive(Debug)]
pub enum Failure {
    /// Input or configuration that the user can mend: status 2.
    Input(Message),
    /// A run that failed: status 1.
    Run(Message),
    /// The same, but the message was given elsewhere.
    Reported {
        /// The exit status.
        status: u8,
    },
    /// Ctrl-C, or a request to terminate: status 130.
    Interrupted,
    /// The same, of a run that can go on: where it stopped, and how to go on.
    Paused(String),
}

/// One sentence, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// What happened, where, and why.
    pub text: String,
    /// What to do, where the text does not say it.
    pub hint: Option<String>,
}

impl Message {
    /// A message from a text that may have a line `hint: ...`.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        match text.split_once("\nhint: ") {
            Some((text, hint)) => Self { text: text.to_owned(), hint: Some(hint.to_owned()) },
            None => Self { text, hint: None },
        }
    }
}

impl Message {
    /// The message with another hint, from the one that it has.
    pub(crate) fn with_hint(self, hint: impl FnOnce(Option<String>) -> String) -> Self {
        Self { hint: Some(hint(self.hint)), ..self }
    }
}

impl Failure {
    /// Bad input, or bad configuration.
    pub fn input(text: impl Into<String>) -> Self {
        Self::Input(Message::new(text))
    }

    /// A failed run.
    pub fn run(text: impl Into<String>) -> Self {
        Self::Run(Message::new(text))
    }

    /// A file that could not be read, written or created.
    pub fn file(action: &str, path: &Path, source: &io::Error) -> Self {
        Self::input(match source.kind() {
            io::ErrorKind::NotFound => format!("{} does not exist: check the path", path.display()),
            _ => format!("cannot {action} {}: {source}", path.display()),
        })
    }

    /// The exit status of the process.
    pub fn status(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Run(_) => 1,
            Self::Reported { status } => *status,
            Self::Interrupted | Self::Paused(_) => 130,
        }
    }

    /// Tells the user, on the standard error.
    pub fn print(&self) {
        let text = match self {
            Self::Input(message) | Self::Run(message) => match &message.hint {
                Some(hint) => format!("error: {}\nhint: {hint}\n", message.text),
                None => format!("error: {}\n", message.text),
            },
            Self::Reported { .. } => return,
            Self::Interrupted => "interrupted\n".to_owned(),
            Self::Paused(text) => format!("{text}\n"),
        };
        // Without a standard error there is nobody to tell.
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Randomness { .. } => Self::run(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Randomness | ServiceError::Start { .. } => Self::run(error.to_string()),
            _ => Self::input(error.to_string()),
        }
    }
}
