//! Sharing: the shares of a table, for three servers.

use std::path::{Path, PathBuf};

use shamisen_data::DataError;
use shamisen_data::dataset::{DatasetDescription, share};
use shamisen_data::model::PREPROCESSING_FILE;
use shamisen_data::prepare::PrepareOptions;
use shamisen_data::shares::random_id;
use shamisen_data::survey::Survey;
use shamisen_data::table::TargetKind;
use shamisen_nn::formats::width_frac;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::progress::Progress;
use crate::store::{Staged, check_new_dir, create_secret_dir};

/// The directory of each server in a directory of shares.
pub fn party_dirs(dir: &Path) -> [PathBuf; 3] {
    [0, 1, 2].map(|party| dir.join(format!("party{party}")))
}

/// Shares a table for networks whose widest layer has so many units, among the three directories in `output`, which appears when
/// it is complete.
///
/// # Errors
///
/// If the table is not as it must be, a file cannot be written, or it is asked to stop.
pub fn share_table(
    options: &PrepareOptions,
    widest_layer: usize,
    output: &Path,
    progress: &mut dyn Progress,
) -> Result<DatasetDescription> {
    check_new_dir(output, "shares")?;
    let survey = look_at(options, progress)?;
    let staged = Staged::new(output)?;
    let dirs = party_dirs(staged.path());
    dirs.iter()
        .try_for_each(|dir| create_secret_dir(dir))
        .map_err(|error| Failure::file("write", output, &error))?;
    let width = survey.preprocessing().feature_names.len().max(survey.outputs()).max(widest_layer);
    let frac = width_frac(width);
    let fracs = match survey.preprocessing().kind() {
        Some(TargetKind::Classes) | None => (frac, 0),
        Some(TargetKind::Number) => (frac, frac),
    };
    let id = random_id()?;
    let parties = dirs.each_ref().map(PathBuf::as_path);
    let description = share_among(&survey, parties, &id, fracs, progress).map_err(|stop| match stop {
        // The name of the directory that the user knows.
        Stop::Data(DataError::DiskFull { .. }) => DataError::DiskFull { path: output.to_owned() }.into(),
        stop => Failure::from(stop),
    })?;
    survey.preprocessing().write(&staged.path().join(PREPROCESSING_FILE))?;
    interrupt::check()?;
    staged.publish()?;
    Ok(description)
}

/// Reads a table for the first time.
pub(crate) fn look_at(options: &PrepareOptions, progress: &mut dyn Progress) -> Result<Survey> {
    progress.reading();
    let survey = Survey::new(options)?;
    progress.done();
    Ok(survey)
}

/// Shares a table among three directories, and stops if it is asked to.
pub(crate) fn share_among(
    survey: &Survey,
    dirs: [&Path; 3],
    dataset: &str,
    fracs: (u32, u32),
    progress: &mut dyn Progress,
) -> std::result::Result<DatasetDescription, Stop> {
    let all = survey.rows() + survey.test_rows().unwrap_or(0);
    progress.sharing(0, all);
    let description = share(survey, dirs, dataset, fracs, |rows| {
        progress.sharing(rows, all);
        interrupt::check().map_err(Stop::Failure)
    })?;
    progress.done();
    Ok(description)
}

/// Why sharing does not go on.
///
/// This enum is complete.
#[derive(Debug)]
pub enum Stop {
    /// The data, or the files.
    Data(DataError),
    /// It was asked to stop.
    Failure(Failure),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Data(error) => error.into(),
            Stop::Failure(failure) => failure,
        }
    }
}

impl From<DataError> for Stop {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}
