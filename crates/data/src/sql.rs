//! Tables that an SQL query gives, on SQLite or PostgreSQL, with the feature `sql`.
//!
//! The query is made once, in a transaction that can change nothing, and its rows go to a temporary file, which only this user may read
//! and which is removed at the end: so they are the same in each pass, and memory does not grow with them. A value that is NULL is missing.

#[cfg(feature = "sql")]
mod postgres;
#[cfg(feature = "sql")]
mod sqlite;
#[cfg(feature = "sql")]
mod table;

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::{DataError, Result};
use crate::source::TableFile;

/// A database: `postgres://USER@HOST/NAME`, or the path of a SQLite file, with or without `sqlite:` before it.
///
/// It may have a password, which [`fmt::Debug`] and messages leave out.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Database(String);

impl FromStr for Database {
    type Err = Infallible;

    fn from_str(url: &str) -> std::result::Result<Self, Infallible> {
        Ok(Self(url.to_owned()))
    }
}

impl Database {
    /// What the text says.
    fn kind(&self) -> Kind<'_> {
        for scheme in ["postgres://", "postgresql://"] {
            if let Some(rest) = without_prefix(&self.0, scheme) {
                return Kind::Postgres(rest);
            }
        }
        if let Some(path) = without_prefix(&self.0, "sqlite:") {
            return Kind::Sqlite(path);
        }
        let text: String = self.0.to_ascii_lowercase().split_whitespace().collect();
        let has_password = ["password=", "pwd="].iter().any(|name| text.contains(name))
            || text.split_once(':').is_some_and(|(_, rest)| rest.contains('@'));
        if has_password || text.contains("://") { Kind::Unknown } else { Kind::Sqlite(&self.0) }
    }

    /// What it is called in messages: host and name, or the path, without user and password.
    pub fn shown(&self) -> String {
        let rest = match self.kind() {
            Kind::Sqlite(path) => return path.to_owned(),
            Kind::Unknown => return "...".to_owned(),
            Kind::Postgres(rest) => rest,
        };
        let place = rest.split(['?', '#']).next().unwrap_or_default();
        let place = match (place.split_once('@'), rest.matches('@').count()) {
            (None, 0) => place,
            (Some((_, place)), 1) => place,
            // Where a password ends is not clear.
            _ => "...",
        };
        format!("postgres://{place}")
    }
}

/// What the text of a database says.
enum Kind<'a> {
    /// PostgreSQL, and what follows the scheme.
    Postgres(&'a str),
    /// SQLite, and the path.
    Sqlite(&'a str),
    /// Another database, or PostgreSQL in another form; a password may be anywhere in it.
    Unknown,
}

/// What follows a prefix, of which capitals do not matter.
fn without_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({:?})", self.shown())
    }
}

/// The error of a database, of which the first line says enough.
fn refused(database: &Database, problem: impl fmt::Display) -> DataError {
    let problem = problem.to_string();
    let problem = problem.lines().next().unwrap_or_default().trim().to_owned();
    DataError::Sql { database: database.shown(), problem }
}

/// Makes the query.
#[cfg(feature = "sql")]
pub(crate) fn open(query: &str, database: &Database) -> Result<Box<dyn TableFile>> {
    Ok(Box::new(table::QueryTable::new(query, database)?))
}

/// Says that no query can be made.
#[cfg(not(feature = "sql"))]
pub(crate) fn open(_query: &str, database: &Database) -> Result<Box<dyn TableFile>> {
    let problem = "this build of shamisen makes no queries: build it with `--features sql`, or write the rows to a CSV file";
    Err(refused(database, problem))
}

#[cfg(test)]
mod tests;
