//! How the columns of a table become the inputs of a model: numbers, dates, categories, and what is missing.
//!
//! A column of categories becomes one input for each of them, which is 1 in the rows of this category and 0 in all others; it is
//! called `column=category`. Where a value is missing, the owner's rule says what stands in for it; without a rule it is an
//! error.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::csv::MAX_CLASSES;
pub use crate::dates::DateFormat;
use crate::error::{DataError, Result};
use crate::found::{Found, MISSING};
use crate::source::{RAW_LIMIT, nearest};
use crate::statistics::Statistics;
use crate::table::Matrix;

/// What stands in for missing values of a column of numbers or dates. In a column of categories, a row whose value is missing
/// is of none of them.
///
/// This enum is complete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MissingRule {
    /// The mean of the values that the training rows have.
    Mean,
    /// A number; for dates, days since 1970-01-01.
    Constant(f64),
}

/// What the owner says of columns that are more than numbers, by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColumnRules {
    /// Columns of categories, with the list of them; without one, those that are found, in their order.
    pub categorical: BTreeMap<String, Option<Vec<String>>>,
    /// Columns of dates.
    pub dates: BTreeMap<String, DateFormat>,
    /// The rule for missing values of single columns.
    pub missing_in: BTreeMap<String, MissingRule>,
    /// The rule for missing values of all other columns; without one, they are errors.
    pub missing: Option<MissingRule>,
}

impl ColumnRules {
    fn missing_in(&self, column: &str) -> Option<MissingRule> {
        self.missing_in.get(column).copied().or(self.missing)
    }

    /// Fails if rules are about columns that a file does not have, about its target, or contradict each other.
    pub(crate) fn check(&self, path: &Path, features: &[String], target: &str) -> Result<()> {
        let known: HashSet<&str> = features.iter().map(String::as_str).collect();
        let named = self.categorical.keys().map(|column| (column, "categories"));
        let named = named.chain(self.dates.keys().map(|column| (column, "dates")));
        let named = named.chain(self.missing_in.keys().map(|column| (column, "missing values")));
        for (column, what) in named {
            if column == target {
                return Err(DataError::RuleForTarget {
                    path: path.to_owned(),
                    target: target.to_owned(),
                    what,
                });
            }
            if !known.contains(column.as_str()) {
                return Err(DataError::MissingRuled {
                    path: path.to_owned(),
                    column: column.clone(),
                    what,
                    columns: features.to_vec(),
                    nearest: nearest(column, features),
                });
            }
        }
        for (column, listed) in &self.categorical {
            let wrong = |problem| DataError::Categories { column: column.clone(), problem };
            if self.dates.contains_key(column) {
                return Err(wrong("it was said to hold dates as well: choose one"));
            }
            let Some(listed) = listed else { continue };
            if listed.len() < 2 {
                return Err(wrong("its list has fewer than two: name all that there are"));
            }
            if listed.len() > MAX_CLASSES {
                return Err(wrong("its list has more than 1000: put some of them together"));
            }
            if listed.iter().any(|category| category.trim().is_empty()) {
                return Err(wrong("its list has an empty name: empty cells are missing values"));
            }
            if listed.iter().collect::<HashSet<_>>().len() < listed.len() {
                return Err(wrong("its list has one of them twice: remove one"));
            }
        }
        let mut constants = self.missing_in.values().chain(&self.missing);
        let beyond = |rule: &&MissingRule| matches!(rule, MissingRule::Constant(c) if c.is_nan() || c.abs() > RAW_LIMIT);
        match constants.find(beyond) {
            Some(MissingRule::Constant(constant)) => Err(DataError::MissingConstant { constant: *constant }),
            _ => Ok(()),
        }
    }

    /// How each of the columns is read.
    pub(crate) fn readings(&self, features: &[String]) -> Arc<[Reading]> {
        let reading = |column: &String| Reading {
            kind: match self.dates.get(column) {
                Some(format) => ReadAs::Date(format.clone()),
                None if self.categorical.contains_key(column) => ReadAs::Category,
                None => ReadAs::Number,
            },
            may_miss: self.missing_in(column).is_some(),
        };
        features.iter().map(reading).collect()
    }

    /// The columns, when all training rows have been seen: their statistics, into which comes what stands in for missing
    /// values, and the categories that were found in those columns that have some.
    pub(crate) fn columns(
        &self,
        path: &Path,
        names: &[String],
        statistics: &mut Statistics,
        found: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<Vec<Column>> {
        let mut found = found.into_iter();
        let column = |(at, name): (usize, &String)| {
            let rule = self.missing_in(name);
            if let Some(listed) = self.categorical.get(name) {
                let found = found.next().unwrap_or_default();
                let kind = ColumnKind::Categories(listed.clone().unwrap_or(found));
                return Ok(Column { name: name.clone(), kind, missing: rule.map(|_| 0.0) });
            }
            let kind =
                self.dates.get(name).map_or(ColumnKind::Number, |format| ColumnKind::Date(format.clone()));
            let missing = match rule {
                None => None,
                Some(MissingRule::Constant(constant)) => Some(constant),
                Some(MissingRule::Mean) if !statistics.has_values(at) => {
                    return Err(DataError::NoValues { path: path.to_owned(), column: name.clone() });
                }
                Some(MissingRule::Mean) => Some(statistics.mean_and_deviation(at).0),
            };
            if let Some(value) = missing {
                statistics.fill(at, value);
            }
            Ok(Column { name: name.clone(), kind, missing })
        };
        names.iter().enumerate().map(column).collect()
    }
}

/// A column of a table, as a model takes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// What stands in for a missing value, if one may be missing; 0 for categories, none of which the row then has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<f64>,
}

