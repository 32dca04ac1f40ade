//! Data sets of several owners as one table: which files of a party's directory make it. All of it is public.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
pub use shamisen_mpc::protocol::pool::{LEAST_SHARE, MOST_OWNERS};

use crate::rows::Part;

/// How tables are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "a party has to know all of them")]
pub enum Join {
    /// One below the other: the same columns, other rows.
    #[default]
    Rows,
    /// Side by side: the same rows in the same order, other columns.
    Columns,
}

/// The tables that a party trains on, whose share files lie in directories of their own in its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "whoever makes a job has to say all of it")]
pub struct Tables {
    /// How they are put together.
    pub join: Join,
    /// What is rescaled by the statistics of all rows, where rows of several owners are put together.
    pub pooled: Pooled,
    /// The tables, in the order of their rows or columns.
    pub tables: Vec<Table>,
}

/// What is rescaled by pooled statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "whoever makes a job has to say all of it")]
pub struct Pooled {
    /// The features.
    pub features: bool,
    /// The target of a regression.
    pub target: bool,
}

impl Pooled {
    /// Whether anything is.
    pub fn any(self) -> bool {
        self.features || self.target
    }
}

/// A table of an owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "whoever makes a job has to say all of it")]
pub struct Table {
    /// Id of the data set, which its share files have.
    pub dataset: String,
    /// Features of the data set.
    pub features: usize,
    /// Those of them that are used, in this order; all if there is none.
    pub columns: Option<Vec<usize>>,
    /// Training rows.
    pub rows: usize,
    /// Whether its targets are used.
    pub target: bool,
}

impl Tables {
    /// Whether a part comes from a file that the parties make when they begin, and not from the owners' files.
    pub fn makes(&self, part: Part, targets: bool) -> bool {
        part != Part::Predict && if targets { self.pooled.target } else { self.pooled.features }
    }

    /// The directory of the share files of a table, by its number.
    pub fn dir(dir: &Path, number: usize) -> PathBuf {
        dir.join(format!("table{number}"))
    }
}
