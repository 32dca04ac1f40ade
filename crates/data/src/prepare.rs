//! The front door: from files to scaled training and test examples.

use std::path::PathBuf;

use crate::csv::{RAW_LIMIT, read_csv, require_two_classes};
use crate::error::{DataError, Result};
use crate::idx::read_mnist;
use crate::scaling::{Affine, Preprocessing, Scaling, TargetScaling};
use crate::split::hold_out;
use crate::table::{Matrix, Table, Target, TargetKind};

/// Where the training data come from.
///
/// This enum is complete.
#[derive(Debug, Clone)]
pub enum Source {
    /// CSV files with the same columns, one below the other.
    Csv {
        /// The files.
        files: Vec<PathBuf>,
        /// The target column.
        target: String,
        /// What the target column holds.
        kind: TargetKind,
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
    /// CSV files with the columns of the training files, in any order.
    Files(Vec<PathBuf>),
    /// The test part that belongs to the data set: the `t10k` files of MNIST.
    Included,
}

/// What [`prepare`] does.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// The training data.
    pub source: Source,
    /// The test data.
    pub test: TestSource,
    /// How features are scaled.
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

/// Features and targets of the same rows, scaled.
#[derive(Debug, Clone)]
pub struct Examples {
    /// One row per example, one column per feature.
    pub features: Matrix,
    /// For classification one column per class, 1 in that of the row's class and 0 elsewhere; for regression one
    /// column, the scaled target.
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

/// Reads data, splits off the test part, and scales both with the statistics of the training part.
///
/// # Errors
///
/// As [`read_csv`] and [`read_mnist`]; if the training or the test part would be empty, or the training part shows
/// one class, one target or constant features only; if a scaled value exceeds its limit.
pub fn prepare(options: &PrepareOptions) -> Result<Prepared> {
    let (train, test) = read(options)?;
    require_two_classes(&train.target, &train.features, &train.target_name)?;
    let preprocessing = Preprocessing::fit(&train, options.scaling, options.target_scaling)?;
    let mut largest = 0.0;
    let mut scaled = |table| examples(table, &preprocessing, options, &mut largest);
    let train = scaled(train)?;
    let test = test.map(scaled).transpose()?;
    Ok(Prepared { train, test, preprocessing, target_bits: bits(largest) })
}

/// The training and the test part as they are in the files.
fn read(options: &PrepareOptions) -> Result<(Table, Option<Table>)> {
    let (train, included) = match &options.source {
        Source::Csv { files, target, kind } => (read_csv(files, target, *kind, None, RAW_LIMIT)?, None),
        Source::Mnist { dir } => {
            let (train, test) = read_mnist(dir)?;
            (train, Some(test))
        }
    };
    match (&options.test, &options.source) {
        (TestSource::None, _) => Ok((train, None)),
        (TestSource::Fraction(fraction), _) => {
            let (train, test) = split(train, *fraction, options.seed)?;
            Ok((train, Some(test)))
        }
        (TestSource::Included, Source::Mnist { .. }) => Ok((train, included)),
        (TestSource::Included, Source::Csv { .. }) => Err(DataError::TestSource {
            problem: "CSV files include no test part: name test files, or hold out a fraction",
        }),
        (TestSource::Files(files), Source::Csv { target, kind, .. }) => {
            let schema = crate::table::Schema {
                feature_names: train.feature_names.clone(),
                target_name: target.clone(),
                classes: match &train.target {
                    Target::Classes { names, .. } => Some(names.clone()),
                    Target::Number(_) => None,
                },
            };
            let test = read_csv(files, target, *kind, Some(&schema), RAW_LIMIT)?;
            Ok((train, Some(test)))
        }
        (TestSource::Files(_), Source::Mnist { .. }) => Err(DataError::TestSource {
            problem: "MNIST is tested with its own test files or a fraction held out: name no test files",
        }),
    }
}

fn split(table: Table, fraction: f64, seed: u64) -> Result<(Table, Table)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(DataError::BadFraction { fraction });
    }
    let rows = table.features.rows();
    let count = (rows as f64 * fraction).round() as usize;
    if count == 0 || count >= rows {
        let empty = if count == 0 { "test" } else { "training" };
        return Err(DataError::EmptyPart { fraction, rows, empty });
    }
    let held_out = hold_out(rows, count, seed);
    let (train_features, test_features) = table.features.split(&held_out);
    let (train_target, test_target) = table.target.split(&held_out);
    let test = Table {
        feature_names: table.feature_names.clone(),
        features: test_features,
        target_name: table.target_name.clone(),
        target: test_target,
    };
    Ok((Table { features: train_features, target: train_target, ..table }, test))
}

/// Scales a table, and raises `largest` to the largest magnitude of its targets.
fn examples(
    table: Table,
    preprocessing: &Preprocessing,
    options: &PrepareOptions,
    largest: &mut f64,
) -> Result<Examples> {
    let Table { mut features, target_name, target, .. } = table;
    preprocessing.apply(&mut features, options.feature_limit)?;
    let targets = match target {
        Target::Classes { names, labels } => {
            let mut values = vec![0.0; labels.len() * names.len()];
            for (row, &label) in values.chunks_exact_mut(names.len()).zip(&labels) {
                row[label as usize] = 1.0;
            }
            *largest = largest.max(1.0);
            features.beside(names, values)
        }
        Target::Number(mut values) => {
            let map = preprocessing.target.unwrap_or(Affine::IDENTITY);
            let limit = options.target_limit;
            for (row, value) in values.iter_mut().enumerate() {
                let scaled = map.apply(*value);
                if scaled.is_nan() || scaled.abs() > limit {
                    let place = features.place_in(row, target_name);
                    return Err(DataError::TargetOutOfRange { place, value: *value, scaled, limit });
                }
                *largest = largest.max(scaled.abs());
                *value = scaled;
            }
            features.beside(vec![target_name], values)
        }
    };
    Ok(Examples { features, targets })
}

/// The least k ≥ 0 with `magnitude` ≤ 2^k.
fn bits(magnitude: f64) -> u32 {
    let mut bits = 0;
    let mut power = 1.0;
    while power < magnitude {
        power *= 2.0;
        bits += 1;
    }
    bits
}

#[cfg(test)]
mod tests;
