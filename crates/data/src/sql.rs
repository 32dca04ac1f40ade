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

use crate::error::Result;
use crate::source::TableFile;

/// A database: `postgres://USER@HOST/NAME`, or the path of a SQLite file.
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
    /// Whether it is of PostgreSQL; otherwise it is of SQLite.
    fn is_postgres(&self) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| self.0.starts_with(scheme))
    }

    /// What it is called in messages: host and name, or the path, without user and password.
    pub fn shown(&self) -> String {
        if !self.is_postgres() {
            return self.0.strip_prefix("sqlite:").unwrap_or(&self.0).to_owned();
        }
        let (_, rest) = self.0.split_once("://").unwrap_or_default();
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

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({:?})", self.shown())
    }
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
    Err(crate::error::DataError::Sql { database: database.shown(), problem: problem.to_owned() })
}

#[cfg(test)]
mod tests;
