//! Predictions as CSV.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::atomic::{Access, AtomicFile};
use crate::error::{DataError, Result};
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

/// Writes predictions to a CSV file, which appears only when it is complete.
///
/// The column `prediction` holds the class or the number; for classification a column `probability_<class>` follows
/// for each class, with six decimals. A path that is no regular file, such as a pipe, is written to directly.
///
/// # Errors
///
/// If lengths do not fit, or the file cannot be written.
pub fn write_predictions(path: &Path, predictions: Predictions<'_>) -> Result<()> {
    check(predictions)?;
    let write =
        |writer: &mut dyn Write| write_rows(writer, predictions).map_err(|e| DataError::io("write", path, e));
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let file = OpenOptions::new().write(true).open(path).map_err(|e| DataError::io("write", path, e))?;
        return write(&mut BufWriter::new(file));
    }
    let mut file = AtomicFile::create(path, Access::Public)?;
    write(&mut file)?;
    file.sync()?;
    file.publish()
}

/// Writes predictions as [`write_predictions`] does, for instance to the standard output.
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
            csv.write_record(names.iter().map(|name| format!("probability_{name}")))?;
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
