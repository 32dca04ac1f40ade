//! Configuration files, and where in them something is wrong.

use core::fmt::Display;
use core::ops::Range;
use core::str::FromStr;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use shamisen_net::Party;
use shamisen_net::tls::Fingerprint;
use toml::Spanned;

use crate::{Result, ServiceError};

/// Longest file that is read: thousands of people.
const MAX_BYTES: u64 = 1 << 20;

/// The text of a configuration file.
pub(crate) struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let io = |error| ServiceError::io("read", path, error);
        let mut text = String::new();
        File::open(path).map_err(io)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(io)?;
        let document = Self { path: path.to_owned(), text };
        if document.text.len() as u64 > MAX_BYTES {
            return Err(document.wrong("the file is longer than a megabyte: it is no configuration"));
        }
        Ok(document)
    }

    /// Its fields.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(&self.text).map_err(|error| {
            let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            match error.span() {
                Some(span) => self.wrong_at(&span, reason),
                None => self.wrong(reason),
            }
        })
    }

    /// An error about the file as a whole.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> ServiceError {
        ServiceError::Config { path: self.path.clone(), line: None, reason: reason.into() }
    }

    /// An error about something at one place in it.
    pub(crate) fn wrong_at(&self, span: &Range<usize>, reason: impl Into<String>) -> ServiceError {
        let line = Some(self.line(span));
        ServiceError::Config { path: self.path.clone(), line, reason: reason.into() }
    }

    /// Reads a value from its text.
    pub(crate) fn value<T: FromStr<Err: Display>>(&self, text: &Spanned<String>) -> Result<T> {
        text.as_ref().parse().map_err(|error: T::Err| self.wrong_at(&text.span(), error.to_string()))
    }

    /// Reads the number of a party.
    pub(crate) fn party(&self, number: &Spanned<u64>) -> Result<Party> {
        let party = usize::try_from(*number.as_ref()).ok().and_then(Party::new);
        party.ok_or_else(|| {
            let reason = format!("there is no party {}: the parties are 0, 1 and 2", number.as_ref());
            self.wrong_at(&number.span(), reason)
        })
    }

    /// The line of a place, counted from 1.
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or_default();
        1 + before.matches('\n').count()
    }
}

/// Things of a file that may be there once only, such as fingerprints.
pub(crate) struct Once<'a> {
    document: &'a Document,
    what: &'static str,
    seen: HashMap<String, usize>,
}

impl<'a> Once<'a> {
    /// Nothing yet; `what` is the thing's name in messages.
    pub(crate) fn new(document: &'a Document, what: &'static str) -> Self {
        Self { document, what, seen: HashMap::new() }
    }

    /// Refuses what was there before.
    pub(crate) fn check(&mut self, value: &impl Display, span: &Range<usize>) -> Result<()> {
        let (value, line) = (value.to_string(), self.document.line(span));
        if let Some(first) = self.seen.get(&value) {
            let reason =
                format!("the {} {value:?} is that of line {first}, too: give each its own", self.what);
            return Err(self.document.wrong_at(span, reason));
        }
        self.seen.insert(value, line);
        Ok(())
    }
}

/// Reads a fingerprint, and says where one comes from if it is none.
pub(crate) fn fingerprint(document: &Document, text: &Spanned<String>) -> Result<Fingerprint> {
    text.as_ref().parse().map_err(|_| {
        let reason = format!(
            "{:?} is no fingerprint: copy the 64 hexadecimal digits that `shamisen keygen` showed for this key",
            text.as_ref()
        );
        document.wrong_at(&text.span(), reason)
    })
}
