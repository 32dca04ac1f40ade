//! Predictions as CSV, and with the feature `parquet` as Parquet.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::atomic::{Access, AtomicFile};
use crate::error::{DataError, Result};
use crate::parquet::is_named_parquet;
use crate::table::Matrix;

/// Predictions of a model, in the order of the rows they were made for.
///
/// This enum is complete.
#[derive(Debug, Clone, Copy)]
pub enum Predictions<'a> {
    /// Of a classification.
    Classes {
        /// The names of the classes.
        names: &'a [String],
        /// Of every row, the index of the predicted class.
        labels: &'a [u32],
        /// Of every row, the probability of every class.
        probabilities: &'a Matrix,
    },
    /// Of a regression, in the unit of the target column.
    Numbers(&'a [f64]),
}

/// Fails if predictions cannot be written to a file of this name: with the ending `.parquet`, by a build without the feature `parquet`.
///
/// # Errors
///
/// In this case.
pub fn check_name(path: &Path) -> Result<()> {
    if cfg!(not(feature = "parquet")) && is_named_parquet(path) {
        let problem = "this build of shamisen does not write the format: build it with `--features parquet`, or let the name \
                       of the file end with .csv";
        return Err(DataError::ParquetOutput { path: path.to_owned(), problem });
    }
    Ok(())
}

/// Writes predictions to a file, which appears only when it is complete: Parquet if its name ends with `.parquet`, otherwise CSV.
///
/// The column `prediction` holds the class or the number; for classification a column `probability_<class>` follows
/// for each class, in CSV with six decimals. A path that is no regular file, such as a pipe, is written to directly.
///
/// # Errors
///
/// If lengths do not fit, or the file cannot be written; and as [`check_name`].
pub fn write_predictions(path: &Path, predictions: Predictions<'_>) -> Result<()> {
    check(predictions)?;
    check_name(path)?;
    let failed = |e| DataError::io("write", path, e);
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        return write_table(BufWriter::new(file), path, predictions).map(drop).map_err(failed);
    }
    let mut file =
        write_table(AtomicFile::create(path, Access::Public)?, path, predictions).map_err(failed)?;
    file.sync()?;
    file.publish()
}

/// Writes a file of this name, and gives the writer back.
fn write_table<W: Write + Send>(mut writer: W, path: &Path, predictions: Predictions<'_>) -> io::Result<W> {
    #[cfg(feature = "parquet")]
    if is_named_parquet(path) {
        return crate::parquet::write(writer, predictions);
    }
    debug_assert!(check_name(path).is_ok());
    write_rows(&mut writer, predictions)?;
    Ok(writer)
}

/// The name of the column with the probability of a class.
pub(crate) fn probability_name(class: &str) -> String {
    format!("probability_{class}")
}

/// Writes predictions as CSV, for instance to the standard output.
///
/// # Errors
///
/// If lengths do not fit, or the writer fails.
pub fn write_predictions_to(writer: impl Write, predictions: Predictions<'_>) -> Result<()> {
    check(predictions)?;
    write_rows(&mut BufWriter::new(writer), predictions)
        .map_err(|e| DataError::io("write", Path::new("the predictions"), e))
}

/// Fails if names, labels and probabilities do not fit together.
fn check(predictions: Predictions<'_>) -> Result<()> {
    let Predictions::Classes { names, labels, probabilities } = predictions else { return Ok(()) };
    let least = labels.iter().max().map_or(0, |&label| label as usize + 1);
    for (expected, found) in [
        (labels.len(), probabilities.rows()),
        (names.len(), probabilities.cols()),
        (least.max(names.len()), names.len()),
    ] {
        if expected != found {
            return Err(DataError::Length { operation: "writing predictions", expected, found });
        }
    }
    Ok(())
}

