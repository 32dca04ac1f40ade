//! Scaling of features and targets, with the statistics of the training part.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::columns::{Column, ColumnKind, Encoder};
use crate::error::{DataError, Result};
use crate::images::{self, ImageForm};
use crate::sealed;
use crate::source::{self, Block, RAW_LIMIT, Tables};
use crate::statistics::Statistics;
use crate::table::{Matrix, Schema, TargetKind};

const FORMAT: &str = "shamisen-preprocessing-1";

/// Standardised features are clipped to this many standard deviations on either side.
///
/// A column that is nearly always the same has values hundreds of deviations away: they say no more than ten do, but
/// take up the range of the fixed-point numbers, and upset the training (MNIST, one epoch of 784-128-128-10: 95.9 %
/// without clipping, 96.2 % with it).
pub const OUTLIER_LIMIT: f64 = 10.0;

/// How feature columns are scaled.
///
/// This enum is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Mean 0 and (population) standard deviation 1, clipped at [`OUTLIER_LIMIT`].
    #[default]
    Standard,
    /// From 0 to 1.
    MinMax,
    /// As they are.
    None,
}

impl Scaling {
    /// A power of two that no scaled feature of any row exceeds, if none of those that are not clipped exceeds `2^most`.
    pub fn feature_bits(self, most: u32) -> u32 {
        match self {
            Self::Standard => most.min(OUTLIER_LIMIT.log2().ceil() as u32),
            // Rows to test on may lie outside what the rows to train on span.
            Self::MinMax | Self::None => most,
        }
    }
}

/// How the target of a regression is scaled.
///
/// This enum is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetScaling {
    /// Mean 0 and (population) standard deviation 1.
    #[default]
    Standard,
    /// As it is.
    None,
}

/// The map `(value - offset) * factor`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// What is subtracted.
    pub offset: f64,
    /// What is multiplied after that.
    pub factor: f64,
}

impl Affine {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self { offset: 0.0, factor: 1.0 };

    /// The map that takes this offset to 0 and a number so far above it to 1; all to 0 if that is no distance.
    pub fn of_width(offset: f64, width: f64) -> Self {
        let factor = 1.0 / width;
        Self { offset, factor: if factor.is_finite() { factor } else { 0.0 } }
    }

    /// What the map is of.
    pub fn offset_and_width(&self) -> (f64, f64) {
        (self.offset, if self.factor == 0.0 { 0.0 } else { 1.0 / self.factor })
    }

    /// The scaled value.
    pub fn apply(&self, value: f64) -> f64 {
        (value - self.offset) * self.factor
    }

    /// The value that was scaled; the offset if the factor is 0.
    pub fn invert(&self, scaled: f64) -> f64 {
        if self.factor == 0.0 { self.offset } else { scaled / self.factor + self.offset }
    }
}

/// Everything that leads from a file's columns to a model's inputs, and from its outputs back.
///
/// These are statistics of the training data. Whoever predicts needs them; the servers do not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The names of the model's inputs: those of the feature columns, and `column=category` for each category of a column.
    pub feature_names: Vec<String>,
    /// The feature columns in their order; none if all of them are plain numbers, and each is an input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// The form of the images, if the rows are images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImageForm>,
    /// The target column; empty if there is none.
    pub target_name: String,
    /// How the features were scaled.
    pub scaling: Scaling,
    /// What is subtracted from each feature.
    pub offset: Vec<f64>,
    /// What each feature is multiplied with after that; 0 for a column that is constant in the training part.
    pub factor: Vec<f64>,
    /// The scaling of the target of a regression, or `None` for classification and without a target.
    pub target: Option<Affine>,
    /// The classes in the order of the model's outputs; empty for regression and without a target.
    pub classes: Vec<String>,
}

