//! Where a party listens.

use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

/// Where a party listens: a port of a machine, or a socket in the file system for parties of one machine.
///
/// As text, `host:port` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// Host name or address, and port, such as `party1.example.org:7000`.
    Tcp(String),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

/// What the text of a Unix socket's address begins with.
const UNIX: &str = "unix:";

/// Longest name of a socket's file in bytes, without the directories: it leaves room for the way to any directory.
const LONGEST_NAME: usize = 80;

impl Address {
    /// The same address, where a relative path starts at `dir`.
    #[must_use]
    pub fn from_dir(self, dir: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(dir.join(path)),
            Self::Tcp(_) => self,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some(path) = text.strip_prefix(UNIX) else { return Ok(Self::Tcp(text.to_owned())) };
        let wrong = |reason| AddressError { address: text.to_owned(), reason };
        let path = PathBuf::from(path);
        match path.file_name() {
            None => Err(wrong("it names no file: give a path such as unix:/run/shamisen/party0.socket")),
            Some(name) if name.len() > LONGEST_NAME => {
                Err(wrong("the name of its file is too long: choose one of at most 80 bytes"))
            }
            Some(_) => Ok(Self::Unix(path)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => f.write_str(place),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is no address: {reason}")]
pub struct AddressError {
    address: String,
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for (text, address) in [
            ("example.org:7000", Address::Tcp("example.org:7000".into())),
            ("[::1]:7000", Address::Tcp("[::1]:7000".into())),
            ("unix:/run/0.socket", Address::Unix("/run/0.socket".into())),
            ("unix:../a b", Address::Unix("../a b".into())),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn a_socket_has_a_name_that_fits() {
        for (text, part) in [
            ("unix:".to_owned(), "names no file"),
            ("unix:/".to_owned(), "names no file"),
            ("unix:/run/..".to_owned(), "names no file"),
            (format!("unix:/run/{}", "a".repeat(81)), "at most 80 bytes"),
        ] {
            let error = text.parse::<Address>().expect_err("no address").to_string();
            assert!(error.contains(part) && error.contains(&text), "{error}");
        }
        assert!(format!("unix:/{}/{}", "a".repeat(300), "b".repeat(80)).parse::<Address>().is_ok());
    }

    #[test]
    fn only_relative_paths_start_at_the_directory() {
        let dir = Path::new("/srv/party0");
        for (text, expected) in [
            ("unix:../0.socket", "unix:/srv/party0/../0.socket"),
            ("unix:/run/0.socket", "unix:/run/0.socket"),
            ("host:7000", "host:7000"),
        ] {
            assert_eq!(text.parse::<Address>().expect("an address").from_dir(dir).to_string(), expected);
        }
    }
}
