//! Shared data sets: what three servers hold of a table, and what is publicly known of it.
//!
//! The directory of each server has the share files of features and targets, to train on and to test on, and the public
//! description `dataset.json`, the same at all three. It has counts, but no names and no statistics: those stay with the
//! owner, in `preprocessing.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::prepare::Part;
use crate::sealed;
use crate::shared_scaling;
use crate::shares::{Dealer, MAX_FRAC, ShareFile, share_path};
use crate::survey::Survey;
use crate::table::TargetKind;

/// The name of the description in a server's directory.
pub const DESCRIPTION_FILE: &str = "dataset.json";

/// The version of the description.
pub const VERSION: u32 = 1;

const FORMAT: &str = "shamisen-dataset-1";

/// What is publicly known of a shared data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetDescription {
    /// An id from [`crate::shares::random_id`], which all share files of the data set have.
    pub id: String,
    /// [`VERSION`].
    pub version: u32,
    /// The task; `None` without a target: features for a training with the target of another data set.
    pub task: Option<TargetKind>,
    /// Training rows.
    pub rows: usize,
    /// Test rows, if any are held out.
    pub test_rows: Option<usize>,
    /// Columns of the features.
    pub features: usize,
    /// Columns of the targets: one for each class, 1 for a number, 0 without a target.
    pub outputs: usize,
    /// Fractional bits of the features.
    pub feature_frac: u32,
    /// Fractional bits of the targets.
    pub target_frac: u32,
    /// The least k ≥ 0 such that the magnitude of no target, as scaled, exceeds 2^k.
    pub target_bits: u32,
}

impl DatasetDescription {
    /// The rows of a part.
    pub fn rows_of(&self, part: Part) -> Option<usize> {
        match part {
            Part::Train => Some(self.rows),
            Part::Test => self.test_rows,
        }
    }

    /// The matrices of all its parts.
    pub fn matrices(&self) -> Vec<MatrixDescription> {
        let of = |part: Part| {
            let rows = self.rows_of(part)?;
            let (features, targets) = (part.features(), part.targets());
            Some([
                MatrixDescription { name: features, rows, cols: self.features, frac: self.feature_frac },
                MatrixDescription { name: targets, rows, cols: self.outputs, frac: self.target_frac },
            ])
        };
        let all = [Part::Train, Part::Test].into_iter().filter_map(of).flatten();
        all.filter(|matrix| matrix.cols > 0).collect()
    }

    /// What makes no sense about it, if anything does not.
    pub fn problem(&self) -> Option<&'static str> {
        if self.version != VERSION {
            return Some("its version is another one");
        }
        if self.rows == 0 || self.test_rows == Some(0) || self.features == 0 {
            return Some("a number of rows or columns is 0");
        }
        let fits = match self.task {
            Some(TargetKind::Classes) => self.outputs > 1,
            Some(TargetKind::Number) => self.outputs == 1,
            None => self.outputs == 0,
        };
        if !fits {
            return Some("a classification has at least two classes, and a regression has one target");
        }
        if self.feature_frac > MAX_FRAC || self.target_frac > MAX_FRAC || self.target_bits > MAX_FRAC {
            return Some("a number of bits is out of range");
        }
        None
    }
}

