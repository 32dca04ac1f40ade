//! Rows in memory, and the names of columns and classes.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::columns::Column;
use crate::error::Place;

/// What the target column holds, and with it the task.
///
/// This enum is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetKind {
    /// Class labels of any text: classification.
    #[serde(rename = "classification")]
    Classes,
    /// Numbers: regression.
    #[serde(rename = "regression")]
    Number,
}

/// The columns that a model knows, and the classes of a classification.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The feature columns in the order of the model's inputs.
    pub columns: Vec<Column>,
    /// The target column.
    pub target_name: String,
    /// The classes in the order of the model's outputs, or `None` for regression.
    pub classes: Option<Vec<String>>,
}

/// Numbers in rows and columns, row after row, which remember the file and row they were read from.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    values: Vec<f64>,
    origin: Option<Origin>,
}

impl Matrix {
    /// A matrix of `rows` x `cols` values, row after row; `None` if `values` has another length.
    pub fn new(rows: usize, cols: usize, values: Vec<f64>) -> Option<Self> {
        (rows.checked_mul(cols)? == values.len()).then_some(Self { rows, cols, values, origin: None })
    }

    /// A matrix with as many rows as `origin` has.
    pub(crate) fn with_origin(cols: usize, values: Vec<f64>, origin: Origin) -> Self {
        debug_assert_eq!(values.len(), origin.rows.len() * cols);
        Self { rows: origin.rows.len(), cols, values, origin: Some(origin) }
    }

    /// The values for change in place.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values of a row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f64] {
        assert!(row < self.rows, "row {row} of a matrix of {} rows", self.rows);
        &self.values[row * self.cols..][..self.cols]
    }

    /// Where the value at `row`, `col` (from 0) was read.
    pub fn place(&self, row: usize, col: usize) -> Place {
        let named = self.origin.as_ref().and_then(|origin| origin.columns.get(col));
        self.place_in(row, named.cloned().unwrap_or_else(|| (col + 1).to_string()))
    }

    /// Where the value of another column of this row was read.
    pub(crate) fn place_in(&self, row: usize, column: String) -> Place {
        match self.origin.as_ref().and_then(|origin| Some((origin, origin.rows.get(row)?))) {
            Some((origin, &(file, row))) => {
                Place { file: origin.files.get(file as usize).cloned(), row, column }
            }
            None => Place { file: None, row: row as u64 + 1, column },
        }
    }

    /// Other columns of the same rows.
    pub(crate) fn beside(&self, columns: Vec<String>, values: Vec<f64>) -> Self {
        debug_assert_eq!(values.len(), self.rows * columns.len());
        let cols = columns.len();
        let origin = self.origin.clone().map(|origin| Origin { columns: columns.into(), ..origin });
        Self { rows: self.rows, cols, values, origin }
    }

    /// Takes the rows marked `true` into a second matrix, and keeps the order of both parts.
    ///
    /// The first part stays in its memory.
    pub(crate) fn split(self, second: &[bool]) -> (Self, Self) {
        let (kept, taken) = split_rows(self.values, self.cols, second);
        let (kept_origin, taken_origin) = match self.origin {
            Some(origin) => {
                let (kept, taken) = split_rows(origin.rows.to_vec(), 1, second);
                let taken = Origin { rows: taken.into(), ..origin.clone() };
                (Some(Origin { rows: kept.into(), ..origin }), Some(taken))
            }
            None => (None, None),
        };
        let taken_rows = second.iter().filter(|&&is_second| is_second).count();
        let kept_rows = self.rows - taken_rows;
        (
            Self { rows: kept_rows, cols: self.cols, values: kept, origin: kept_origin },
            Self { rows: taken_rows, cols: self.cols, values: taken, origin: taken_origin },
        )
    }
}

/// Where the rows of a matrix were read, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) files: Arc<[PathBuf]>,
    /// Of every row, the index of its file and the row as in the file.
    pub(crate) rows: Arc<[(u32, u64)]>,
    pub(crate) columns: Arc<[String]>,
}

/// Moves the rows marked `true` to a second vector.
fn split_rows<T: Copy>(mut values: Vec<T>, cols: usize, second: &[bool]) -> (Vec<T>, Vec<T>) {
    debug_assert_eq!(values.len(), second.len() * cols);
    let mut taken = Vec::with_capacity(cols * second.iter().filter(|&&is_second| is_second).count());
    let mut kept = 0;
    for (row, &is_second) in second.iter().enumerate() {
        let from = row * cols..(row + 1) * cols;
        if is_second {
            taken.extend_from_slice(&values[from]);
        } else {
            values.copy_within(from, kept);
            kept += cols;
        }
    }
    values.truncate(kept);
    values.shrink_to_fit();
    (values, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_has_as_many_values_as_it_says() {
        assert!(Matrix::new(2, 3, vec![0.0; 6]).is_some());
        assert!(Matrix::new(2, 3, vec![0.0; 5]).is_none());
        assert!(Matrix::new(usize::MAX, 3, vec![]).is_none());
    }

    #[test]
    fn a_split_keeps_order_and_origin() {
        let origin = Origin {
            files: [PathBuf::from("a.csv"), PathBuf::from("b.csv")].into(),
            rows: [(0, 2), (0, 3), (1, 2), (1, 4)].into(),
            columns: ["x".to_owned(), "y".to_owned()].into(),
        };
        let matrix = Matrix::with_origin(2, vec![1., 2., 3., 4., 5., 6., 7., 8.], origin);
        let (first, second) = matrix.split(&[true, false, true, false]);
        assert_eq!((first.rows(), first.values()), (2, &[3., 4., 7., 8.][..]));
        assert_eq!((second.rows(), second.values()), (2, &[1., 2., 5., 6.][..]));
        assert_eq!(first.place(1, 1).to_string(), "b.csv, row 4, column `y`");
        assert_eq!(second.place(0, 0).to_string(), "a.csv, row 2, column `x`");
    }

    #[test]
    fn a_matrix_made_in_memory_counts_from_one() {
        let matrix = Matrix::new(1, 2, vec![0.0; 2]).unwrap();
        assert_eq!(matrix.place(0, 1).to_string(), "row 1, column `2`");
    }
}