impl Preprocessing {
    /// The maps for a training part of which `fitted` is known.
    ///
    /// Fails if all values of a regression target are equal, or no feature varies: there is nothing to learn.
    pub(crate) fn fit(fitted: Fitted<'_>, scaling: Scaling, target_scaling: TargetScaling) -> Result<Self> {
        let Fitted { path, columns, target_name, features, categories_vary, target } = fitted;
        let mut maps = Vec::with_capacity(columns.len());
        for (col, column) in columns.iter().enumerate() {
            match (&column.kind, scaling) {
                // They are 0 or 1 as they are.
                (ColumnKind::Categories(names), _) => maps.extend(vec![Affine::IDENTITY; names.len()]),
                (_, Scaling::Standard) => maps.push(standard(features, col)),
                (_, Scaling::MinMax) => maps.push(min_max(features, col)),
                (_, Scaling::None) => maps.push(Affine::IDENTITY),
            }
        }
        let varies = |(col, column): (usize, &Column)| {
            let (least, greatest) = features.range(col);
            least < greatest && !matches!(column.kind, ColumnKind::Categories(_))
        };
        if !categories_vary && !columns.iter().enumerate().any(varies) {
            return Err(DataError::ConstantFeatures { path: path.to_owned() });
        }
        let feature_names: Vec<String> = columns.iter().flat_map(Column::inputs).collect();
        let mut seen = HashSet::with_capacity(feature_names.len());
        if let Some(column) = feature_names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(DataError::DuplicateColumn { column: column.clone(), path: path.to_owned() });
        }
        let (target, classes) = match target {
            FittedTarget::None => (None, vec![]),
            FittedTarget::Classes(names) => (None, names.to_vec()),
            FittedTarget::Numbers(values) => {
                let (least, greatest) = values.range(0);
                if least >= greatest {
                    let (path, target) = (path.to_owned(), target_name.to_owned());
                    return Err(DataError::ConstantTarget { path, target, value: least });
                }
                let map = match target_scaling {
                    TargetScaling::Standard => standard(values, 0),
                    TargetScaling::None => Affine::IDENTITY,
                };
                (Some(map), vec![])
            }
        };
        Ok(Self {
            feature_names,
            columns: if columns.iter().all(Column::is_plain) { vec![] } else { columns },
            images: None,
            target_name: target_name.to_owned(),
            scaling,
            offset: maps.iter().map(|map| map.offset).collect(),
            factor: maps.iter().map(|map| map.factor).collect(),
            target,
            classes,
        })
    }

    /// Reads statistics.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is damaged, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self> {
        let preprocessing: Self = sealed::read(path, FORMAT)?;
        match preprocessing.problem() {
            None => Ok(preprocessing),
            Some(problem) => {
                Err(DataError::BadDescription { path: path.to_owned(), problem: problem.to_owned() })
            }
        }
    }

    /// Writes the statistics, atomically.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        sealed::write(path, FORMAT, self)
    }

    /// What the target holds, if there is one.
    pub fn kind(&self) -> Option<TargetKind> {
        match (&self.target, self.classes.is_empty()) {
            (Some(_), _) => Some(TargetKind::Number),
            (None, false) => Some(TargetKind::Classes),
            (None, true) => None,
        }
    }

    /// The number of columns of the targets: one for each class, 1 for a number, 0 without a target.
    pub fn outputs(&self) -> usize {
        if self.target.is_some() { 1 } else { self.classes.len() }
    }

    /// The feature columns in their order.
    pub fn columns(&self) -> Vec<Column> {
        if self.columns.is_empty() {
            return self.feature_names.iter().map(|name| Column::number(name)).collect();
        }
        self.columns.clone()
    }

    /// What makes inputs of the columns of a file.
    pub(crate) fn encoder(&self) -> Encoder {
        Encoder::new(self.columns())
    }

    /// The names that test and prediction files are read by.
    pub fn schema(&self) -> Schema {
        Schema {
            columns: self.columns(),
            target_name: self.target_name.clone(),
            classes: (self.kind() == Some(TargetKind::Classes)).then(|| self.classes.clone()),
        }
    }

    /// Scales features in place.
    ///
    /// # Errors
    ///
    /// If the matrix has another number of columns, or the magnitude of a scaled value exceeds `limit`; the features
    /// are then partly scaled.
    pub fn apply(&self, features: &mut Matrix, limit: f64) -> Result<()> {
        let cols = self.feature_names.len();
        if features.cols() != cols || self.offset.len() != cols || self.factor.len() != cols {
            return Err(DataError::ColumnCount { expected: cols, found: features.cols() });
        }
        let maps: Vec<Affine> = self
            .offset
            .iter()
            .zip(&self.factor)
            .map(|(&offset, &factor)| Affine { offset, factor })
            .collect();
        let mut outlier = None;
        'rows: for (row, values) in features.values_mut().chunks_exact_mut(cols).enumerate() {
            for (col, (value, map)) in values.iter_mut().zip(&maps).enumerate() {
                let scaled = match self.scaling {
                    Scaling::Standard => map.apply(*value).clamp(-OUTLIER_LIMIT, OUTLIER_LIMIT),
                    Scaling::MinMax | Scaling::None => map.apply(*value),
                };
                if scaled.is_nan() || scaled.abs() > limit {
                    outlier = Some((row, col, *value, scaled));
                    break 'rows;
                }
                *value = scaled;
            }
        }
        match outlier {
            None => Ok(()),
            Some((row, col, value, scaled)) => {
                let place = features.place_in(row, self.feature_names[col].clone());
                Err(DataError::ScaledOutOfRange { place, value, scaled, limit, scaling: self.scaling })
            }
        }
    }

    /// Reads the feature columns of a file for prediction, or a directory of images, makes inputs of them, and scales these.
    ///
    /// Columns may stand in any order; the target column may be present and is ignored.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, lacks a feature column or has columns that are unknown; if a cell is not what its column
    /// holds, or a category is unknown; and as [`Self::apply`].
    pub fn read_features(&self, path: &Path, limit: f64) -> Result<Matrix> {
        let file = match self.images {
            Some(form) if path.is_dir() => images::open_as(path, form)?,
            _ => source::open(path)?,
        };
        let tables = Tables::by_schema(vec![file], &self.schema(), false, RAW_LIMIT)?;
        let mut values = Vec::new();
        let encoder = self.encoder();
        let scale = |_, Block { features, categories, .. }: Block| {
            let mut features = encoder.encode(features, &categories)?;
            self.apply(&mut features, limit).map(|()| features)
        };
        tables.blocks(scale, |features| {
            values.extend_from_slice(features.values());
            Ok::<_, DataError>(())
        })?;
        let cols = self.feature_names.len();
        let (expected, found) = (tables.rows() as usize * cols, values.len());
        Matrix::new(tables.rows() as usize, cols, values).ok_or(DataError::Length {
            operation: "reading features",
            expected,
            found,
        })
    }

    /// What contradicts itself, if anything does.
    pub fn problem(&self) -> Option<&'static str> {
        let cols = self.feature_names.len();
        if self.offset.len() != cols || self.factor.len() != cols || cols == 0 {
            return Some("the statistics are not as many as the features");
        }
        let target = self.target.map(|map| [map.offset, map.factor]);
        let mut numbers = self.offset.iter().chain(&self.factor).chain(target.iter().flatten());
        if !numbers.all(|number| number.is_finite()) {
            return Some("a statistic is not a finite number");
        }
        let inputs = || self.columns.iter().flat_map(Column::inputs);
        if !self.columns.is_empty() && inputs().ne(self.feature_names.iter().cloned()) {
            return Some("its inputs are not those of its columns");
        }
        if self.columns.iter().any(|column| column.missing.is_some_and(|value| !value.is_finite())) {
            return Some("a statistic is not a finite number");
        }
        if self.target.is_some() && !self.classes.is_empty() {
            return Some("it must have either classes or a scaling of the target");
        }
        if self.kind().is_none() && !self.target_name.is_empty() {
            return Some("it has the name of a target, but neither classes nor a scaling of it");
        }
        None
    }
}