/// Shares the rows of a survey among three directories: share files with so many fractional bits of features and targets,
/// and the description.
///
/// `observe` is told, before every block of rows, how many have been dealt, and can stop it. Memory does not grow with the
/// number of rows.
///
/// # Errors
///
/// As [`Survey::each`] and [`Dealer`]; and those of `observe`.
pub fn share<E: From<DataError>>(
    survey: &Survey,
    dirs: [&Path; 3],
    id: &str,
    (feature_frac, target_frac): (u32, u32),
    mut observe: impl FnMut(usize) -> std::result::Result<(), E>,
) -> std::result::Result<DatasetDescription, E> {
    let description = DatasetDescription {
        id: id.to_owned(),
        version: VERSION,
        task: survey.preprocessing().kind(),
        rows: survey.rows(),
        test_rows: survey.test_rows(),
        features: survey.preprocessing().feature_names.len(),
        outputs: survey.outputs(),
        feature_frac,
        target_frac,
        target_bits: survey.target_bits(),
    };
    let begin = |part: Part| -> Result<Option<(Dealer, Option<Dealer>)>> {
        let Some(rows) = description.rows_of(part) else { return Ok(None) };
        let dealer = |name: &str, cols: usize, frac: u32| Dealer::create(dirs, name, id, (rows, cols), frac);
        let features = dealer(part.features(), description.features, feature_frac)?;
        let targets = description.task.map(|_| dealer(part.targets(), description.outputs, target_frac));
        Ok(Some((features, targets.transpose()?)))
    };
    let (mut train, mut test) = (begin(Part::Train)?, begin(Part::Test)?);
    let mut dealt = 0;
    survey.each(|part, examples| -> std::result::Result<(), E> {
        observe(dealt)?;
        dealt += examples.features.rows();
        let dealers = if part == Part::Train { &mut train } else { &mut test };
        if let Some((features, targets)) = dealers {
            features.push(&examples.features)?;
            targets.iter_mut().try_for_each(|targets| targets.push(&examples.targets))?;
        }
        Ok(())
    })?;
    for (features, targets) in train.into_iter().chain(test) {
        for dealer in [Some(features), targets].into_iter().flatten() {
            observe(dealt)?;
            dealer.finish()?;
        }
    }
    for dir in dirs {
        sealed::write(&dir.join(DESCRIPTION_FILE), FORMAT, &description)?;
    }
    Ok(description)
}

/// Reads the description of a data set from the directories of the three servers.
///
/// # Errors
///
/// If a file cannot be read, is damaged or does not make sense, or two are of different data sets.
pub fn read_descriptions(dirs: &[PathBuf; 3]) -> Result<DatasetDescription> {
    let [first, second, third] = [read(&dirs[0])?, read(&dirs[1])?, read(&dirs[2])?];
    for (dir, other) in dirs[1..].iter().zip([&second, &third]) {
        if *other != first {
            let (first_dir, dir) = (dirs[0].clone(), dir.clone());
            return Err(DataError::OtherSharing { first: first_dir, dir });
        }
    }
    Ok(first)
}

fn read(dir: &Path) -> Result<DatasetDescription> {
    let path = dir.join(DESCRIPTION_FILE);
    let description: DatasetDescription = sealed::read(&path, FORMAT)?;
    if description.version != VERSION {
        return Err(DataError::WrongVersion { path, found: description.version, supported: VERSION });
    }
    match description.problem() {
        None => Ok(description),
        Some(problem) => Err(DataError::BadDescription { path, problem: problem.to_owned() }),
    }
}

/// Checks every share file of a data set: that each is whole, and that they fit the description.
///
/// # Errors
///
/// If a file is missing or damaged, is another party's, or is of another data set.
pub fn check_shares(dirs: &[PathBuf; 3], description: &DatasetDescription) -> Result<()> {
    for (party, dir) in dirs.iter().enumerate() {
        for matrix in description.matrices() {
            let path = share_path(dir, matrix.name);
            matrix.check(&ShareFile::open(&path, party)?, &path, &description.id)?;
        }
    }
    Ok(())
}

/// One of the matrices that make a data set, as its share files should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MatrixDescription {
    /// The name of the share files.
    pub name: &'static str,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Fractional bits.
    pub frac: u32,
}

impl MatrixDescription {
    /// The scaling of so many columns, which belongs to a data set as well.
    pub fn scaling(columns: usize) -> Self {
        Self { name: shared_scaling::NAME, rows: columns, cols: shared_scaling::WORDS, frac: 0 }
    }

    /// Compares a share file with this description.
    ///
    /// # Errors
    ///
    /// If it is of another data set than this one, or of another size or number format.
    pub fn check(&self, file: &ShareFile, path: &Path, dataset: &str) -> Result<()> {
        if file.dataset() != dataset {
            let (expected, found) = (dataset.to_owned(), file.dataset().to_owned());
            return Err(DataError::OtherDataset { path: path.to_owned(), expected, found });
        }
        if (file.rows(), file.cols(), file.frac()) != (self.rows, self.cols, self.frac) {
            let problem = format!("it does not have the rows and columns of {DESCRIPTION_FILE}");
            return Err(DataError::BadDescription { path: path.to_owned(), problem });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