fn write_rows(writer: &mut dyn Write, predictions: Predictions<'_>) -> io::Result<()> {
    let mut csv = ::csv::Writer::from_writer(writer);
    match predictions {
        Predictions::Numbers(numbers) => {
            csv.write_record(["prediction"])?;
            for number in numbers {
                csv.write_record([number.to_string()])?;
            }
        }
        Predictions::Classes { names, labels, probabilities } => {
            csv.write_field("prediction")?;
            csv.write_record(names.iter().map(|name| probability_name(name)))?;
            for (row, &label) in labels.iter().enumerate() {
                csv.write_field(&names[label as usize])?;
                csv.write_record(probabilities.row(row).iter().map(|value| format!("{value:.6}")))?;
            }
        }
    }
    csv.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(predictions: Predictions<'_>) -> String {
        let mut bytes = vec![];
        write_predictions_to(&mut bytes, predictions).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn classes_have_probabilities() {
        let names = ["no".to_owned(), "yes, \"surely\"".to_owned()];
        let probabilities = Matrix::new(2, 2, vec![0.25, 0.75, 1.0, 0.0]).unwrap();
        let predictions =
            Predictions::Classes { names: &names, labels: &[1, 0], probabilities: &probabilities };
        assert_eq!(
            text(predictions),
            "prediction,probability_no,\"probability_yes, \"\"surely\"\"\"\n\
             \"yes, \"\"surely\"\"\",0.250000,0.750000\nno,1.000000,0.000000\n"
        );
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        let numbers = [1.5, -0.1, 1e-7, 300.0];
        let text = text(Predictions::Numbers(&numbers));
        let back: Vec<f64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        assert!(text.starts_with("prediction\n"));
        assert_eq!(back, numbers);
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn a_build_without_parquet_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.Parquet");
        let message = write_predictions(&path, Predictions::Numbers(&[2.0])).unwrap_err().to_string();
        assert!(message.contains("out.Parquet") && message.contains("--features parquet"), "{message}");
        assert!(!path.exists());
    }

    /// What is written is read back by the reader of tables.
    #[cfg(feature = "parquet")]
    #[test]
    fn parquet_files_are_read_back() {
        use crate::prepare::{PrepareOptions, Source, prepare};

        use crate::table::TargetKind;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.parquet");
        let read = |target: &str, kind| {
            let source = Source::Files {
                files: vec![path.clone()],
                target: Some(target.to_owned()),
                kind: Some(kind),
            };
            let options = PrepareOptions::as_it_is(source);
            prepare(&options)
        };
        let names = ["no".to_owned(), "yes, \"surely\".ä".to_owned()];
        let labels: Vec<u32> = (0..5000).map(|row| row * 7 % 2).collect();
        let values: Vec<f64> = (0..10_000).map(|at| f64::from(at) / 3.0).collect();
        let probabilities = Matrix::new(5000, 2, values.clone()).unwrap();
        let classes = Predictions::Classes { names: &names, labels: &labels, probabilities: &probabilities };
        write_predictions(&path, classes).unwrap();
        let back = read("prediction", TargetKind::Classes).unwrap();
        assert_eq!(back.train.features.values(), values);
        assert_eq!(back.preprocessing.feature_names, names.each_ref().map(|name| probability_name(name)));
        assert_eq!(back.preprocessing.classes, names);
        assert!(
            labels.iter().enumerate().all(|(row, &label)| back.train.targets.row(row)[label as usize] > 0.5)
        );
        // Numbers are the only column.
        write_predictions(&path, Predictions::Numbers(&[1.5, -0.1])).unwrap();
        let message = read("prediction", TargetKind::Number).unwrap_err().to_string();
        assert!(message.contains("no column besides the target"), "{message}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        write_predictions(&path, Predictions::Numbers(&[])).unwrap();
    }

    #[test]
    fn lengths_must_fit() {
        let names = ["a".to_owned(), "b".to_owned()];
        let probabilities = Matrix::new(1, 2, vec![0.5; 2]).unwrap();
        for (names, labels) in [(&names[..], &[0, 1][..]), (&names[..1], &[0]), (&names[..], &[2])] {
            let predictions = Predictions::Classes { names, labels, probabilities: &probabilities };
            let message = write_predictions_to(vec![], predictions).unwrap_err().to_string();
            assert!(message.starts_with("writing predictions: "), "{message}");
        }
    }

    #[test]
    fn a_file_appears_whole_and_a_device_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        write_predictions(&path, Predictions::Numbers(&[2.0])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "prediction\n2\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        write_predictions(Path::new("/dev/null"), Predictions::Numbers(&[2.0])).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let message =
            write_predictions(&dir.path().join("no/out.csv"), Predictions::Numbers(&[])).unwrap_err();
        assert!(message.to_string().ends_with("no does not exist: check the path"), "{message}");
    }
}
