//! A shared table, as its owner has it.

use std::path::Path;

use shamisen_data::dataset::{self, DatasetDescription};
use shamisen_data::model::PREPROCESSING_FILE;
use shamisen_data::scaling::Preprocessing;

use crate::failure::{Failure, Result};
use crate::share::party_dirs;

/// Reads what is known of the data set in a directory that `share` wrote.
///
/// # Errors
///
/// If a file is missing or damaged, or they do not fit together.
pub fn read_shares(dir: &Path) -> Result<(DatasetDescription, Preprocessing)> {
    if !dir.is_dir() {
        return Err(Failure::input(format!(
            "{} is no directory: name the directory that `shamisen share` wrote",
            dir.display()
        )));
    }
    let description = dataset::read_descriptions(&party_dirs(dir))?;
    let path = dir.join(PREPROCESSING_FILE);
    let preprocessing = Preprocessing::read(&path)?;
    if preprocessing.kind() != description.task
        || preprocessing.feature_names.len() != description.features
        || preprocessing.outputs() != description.outputs
    {
        return Err(Failure::input(format!(
            "{} does not fit the shares beside it: use the files of one sharing",
            path.display()
        )));
    }
    Ok((description, preprocessing))
}
