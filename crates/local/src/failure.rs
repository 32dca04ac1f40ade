//! Why something did not succeed.

use std::fmt;
use std::io;
use std::path::Path;

use shamisen_data::DataError;
use shamisen_party::Message;
use shamisen_party::event::Failed;

/// The result of what can fail.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why something did not succeed.
///
/// This enum is complete.
#[derive(Debug)]
pub enum Failure {
    /// Input or configuration that the user can mend.
    Input(Message),
    /// A run that failed.
    Run(Message),
    /// It was [asked to stop](crate::interrupt::request).
    Interrupted,
    /// The same, of a run that can go on: where it stopped, and how to go on.
    Paused(String),
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
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(message) | Self::Run(message) => {
                f.write_str(&message.text)?;
                message.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
            }
            Self::Interrupted => f.write_str("interrupted"),
            Self::Paused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let hint = match &error {
            DataError::Randomness { .. } => return Self::run(error.to_string()),
            DataError::EmptyCell { .. } => {
                "among features, --missing mean or --missing constant=0 fills in what is missing"
            }
            DataError::NotANumber { .. } => {
                "--categorical COLUMN makes inputs of text, and --date COLUMN of dates"
            }
            DataError::DateColumn { .. } => "--date COLUMN makes an input of it",
            DataError::BadDate { .. } => "--date COLUMN=%d.%m.%Y is for dates such as 31.12.2026",
            DataError::NoValues { .. } => "--missing COLUMN=constant=0 is a rule for this column",
            _ => return Self::input(error.to_string()),
        };
        Self::input(format!("{error}\nhint: {hint}"))
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        let is_input = failed.cause.is_input();
        let message = failed.into_message();
        if is_input { Self::Input(message) } else { Self::Run(message) }
    }
}
