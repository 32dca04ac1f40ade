//! The front door: from files to scaled training and test examples.
//!
//! A [`Survey`] takes the rows as they come; [`prepare`] has all of them in memory.

use std::path::PathBuf;

use crate::columns::ColumnRules;
use crate::error::Result;
use crate::scaling::{Preprocessing, Scaling, TargetScaling};
use crate::sql::Database;
use crate::survey::Survey;
use crate::table::{Matrix, TargetKind};

/// Where the training data come from.
///
/// This enum is complete.
#[derive(Debug, Clone)]
pub enum Source {
    /// Files with the same columns, one below the other: NPY or NPZ if their name ends so, Parquet or Arrow
    /// if they are called or begin so, otherwise CSV.
    Files {
        /// The files.
        files: Vec<PathBuf>,
        /// The target column, or `None` for the last one.
        target: Option<String>,
        /// What the target column holds; `None` if there is none, and all columns are features.
        kind: Option<TargetKind>,
    },
    /// A directory with a sub-directory of images for each class.
    Images {
        /// The directory.
        dir: PathBuf,
        /// The width and the height to which images are resized; without them, all have one size.
        size: Option<(u32, u32)>,
    },
    /// The rows that a query on a database gives.
    Query {
        /// The query, in SQL.
        query: String,
        /// The database.
        database: Database,
        /// The target column, or `None` for the last one.
        target: Option<String>,
        /// What the target column holds; `None` if there is none, and all columns are features.
        kind: Option<TargetKind>,
    },
    /// A directory with the four MNIST files.
    Mnist {
        /// The directory.
        dir: PathBuf,
    },
}

/// Where the test data come from.
///
/// This enum is complete.
#[derive(Debug, Clone)]
pub enum TestSource {
    /// There are none.
    None,
    /// This fraction of the rows, above 0 and below 1, is held out.
    Fraction(f64),
    /// Files with the columns of the training files, in any order, or directories of images.
    Files(Vec<PathBuf>),
    /// The test part that belongs to the data set: the `t10k` files of MNIST.
    Included,
}

/// What is made of which data.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// The training data.
    pub source: Source,
    /// The test data.
    pub test: TestSource,
    /// The columns, scaling and classes of a model that goes on to be trained. All that follows about columns and scaling is then
    /// decided by it.
    pub known: Option<Preprocessing>,
    /// What is said of columns that are more than numbers.
    pub columns: ColumnRules,
    /// How features are scaled. Categories are not: they stay 0 and 1.
    pub scaling: Scaling,
    /// How a regression target is scaled.
    pub target_scaling: TargetScaling,
    /// The public seed that picks the rows to hold out.
    pub seed: u64,
    /// The largest magnitude of a scaled feature.
    pub feature_limit: f64,
    /// The largest magnitude of a scaled regression target.
    pub target_limit: f64,
}

#[cfg(test)]
impl PrepareOptions {
    /// All rows to train on, as they are, whatever their magnitude.
    pub(crate) fn as_it_is(source: Source) -> Self {
        Self {
            source,
            test: TestSource::None,
            known: None,
            columns: ColumnRules::default(),
            scaling: Scaling::None,
            target_scaling: TargetScaling::None,
            seed: 1,
            feature_limit: 1e9,
            target_limit: 1e9,
        }
    }
}

/// Features and targets of the same rows, scaled.
#[derive(Debug, Clone)]
pub struct Examples {
    /// One row per example, one column per feature.
    pub features: Matrix,
    /// For classification one column per class, 1 in that of the row's class and 0 elsewhere; for regression one
    /// column, the scaled target; without a target no column.
    pub targets: Matrix,
}

/// Examples ready to be dealt.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The training part.
    pub train: Examples,
    /// The test part.
    pub test: Option<Examples>,
    /// Statistics of the training part, by which both parts are scaled.
    pub preprocessing: Preprocessing,
    /// The least k ≥ 0 such that the magnitude of no target of either part exceeds 2^k.
    ///
    /// It is public during the training.
    pub target_bits: u32,
}

/// Reads data, splits off the test part, and scales both with the statistics of the training part, all in memory.
///
/// # Errors
///
/// As [`Survey::new`] and [`Survey::each`].
pub fn prepare(options: &PrepareOptions) -> Result<Prepared> {
    Survey::new(options)?.collect()
}

/// Which of the two parts of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "data are trained on or tested with")]
pub enum Part {
    /// To train on.
    Train,
    /// To test on.
    Test,
}

impl Part {
    /// The name of the share file of the features.
    pub fn features(self) -> &'static str {
        match self {
            Self::Train => "train-features",
            Self::Test => "test-features",
        }
    }

    /// The name of the share file of the targets.
    pub fn targets(self) -> &'static str {
        match self {
            Self::Train => "train-targets",
            Self::Test => "test-targets",
        }
    }
}

#[cfg(test)]
mod tests;
