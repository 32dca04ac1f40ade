//! What a training that keeps checkpoints has beside the parties' directories, so that it can go on: the owner's part of the job.

use std::path::{Path, PathBuf, absolute};

use serde::{Deserialize, Serialize};
use shamisen_data::model::PREPROCESSING_FILE;
use shamisen_data::scaling::Preprocessing;
use shamisen_data::sealed;
use shamisen_party::assignment::Assignment;

use crate::failure::{Failure, Result};
use crate::link::Link;
use crate::report::Twin;
use crate::transport::{Ports, TransportName};

/// Name of the file in the directory of a training that keeps checkpoints.
const FILE: &str = "run.json";

const FORMAT: &str = "shamisen-run-1";

/// The owner's part of a training. All of it is public but what the twin found, which is the owner's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnersPart {
    /// How the parties are joined.
    pub link: Link,
    /// Training rows.
    pub rows: usize,
    /// Test rows, if there are any.
    pub test_rows: Option<usize>,
    /// The float twin, which was trained before.
    pub twin: Option<Twin>,
    /// Where the model goes; an absolute path.
    pub model: Option<PathBuf>,
    /// Where the report goes; an absolute path.
    pub report: Option<PathBuf>,
}

/// What may be said anew of a training that goes on: how the parties are joined, and where model and report go.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// How the parties are joined.
    pub transport: Option<TransportName>,
    /// Imitated one-way latency, in milliseconds.
    pub latency: Option<f64>,
    /// Imitated bandwidth, in Mbit/s.
    pub bandwidth: Option<f64>,
    /// Fixed ports.
    pub ports: Option<Ports>,
    /// Longest wait of a party for another one, in seconds.
    pub deadline: Option<f64>,
    /// Where the model goes.
    pub model: Option<PathBuf>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

impl OwnersPart {
    /// Writes it into the directory of a training, which gets another name later: messages say `name`.
    pub(crate) fn write(&self, dir: &Path, preprocessing: &Preprocessing, name: &Path) -> Result<()> {
        let paths = [&self.model, &self.report];
        if let Some(path) = paths.into_iter().flatten().find(|path| path.to_str().is_none()) {
            return Err(Failure::input(format!(
                "{} is not UTF-8, so that {} cannot name it: choose another name",
                path.display(),
                name.join(FILE).display()
            )));
        }
        sealed::write(&dir.join(FILE), FORMAT, self)?;
        Ok(preprocessing.write(&dir.join(PREPROCESSING_FILE))?)
    }

    /// Reads what a training with checkpoints wrote into its directory, and the statistics of its table.
    ///
    /// # Errors
    ///
    /// If it is not there, or damaged.
    pub fn read(dir: &Path) -> Result<(Self, Preprocessing)> {
        if !is_run(dir) {
            return Err(Failure::input(format!(
                "{} holds no training that can go on: name the directory that --checkpoint named, which is removed when the \
                 training is complete",
                dir.display()
            )));
        }
        let part = sealed::read(&dir.join(FILE), FORMAT)?;
        Ok((part, Preprocessing::read(&dir.join(PREPROCESSING_FILE))?))
    }

    /// The same with what is given anew.
    pub(crate) fn with(self, changes: Changes) -> Result<Self> {
        let Changes { transport, latency, bandwidth, ports, deadline, model, report } = changes;
        let link = self.link.changed(transport, latency, bandwidth, ports, deadline)?;
        Ok(Self { link, model: model.or(self.model), report: report.or(self.report), ..self })
    }
}

/// Whether a directory is that of a training that keeps checkpoints.
pub(crate) fn is_run(dir: &Path) -> bool {
    dir.join(FILE).is_file()
}

/// A path that means the same in another working directory.
pub(crate) fn anywhere(path: &Path) -> Result<PathBuf> {
    absolute(path).map_err(|error| Failure::file("name", path, &error))
}

/// The job of a training that keeps checkpoints, as the parties have it.
///
/// Whether it is the same at all three, they see when they meet.
///
/// # Errors
///
/// If it cannot be read, or is not of such a training.
pub fn read_assignment(parties: &[PathBuf; 3]) -> Result<(Assignment, [u8; 32])> {
    let read = Assignment::read(&parties[0])?;
    if read.0.checkpoints().is_none() {
        return Err(Failure::input(format!(
            "the job in {} keeps no checkpoints: name the directory that --checkpoint named",
            parties[0].display()
        )));
    }
    Ok(read)
}

/// How to go on, in words.
pub(crate) fn how_to_go_on(dir: &Path) -> String {
    format!("go on with: shamisen train --resume {}", dir.display())
}

/// A failure of a training that can go on.
pub(crate) fn with_way_on(dir: &Path, failure: Failure) -> Failure {
    let hint = |hint: Option<String>| match hint {
        // What has to be changed first may not be changed in this training.
        Some(hint) => format!("{hint}; {} stays, and holds shares and keys: remove it", dir.display()),
        None => how_to_go_on(dir),
    };
    match failure {
        Failure::Input(message) => Failure::Input(message.with_hint(hint)),
        Failure::Run(message) => Failure::Run(message.with_hint(hint)),
        Failure::Interrupted => Failure::Paused(format!("interrupted; {}", how_to_go_on(dir))),
        Failure::Paused(text) => Failure::Paused(format!("{text}; {}", how_to_go_on(dir))),
    }
}

#[cfg(test)]
mod tests {
    use shamisen_party::Message;

    use super::*;
    use crate::report::Scores;

    #[test]
    fn every_end_says_how_to_go_on_or_why_not() {
        let hint = |failure| match with_way_on(Path::new("run"), failure) {
            Failure::Input(Message { hint, .. }) | Failure::Run(Message { hint, .. }) => hint.unwrap(),
            Failure::Paused(text) => text,
            Failure::Interrupted => panic!("it does not say how to go on"),
        };
        assert_eq!(hint(Failure::run("party 1 was killed")), "go on with: shamisen train --resume run");
        assert_eq!(hint(Failure::Interrupted), "interrupted; go on with: shamisen train --resume run");
        let paused = Failure::Paused("interrupted after epoch 1, mini-batch 8".to_owned());
        let text = "interrupted after epoch 1, mini-batch 8; go on with: shamisen train --resume run";
        assert_eq!(hint(paused), text);
        let range = Failure::run("too large\nhint: lower the learning rate");
        let text = "lower the learning rate; run stays, and holds shares and keys: remove it";
        assert_eq!(hint(range), text);
    }

    #[test]
    fn the_twin_of_a_training_that_diverged_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let scores = Scores { mse: Some(0.1), ..Scores::default() };
        let owner = OwnersPart {
            link: Link::new(TransportName::Tls, Some(2.0), None, None, None).unwrap(),
            rows: 3,
            test_rows: None,
            twin: Some(Twin { scores, loss: vec![0.1, f64::NAN], seconds: 0.5 }),
            model: Some(PathBuf::from("/a/model")),
            report: None,
        };
        sealed::write(&path, FORMAT, &owner).unwrap();
        let back: OwnersPart = sealed::read(&path, FORMAT).unwrap();
        assert_eq!(format!("{back:?}"), format!("{owner:?}"));
    }
}
