//! Synthetic tables of any size with something to learn, for benchmarks and trials.
//!
//! The features `x0`, `x1`, ... are independent, of mean 0 and variance 1, and nearly normal (each is the sum of four
//! uniform numbers). The target `y` is what a teacher says of them, with noise: a network with one hidden layer of 16 units
//! and `ReLU`, whose weights are normal. A regression's target has variance 1 or so, and noise of standard deviation 0.1; a
//! class is the largest of the teacher's outputs, each with such noise.
//!
//! The same seed, columns and task give the same rows, however many of them there are.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::atomic::{Access, AtomicFile};
use crate::error::DataError;
use crate::npy::header_of_floats;
use crate::pipeline::in_order;
use crate::prepare::Examples;
use crate::table::Matrix;

/// Hidden units of the teacher.
const HIDDEN: usize = 16;

/// Standard deviation of the noise.
const NOISE: f32 = 0.1;

/// Rows that have a stream of random numbers in common.
const ROWS: usize = 1024;

/// Numbers are multiples of 1 / 10000.
const UNIT: f32 = 10_000.0;

/// Most classes.
pub const MAX_CLASSES: usize = 100;

/// What is generated.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// Rows.
    pub rows: u64,
    /// Columns of features.
    pub columns: usize,
    /// The number of classes, or `None` for a regression.
    pub classes: Option<usize>,
    /// The seed.
    pub seed: u64,
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Npy,
}

impl Synthetic {
    /// Writes the table to a file, whose name ends with `.csv` or `.npy` (4-byte floats, the target in the last column).
    ///
    /// The file appears when it is complete. `check` is asked from time to time whether to go on. Memory does not grow with
    /// the number of rows.
    ///
    /// # Errors
    ///
    /// If there are no rows or columns, or fewer than two or more than [`MAX_CLASSES`] classes; if the name ends otherwise;
    /// if the file cannot be written; and those of `check`.
    pub fn write<E: From<DataError>>(
        &self,
        path: &Path,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Format::Csv,
            Some("npy") => Format::Npy,
            _ => return Err(DataError::TableFormat { path: path.to_owned() }.into()),
        };
        self.check()?;
        let teacher = Teacher::new(self);
        let mut file = AtomicFile::create(path, Access::Public)?;
        file.append(&match format {
            Format::Npy => header_of_floats(self.rows, self.columns + 1),
            Format::Csv => {
                let mut names: Vec<String> = (0..self.columns).map(|column| format!("x{column}")).collect();
                names.push("y\n".to_owned());
                names.join(",").into_bytes()
            }
        })?;
        let blocks = (0..self.rows).step_by(ROWS).map(Ok);
        in_order(
            blocks,
            |first| Ok(bytes(&teacher.rows(self, first), self.columns + 1, format)),
            |bytes: Vec<u8>| {
                check()?;
                Ok::<_, E>(file.append(&bytes)?)
            },
        )?;
        file.sync()?;
        Ok(file.publish()?)
    }

    /// Gives the rows of the same table to `sink`, a block at a time and in order, without a file.
    ///
    /// The targets have a column for each class, 1 in that of the row's class, or one column. Memory does not grow with the
    /// number of rows.
    ///
    /// # Errors
    ///
    /// Those of [`Self::write`] about rows, columns and classes; and those of `sink`.
    pub fn each<E: From<DataError>>(&self, sink: impl FnMut(Examples) -> Result<(), E>) -> Result<(), E> {
        self.check()?;
        let teacher = Teacher::new(self);
        let blocks = (0..self.rows).step_by(ROWS).map(Ok);
        in_order(blocks, |first| Ok(self.examples(&teacher.rows(self, first))), sink)
    }

    fn check(&self) -> Result<(), DataError> {
        if self.rows == 0 || self.columns == 0 {
            let problem = "a table needs at least one row and one column of features";
            return Err(DataError::Generate { problem });
        }
        if self.classes.is_some_and(|classes| !(2..=MAX_CLASSES).contains(&classes)) {
            return Err(DataError::Generate { problem: "a class is one of 2 to 100" });
        }
        Ok(())
    }

    /// Rows with features and target as numbers.
    fn examples(&self, numbers: &[i32]) -> Examples {
        let rows = numbers.len() / (self.columns + 1);
        let outputs = self.classes.unwrap_or(1);
        let mut features = Vec::with_capacity(rows * self.columns);
        let mut targets = vec![0.0; rows * outputs];
        for (row, target) in numbers.chunks_exact(self.columns + 1).zip(targets.chunks_exact_mut(outputs)) {
            let mut values = row.iter().map(|&number| f64::from(number as f32 / UNIT));
            features.extend(values.by_ref().take(self.columns));
            let value = values.next().unwrap_or_default();
            match self.classes {
                // Classes are whole numbers.
                Some(_) => target[value as usize] = 1.0,
                None => target[0] = value,
            }
        }
        let matrix = |cols, values| Matrix::new(rows, cols, values).expect("rows times columns values");
        Examples { features: matrix(self.columns, features), targets: matrix(outputs, targets) }
    }
}