/// The name of a column from 0 that has no name of its own, as in a model that was made elsewhere.
pub(crate) fn unnamed(column: usize) -> String {
    format!("x{column}")
}

/// What a scaling is made from.
pub(crate) struct Fitted<'a> {
    /// The (first) file.
    pub(crate) path: &'a Path,
    pub(crate) columns: Vec<Column>,
    pub(crate) target_name: &'a str,
    /// Of the columns of numbers and dates, in the training rows.
    pub(crate) features: &'a Statistics,
    /// Whether training rows have different categories in some column.
    pub(crate) categories_vary: bool,
    pub(crate) target: FittedTarget<'a>,
}

/// What is known of a target.
pub(crate) enum FittedTarget<'a> {
    /// There is none.
    None,
    /// The names of the classes.
    Classes(&'a [String]),
    /// Of the training rows.
    Numbers(&'a Statistics),
}

/// The map to mean 0 and standard deviation 1, or to 0 where all values are equal.
fn standard(statistics: &Statistics, col: usize) -> Affine {
    let (mean, deviation) = statistics.mean_and_deviation(col);
    affine(statistics.range(col), mean, deviation)
}

/// The map to the range from 0 to 1, or to 0 where all values are equal.
fn min_max(statistics: &Statistics, col: usize) -> Affine {
    let (least, greatest) = statistics.range(col);
    affine((least, greatest), least, greatest - least)
}

/// A column whose values are equal, or too close or too far apart for a finite factor, becomes 0.
fn affine((least, greatest): (f64, f64), offset: f64, width: f64) -> Affine {
    let factor = 1.0 / width;
    if least < greatest && offset.is_finite() && factor.is_finite() {
        Affine { offset, factor }
    } else {
        Affine { offset: least, factor: 0.0 }
    }
}

#[cfg(test)]
mod tests;
