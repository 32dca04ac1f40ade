//! `share`: the shares of a table, for three servers.

use std::path::{Path, PathBuf};
use std::time::Instant;

use shamisen_data::DataError;
use shamisen_data::dataset::{DatasetDescription, share};
use shamisen_data::model::PREPROCESSING_FILE;
use shamisen_data::prepare::PrepareOptions;
use shamisen_data::shares::random_id;
use shamisen_data::survey::Survey;
use shamisen_data::table::TargetKind;
use shamisen_nn::formats::width_frac;

use crate::args::ShareArguments;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::progress::Reading;
use crate::store::{Staged, check_new_dir, create_secret_dir};
use crate::summary::{counted, seconds};

/// The directory of each server in a directory of shares.
pub(crate) fn party_dirs(dir: &Path) -> [PathBuf; 3] {
    [0, 1, 2].map(|party| dir.join(format!("party{party}")))
}

/// Carries out `share`.
pub(crate) fn run(arguments: &ShareArguments) -> Result<()> {
    let options = arguments.fields().table()?;
    interrupt::install();
    check_new_dir(&arguments.output, "shares")?;
    let started = Instant::now();
    let survey = look_at(&options)?;
    let description = write(&survey, arguments)?;
    let time = seconds(started.elapsed().as_secs_f64());
    crate::print(&text(&description, &arguments.output, &time))
}

/// Writes the directory, which appears when it is complete.
fn write(survey: &Survey, arguments: &ShareArguments) -> Result<DatasetDescription> {
    let output = &arguments.output;
    let staged = Staged::new(output)?;
    let dirs = party_dirs(staged.path());
    dirs.iter()
        .try_for_each(|dir| create_secret_dir(dir))
        .map_err(|error| Failure::file("write", output, &error))?;
    let width = survey.preprocessing().feature_names.len().max(survey.outputs()).max(arguments.widest_layer);
    let frac = width_frac(width);
    let fracs = match survey.preprocessing().kind() {
        TargetKind::Classes => (frac, 0),
        TargetKind::Number => (frac, frac),
    };
    let id = random_id()?;
    let parties = dirs.each_ref().map(PathBuf::as_path);
    let description = share_among(survey, parties, &id, fracs).map_err(|stop| match stop {
        // The name of the directory that the user knows.
        Stop::Data(DataError::DiskFull { .. }) => DataError::DiskFull { path: output.clone() }.into(),
        stop => Failure::from(stop),
    })?;
    survey.preprocessing().write(&staged.path().join(PREPROCESSING_FILE))?;
    interrupt::check()?;
    staged.publish()?;
    Ok(description)
}

/// Reads a table for the first time and shows that something happens.
pub(crate) fn look_at(options: &PrepareOptions) -> Result<Survey> {
    let _display = Reading::first_pass();
    Ok(Survey::new(options)?)
}

/// Shares a table among three directories, shows how far that is, and stops after Ctrl-C.
pub(crate) fn share_among(
    survey: &Survey,
    dirs: [&Path; 3],
    dataset: &str,
    fracs: (u32, u32),
) -> std::result::Result<DatasetDescription, Stop> {
    let display = Reading::sharing(survey.rows() + survey.test_rows().unwrap_or(0));
    share(survey, dirs, dataset, fracs, |rows| {
        display.show(rows);
        interrupt::check().map_err(Stop::Failure)
    })
}

/// Why sharing does not go on.
pub(crate) enum Stop {
    /// The data, or the files.
    Data(DataError),
    /// Ctrl-C.
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

fn text(description: &DatasetDescription, output: &Path, time: &str) -> String {
    let test =
        description.test_rows.map_or_else(|| "no test rows".to_owned(), |rows| counted(rows, "test row"));
    let dir = output.display();
    format!(
        "shared         {}, {test}, {}, in {time}\n\
         data set       {}\n\
         to the servers {dir}/party0, {dir}/party1, {dir}/party2: one each, and to nobody a second one\n\
         stays          {dir}/{PREPROCESSING_FILE}: statistics of the table, for those who predict\n",
        counted(description.rows, "training row"),
        counted(description.features, "feature"),
        description.id,
    )
}