/// The network that knows the targets.
struct Teacher {
    /// Of each feature, the weights of its edges to the hidden units.
    first: Vec<[f32; HIDDEN]>,
    /// Of each output, the weights of the hidden units.
    second: Vec<[f32; HIDDEN]>,
}

impl Teacher {
    fn new(synthetic: &Synthetic) -> Self {
        // Rows have the streams from 1 on.
        let mut random = ChaCha8Rng::seed_from_u64(synthetic.seed);
        let mut layer = |inputs: usize, scale: f32| -> Vec<[f32; HIDDEN]> {
            (0..inputs).map(|_| std::array::from_fn(|_| normal(&mut random) * scale)).collect()
        };
        let first = layer(synthetic.columns, 1.0 / (synthetic.columns as f32).sqrt());
        // The rectified sums have variance 0.34.
        let second = layer(synthetic.classes.unwrap_or(1), 1.0 / (0.34 * HIDDEN as f32).sqrt());
        Self { first, second }
    }

    /// Some rows from `first` on: features and target as multiples of 1 / 10000.
    fn rows(&self, synthetic: &Synthetic, first: u64) -> Vec<i32> {
        let count = (synthetic.rows - first).min(ROWS as u64) as usize;
        let mut random = ChaCha8Rng::seed_from_u64(synthetic.seed);
        random.set_stream(1 + first / ROWS as u64);
        let mut numbers = vec![0_i32; count * (synthetic.columns + 1)];
        for row in numbers.chunks_exact_mut(synthetic.columns + 1) {
            let (features, target) = row.split_at_mut(synthetic.columns);
            for feature in features.iter_mut() {
                *feature = (normal(&mut random) * UNIT).round() as i32;
            }
            let outputs = self.outputs(features).map(|output| output + NOISE * normal(&mut random));
            target[0] = if synthetic.classes.is_some() {
                let start = (0, f32::NEG_INFINITY);
                let larger = |best: (i32, f32), (at, value)| if value > best.1 { (at, value) } else { best };
                (0..).zip(outputs).fold(start, larger).0 * UNIT as i32
            } else {
                (outputs.sum::<f32>() * UNIT).round() as i32
            };
        }
        numbers
    }

    fn outputs(&self, features: &[i32]) -> impl Iterator<Item = f32> {
        let mut hidden = [0.0_f32; HIDDEN];
        for (feature, weights) in features.iter().zip(&self.first) {
            let feature = *feature as f32 / UNIT;
            for (hidden, weight) in hidden.iter_mut().zip(weights) {
                *hidden += feature * weight;
            }
        }
        let hidden = hidden.map(|sum| sum.max(0.0));
        self.second.iter().map(move |weights| hidden.iter().zip(weights).map(|(a, b)| a * b).sum())
    }
}

/// Rows of so many numbers as they are in a file.
fn bytes(numbers: &[i32], columns: usize, format: Format) -> Vec<u8> {
    if format == Format::Npy {
        return numbers.iter().flat_map(|&number| (number as f32 / UNIT).to_le_bytes()).collect();
    }
    let mut bytes = Vec::with_capacity(numbers.len() * 8);
    for row in numbers.chunks_exact(columns) {
        for &number in row {
            push_number(&mut bytes, number);
            bytes.push(b',');
        }
        if let Some(last) = bytes.last_mut() {
            *last = b'\n';
        }
    }
    bytes
}

/// A number of mean 0 and variance 1, nearly normal.
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let word = random.next_u64();
    let sum: u64 = (0..4).map(|part| word >> (16 * part) & 0xffff).sum();
    // Four uniform numbers of variance 1 / 12 each.
    (sum as f32 / 65536.0 - 2.0) * 3.0_f32.sqrt()
}