/// What a column holds.
///
/// This enum is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// Numbers.
    Number,
    /// Dates, which become days since 1970-01-01.
    Date(DateFormat),
    /// One of these categories, each of which is an input.
    Categories(Vec<String>),
}

impl Column {
    /// A column of numbers, none of which may be missing.
    pub fn number(name: &str) -> Self {
        Self { name: name.to_owned(), kind: ColumnKind::Number, missing: None }
    }

    /// Whether it is a column of numbers, none of which may be missing.
    pub fn is_plain(&self) -> bool {
        self.kind == ColumnKind::Number && self.missing.is_none()
    }

    /// The names of the inputs.
    pub fn inputs(&self) -> Vec<String> {
        match &self.kind {
            ColumnKind::Number | ColumnKind::Date(_) => vec![self.name.clone()],
            ColumnKind::Categories(names) => {
                names.iter().map(|category| format!("{}={category}", self.name)).collect()
            }
        }
    }

    /// How it is read.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            kind: match &self.kind {
                ColumnKind::Number => ReadAs::Number,
                ColumnKind::Date(format) => ReadAs::Date(format.clone()),
                ColumnKind::Categories(_) => ReadAs::Category,
            },
            may_miss: self.missing.is_some(),
        }
    }
}

/// How a column of features is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) kind: ReadAs,
    /// Whether a value may be missing; then NaN stands for it, or [`MISSING`] among categories.
    pub(crate) may_miss: bool,
}

impl Reading {
    /// A column that is read so; what is not known before its rows are seen is left out.
    pub(crate) fn column(&self, name: &str) -> Column {
        let kind = match &self.kind {
            ReadAs::Number => ColumnKind::Number,
            ReadAs::Date(format) => ColumnKind::Date(format.clone()),
            ReadAs::Category => ColumnKind::Categories(vec![]),
        };
        Column { name: name.to_owned(), kind, missing: self.may_miss.then_some(0.0) }
    }
}

/// What a column of features is read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadAs {
    Number,
    Date(DateFormat),
    Category,
}

/// Whether a text in a column of numbers or dates says that there is no value.
pub(crate) fn is_missing(text: &str) -> bool {
    ["", "NA", "NaN", "null"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Makes the inputs of a model of the columns that were read.
#[derive(Debug)]
pub(crate) struct Encoder {
    columns: Vec<Column>,
    /// Of each column of categories, the number of each of them.
    numbers: Vec<HashMap<String, usize>>,
    inputs: Vec<String>,
}

impl Encoder {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        let numbers = columns.iter().filter_map(|column| match &column.kind {
            ColumnKind::Categories(names) => Some(names.iter().cloned().zip(0..).collect()),
            _ => None,
        });
        Self {
            numbers: numbers.collect(),
            inputs: columns.iter().flat_map(Column::inputs).collect(),
            columns,
        }
    }

    /// The inputs of the rows of a block, not scaled yet.
    ///
    /// Fails if a category is unknown.
    pub(crate) fn encode(&self, features: Matrix, categories: &[Found]) -> Result<Matrix> {
        if self.columns.iter().all(Column::is_plain) {
            return Ok(features);
        }
        let width = self.inputs.len();
        let mut values = vec![0.0; features.rows() * width];
        let mut found = self.numbers.iter().zip(categories);
        let mut input = 0;
        for (at, column) in self.columns.iter().enumerate() {
            let inputs = values.chunks_exact_mut(width).map(|values| &mut values[input..]);
            let ColumnKind::Categories(names) = &column.kind else {
                for (row, inputs) in inputs.enumerate() {
                    let value = features.row(row)[at];
                    inputs[0] = if value.is_nan() { column.missing.unwrap_or(value) } else { value };
                }
                input += 1;
                continue;
            };
            if let Some((numbers, found)) = found.next() {
                let number = |(name, &first): (&String, &usize)| {
                    numbers.get(name).copied().ok_or_else(|| DataError::UnknownCategory {
                        place: features.place_in(first, column.name.clone()),
                        category: name.clone(),
                        known: names.clone(),
                    })
                };
                let numbers = found.names.iter().zip(&found.first).map(number);
                let numbers = numbers.collect::<Result<Vec<usize>>>()?;
                for (inputs, &label) in inputs.zip(&found.labels).filter(|(_, label)| **label != MISSING) {
                    inputs[numbers[label as usize]] = 1.0;
                }
            }
            input += names.len();
        }
        Ok(features.beside(self.inputs.clone(), values))
    }
}

#[cfg(test)]
mod tests;
