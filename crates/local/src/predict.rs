//! Predicting: shares the features of new rows and puts together what the parties hand back.

use std::fs;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shamisen_data::model::{DESCRIPTION_FILE, ModelDescription, PREPROCESSING_FILE, check_model_dir};
use shamisen_data::scaling::Preprocessing;
use shamisen_data::shares::random_id;
use shamisen_data::table::{Matrix, TargetKind};
use shamisen_nn::evaluate::prediction_frac;
use shamisen_nn::formats::{self, WEIGHT_FRAC};
use shamisen_nn::plan::{Plan, Task};
use shamisen_party::assignment::{Assignment, Work};
use shamisen_party::{MODEL_SHARE_FILE, PREDICTIONS_FILE};
use shamisen_ring::fixed;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::launch;
use crate::link::Link;
use crate::open::SharedHere;
use crate::report::Scores;
use crate::store::combine;
use crate::workdir::WorkDir;

/// What a model's description says about its training.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// The plan that was followed.
    pub plan: Plan,
    /// Training rows.
    pub rows: usize,
    /// Wall time.
    pub seconds: f64,
    /// The loss of the last epoch.
    pub loss: Option<f64>,
    /// How good the network was, and on which rows.
    pub scores: Scores,
    /// `test rows` or `training rows`.
    pub scored_on: String,
}

/// A model directory whose files are all there and whole.
#[derive(Debug)]
pub struct SharedModel {
    dir: PathBuf,
    _shared_here: Option<SharedHere>,
    /// What is known of the model.
    pub description: ModelDescription,
    /// What is known of its training.
    pub training: TrainingSummary,
    /// How features are scaled, and what the outputs mean.
    pub preprocessing: Preprocessing,
}

impl SharedModel {
    /// Reads and checks a model directory.
    ///
    /// # Errors
    ///
    /// If a file is missing or damaged, or its parts do not fit together.
    pub fn read(dir: &Path) -> Result<Self> {
        Self::read_from(dir, None)
    }

    /// As [`read`](Self::read), from a directory that may disappear with the model.
    pub(crate) fn read_from(dir: &Path, shared_here: Option<SharedHere>) -> Result<Self> {
        let (description, training) = read_description(dir)?;
        let preprocessing = Preprocessing::read(&dir.join(PREPROCESSING_FILE))?;
        Ok(Self { dir: dir.to_owned(), _shared_here: shared_here, description, training, preprocessing })
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives each party its share of the model, as the file `name`, and what is known of it.
    pub(crate) fn give(&self, work: &WorkDir, name: &str) -> Result<()> {
        for (party, share) in self.description.share_files.iter().enumerate() {
            let dir = work.party(party);
            for (from, to) in [(share.as_str(), name), (DESCRIPTION_FILE, DESCRIPTION_FILE)] {
                let from = self.dir.join(from);
                fs::copy(&from, dir.join(to)).map_err(|error| Failure::file("copy", &from, &error))?;
            }
        }
        Ok(())
    }

    /// Predicts for rows of scaled features: gives for each row the probabilities of the classes, or the number in the target's own
    /// unit.
    ///
    /// # Errors
    ///
    /// If a party fails, or it is asked to stop.
    pub fn predict(&self, features: Matrix, link: &Link, verbose: u8) -> Result<Matrix> {
        let plan = &self.training.plan;
        let rows = features.rows();
        let work = WorkDir::new()?;
        let assignment = Assignment::new(plan.clone(), random_id()?, Work::Predict, NonZeroU8::MIN);
        work.write_assignment(&assignment)?;
        work.deal_features(plan, &assignment.dataset, &features)?;
        drop(features);
        self.give(&work, MODEL_SHARE_FILE)?;
        launch::run(&work, link, verbose, &mut |_, _| ())?;
        interrupt::check()?;

        let words = combine(&work.files(PREDICTIONS_FILE), rows * plan.outputs())?;
        drop(work);
        opened(words, plan, &self.preprocessing)
    }
}

/// Predictions in numbers: for each row the probabilities of the classes, or the number in the target's own unit.
///
/// # Errors
///
/// If they are not of whole rows.
pub fn opened(words: Vec<u64>, plan: &Plan, preprocessing: &Preprocessing) -> Result<Matrix> {
    let (frac, target) = (prediction_frac(plan), preprocessing.target);
    let value = |word: u64| {
        let value = fixed::decode(word, frac);
        target.map_or(value, |target| target.invert(value))
    };
    let rows = words.len() / plan.outputs();
    Matrix::new(rows, plan.outputs(), words.into_iter().map(value).collect())
        .ok_or_else(|| Failure::run("there are not as many predictions as rows, which is a bug of shamisen"))
}

/// Checks a model directory, and returns its description and the summary of its training.
fn read_description(dir: &Path) -> Result<(ModelDescription, TrainingSummary)> {
    if !dir.is_dir() {
        return Err(Failure::input(format!(
            "{} is no directory: name the directory of a model",
            dir.display()
        )));
    }
    let description = check_model_dir(dir)?;
    let path = dir.join(DESCRIPTION_FILE);
    let wrong = |what: &str| Failure::input(format!("{} makes no sense: {what}", path.display()));
    let summary: TrainingSummary = serde_json::from_value(description.training.clone())
        .map_err(|error| wrong(&format!("its summary of the training cannot be read ({error})")))?;
    let plan = &summary.plan;
    formats::check(plan).map_err(|error| wrong(&error.to_string()))?;
    let outputs = description.classes.len().max(1);
    let same_task = (plan.task == Task::Classification) == (description.task == TargetKind::Classes);
    if !same_task
        || serde_json::to_value(&plan.layers).ok().as_ref() != Some(&description.layers)
        || plan.features() != description.feature_names.len()
        || plan.outputs() != outputs
        || plan.parameters() as u64 != description.parameters
        || description.frac != WEIGHT_FRAC
    {
        return Err(wrong("its layers and its columns do not fit together"));
    }
    Ok((description, summary))
}