/// Appends a multiple of 1 / 10000, with as many digits as it needs.
fn push_number(bytes: &mut Vec<u8>, number: i32) {
    if number < 0 {
        bytes.push(b'-');
    }
    let (whole, mut rest) = (number.unsigned_abs() / 10_000, number.unsigned_abs() % 10_000);
    if whole < 10 {
        bytes.push(b'0' + whole as u8);
    } else {
        bytes.extend_from_slice(whole.to_string().as_bytes());
    }
    if rest > 0 {
        bytes.push(b'.');
    }
    let mut place = 1000;
    while rest > 0 {
        bytes.push(b'0' + (rest / place) as u8);
        rest %= place;
        place /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(synthetic: &Synthetic) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        synthetic.write(&path, || Ok::<_, DataError>(())).unwrap();
        fs::read_to_string(path).unwrap()
    }

    fn numbers(text: &str) -> Vec<Vec<f64>> {
        let rows = text.lines().skip(1);
        rows.map(|row| row.split(',').map(|cell| cell.parse().unwrap()).collect()).collect()
    }

    #[test]
    fn numbers_have_four_decimals_at_most() {
        for (number, expected) in [
            (0, "0"),
            (10_000, "1"),
            (-15_000, "-1.5"),
            (123_456, "12.3456"),
            (-7, "-0.0007"),
            (20_030, "2.003"),
        ] {
            let mut bytes = vec![];
            push_number(&mut bytes, number);
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn rows_are_the_same_in_both_formats_and_do_not_depend_on_their_number() {
        let synthetic = Synthetic { rows: 2500, columns: 3, classes: None, seed: 5 };
        let table = text(&synthetic);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        synthetic.write(&path, || Ok::<_, DataError>(())).unwrap();
        let bytes = fs::read(path).unwrap();
        let header = header_of_floats(2500, 4);
        assert!(bytes.starts_with(&header));
        let (words, _) = bytes[header.len()..].as_chunks::<4>();
        let floats: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let rows = numbers(&table).concat();
        assert_eq!(rows.len(), floats.len());
        assert!(rows.iter().zip(&floats).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-6));
        assert!(table.starts_with("x0,x1,x2,y\n"));
        let fewer = text(&Synthetic { rows: 1500, ..synthetic.clone() });
        assert!(table.starts_with(&fewer));
        assert_ne!(text(&Synthetic { seed: 6, ..synthetic }), table);
    }

    #[test]
    fn rows_without_a_file_are_those_of_the_file() {
        for classes in [None, Some(3)] {
            let synthetic = Synthetic { rows: 2500, columns: 3, classes, seed: 5 };
            let table = numbers(&text(&synthetic)).into_iter();
            let (mut features, mut targets) = (vec![], vec![]);
            let done = synthetic.each(|examples| {
                features.extend_from_slice(examples.features.values());
                targets.extend_from_slice(examples.targets.values());
                Ok::<_, DataError>(())
            });
            assert!(done.is_ok() && features.len() == 7500);
            for ((row, features), targets) in
                table.zip(features.chunks(3)).zip(targets.chunks(classes.unwrap_or(1)))
            {
                assert!(row.iter().zip(features).all(|(a, b)| (a - b).abs() < 1e-6), "{row:?} {features:?}");
                let expected: Vec<f64> = match classes {
                    None => vec![row[3]],
                    Some(count) => {
                        (0..count).map(|class| f64::from((class as f64 - row[3]).abs() < 0.5)).collect()
                    }
                };
                assert!(
                    expected.iter().zip(targets).all(|(a, b)| (a - b).abs() < 1e-6),
                    "{row:?} {targets:?}"
                );
            }
        }
    }

    #[test]
    fn features_are_standardised_and_targets_depend_on_them() {
        let rows = numbers(&text(&Synthetic { rows: 20_000, columns: 5, classes: Some(3), seed: 1 }));
        for column in 0..5 {
            let mean = rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
            let square = rows.iter().map(|row| row[column].powi(2)).sum::<f64>() / rows.len() as f64;
            assert!(mean.abs() < 0.05 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        }
        let mean_of = |class: f64, column: usize| {
            let of_class = || rows.iter().filter(|row| (row[5] - class).abs() < 0.5);
            of_class().map(|row| row[column]).sum::<f64>() / of_class().count() as f64
        };
        let spread = (0..5).map(|column| (mean_of(0.0, column) - mean_of(1.0, column)).abs());
        assert!(spread.fold(0.0, f64::max) > 0.3);
        assert!(rows.iter().all(|row| [0.0, 1.0, 2.0].contains(&row[5])));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = Synthetic { rows: 1, columns: 1, classes: None, seed: 1 };
        let dir = tempfile::tempdir().unwrap();
        let message = |synthetic: &Synthetic, name: &str| {
            synthetic.write(&dir.path().join(name), || Ok::<_, DataError>(())).unwrap_err().to_string()
        };
        assert!(message(&good, "a.txt").contains("a.txt"));
        assert!(message(&Synthetic { rows: 0, ..good.clone() }, "a.csv").contains("at least one row"));
        assert!(message(&Synthetic { classes: Some(1), ..good.clone() }, "a.csv").contains("2 to 100"));
        let path = dir.path().join("a.csv");
        good.write(&path, || Err(DataError::NoFiles)).unwrap_err();
        let nothing = Synthetic { rows: 0, ..good.clone() };
        assert!(
            nothing.each(|_| Ok::<_, DataError>(())).unwrap_err().to_string().contains("at least one row")
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
