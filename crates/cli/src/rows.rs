//! Shared rows in share files.

use std::path::Path;

use shamisen_data::shares::{ShareFile, share_path};
use shamisen_mpc::Rep;
use shamisen_net::Party;
use shamisen_nn::examples::SharedRows;
use shamisen_nn::formats::{activation_frac, target_frac};
use shamisen_nn::{NnError, Result};
use shamisen_ring::words::Words;

use crate::assignment::Assignment;
use crate::event::{Cause, Failed};

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// To train on.
    Train,
    /// To test on.
    Test,
    /// To predict for, without targets.
    Predict,
}

impl Part {
    /// Name of the share file of the features.
    pub(crate) fn features(self) -> &'static str {
        match self {
            Self::Train => "train-features",
            Self::Test => "test-features",
            Self::Predict => "features",
        }
    }

    /// Name of the share file of the targets.
    pub(crate) fn targets(self) -> Option<&'static str> {
        match self {
            Self::Train => Some("train-targets"),
            Self::Test => Some("test-targets"),
            Self::Predict => None,
        }
    }
}

/// A party's share of some rows, read as they are needed.
pub(crate) struct DealtRows {
    features: ShareFile,
    targets: Option<ShareFile>,
}

impl DealtRows {
    /// Opens the share files of some rows and checks that they are those of the job.
    pub(crate) fn open(
        dir: &Path,
        part: Part,
        assignment: &Assignment,
        party: Party,
    ) -> std::result::Result<Self, Failed> {
        let plan = &assignment.plan;
        let open = |name: &str, cols: usize, frac: u32| {
            let path = share_path(dir, name);
            let file = ShareFile::open(&path, party.index())?;
            let problem = if file.dataset() != assignment.dataset {
                "is of another data set than the job"
            } else if file.cols() != cols || file.frac() != frac {
                "does not have the columns and the number format of the job"
            } else {
                return Ok(file);
            };
            let text = format!("{} {problem}: use the files that were dealt together", path.display());
            Err(Failed::new(Cause::Input, text))
        };
        let features = open(part.features(), plan.features(), activation_frac(plan))?;
        let targets = part.targets().map(|name| open(name, plan.outputs(), target_frac(plan))).transpose()?;
        if let Some(targets) = &targets
            && targets.rows() != features.rows()
        {
            let (dir, features, targets) = (dir.display(), features.rows(), targets.rows());
            let text = format!(
                "{dir} holds features of {features} rows, but targets of {targets}: use files dealt together"
            );
            return Err(Failed::new(Cause::Input, text));
        }
        Ok(Self { features, targets })
    }
}

impl SharedRows for DealtRows {
    fn rows(&self) -> usize {
        self.features.rows()
    }

    fn features(&mut self, rows: &[u32]) -> Result<Rep> {
        gather(&self.features, rows)
    }

    fn targets(&mut self, rows: &[u32]) -> Result<Rep> {
        match &self.targets {
            Some(targets) => gather(targets, rows),
            None => Err(NnError::Rows("these rows have no targets".into())),
        }
    }
}

fn gather(file: &ShareFile, rows: &[u32]) -> Result<Rep> {
    let words = rows.len() * file.cols();
    let (mut mine, mut next) = (Words::scratch(words), Words::scratch(words));
    file.gather(rows, &mut mine, &mut next).map_err(|error| NnError::Rows(error.into()))?;
    Ok(Rep::from_components(mine, next))
}
