//! Networks in the clear: a shared model is opened, and an open one is shared.

use std::path::Path;

use shamisen_data::model::{
    ModelDescription, PREPROCESSING_FILE, SHARE_FILES, VERSION, read_party_share, write_description,
    write_party_share,
};
use shamisen_data::open_model::{OpenFormat, OpenModel};
use shamisen_data::scaling::Preprocessing;
use shamisen_data::shares::{random_id, split};
use shamisen_data::table::TargetKind;
use shamisen_nn::formats::{self, FEATURE_BITS, WEIGHT_FRAC};
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_ring::fixed;
use tempfile::TempDir;

use crate::failure::{Failure, Result};
use crate::interrupt::Protection;
use crate::job::DEFAULT_BATCH;
use crate::predict::{SharedModel, TrainingSummary};
use crate::report::Scores;

/// Weights and biases of a network that is shared are below this: what the range checks of a training let pass.
const WEIGHT_LIMIT: f64 = 16.0;

/// A directory for temporary files with the shares of a model, which disappears with it.
#[derive(Debug)]
pub(crate) struct SharedHere {
    _place: TempDir,
    _protection: Protection,
}

impl SharedModel {
    /// Reads and checks a model directory; or a file with a network in the clear, ONNX or safetensors by its name, whose weights are
    /// then shared in the directory for temporary files.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); if the file holds no perceptron, or one that cannot be shared.
    pub fn of(path: &Path) -> Result<Self> {
        let Some(format) = OpenFormat::of(path).filter(|_| !path.is_dir()) else { return Self::read(path) };
        let model = format.read(path)?;
        let protection = Protection::new();
        let place = tempfile::Builder::new()
            .prefix("shamisen-model-")
            .tempdir()
            .map_err(|error| Failure::file("create a directory in", &std::env::temp_dir(), &error))?;
        share(&model, place.path()).map_err(|failure| match failure {
            Failure::Input(message) => Failure::input(format!("{}: {}", path.display(), message.text)),
            failure => failure,
        })?;
        let dir = place.path().to_owned();
        Self::read_from(&dir, Some(SharedHere { _place: place, _protection: protection }))
    }

    /// Puts the three shares together: the network in the clear, for whoever has all of them.
    ///
    /// # Errors
    ///
    /// If a share cannot be read.
    pub fn open(&self) -> Result<OpenModel> {
        let mut words = Vec::new();
        for (party, name) in self.description.share_files.iter().enumerate() {
            let (mine, _) = read_party_share(&self.dir().join(name), &self.description, party, None)?;
            if party == 0 {
                words = mine;
            } else {
                words.iter_mut().zip(mine).for_each(|(word, mine)| *word = word.wrapping_add(mine));
            }
        }
        let values: Vec<f64> = words.into_iter().map(|word| fixed::decode(word, WEIGHT_FRAC)).collect();
        OpenModel::from_parameters(&self.training.plan.layers, &values, self.preprocessing.clone())
            .ok_or_else(|| {
                Failure::run("there are not as many parameters as layers say, which is a bug of shamisen")
            })
    }
}

/// Shares a network among the files of a model directory, as a training leaves it.
fn share(model: &OpenModel, dir: &Path) -> Result<()> {
    let preprocessing = &model.preprocessing;
    let plan = plan_of(model);
    formats::check(&plan).map_err(|error| Failure::input(error.to_string()))?;
    let components = split(encode(&model.parameters())?)?;
    let summary = TrainingSummary {
        plan,
        rows: 0,
        seconds: 0.0,
        loss: None,
        scores: Scores::default(),
        scored_on: "training rows".to_owned(),
    };
    let id = random_id()?;
    write_description(dir, &described(&id, preprocessing, &summary)?)?;
    preprocessing.write(&dir.join(PREPROCESSING_FILE))?;
    for (party, name) in SHARE_FILES.iter().enumerate() {
        let share = [&components[party][..], &components[(party + 1) % 3][..]];
        write_party_share(&dir.join(name), &id, party, share, None)?;
    }
    Ok(())
}

/// The weights and biases of a network as fixed-point numbers.
///
/// # Errors
///
/// If one is not finite, or too large.
pub fn encode(parameters: &[f64]) -> Result<Vec<u64>> {
    let word = |&value: &f64| fixed::encode(value, WEIGHT_FRAC).filter(|_| value.abs() < WEIGHT_LIMIT);
    parameters.iter().map(word).collect::<Option<_>>().ok_or_else(|| {
        Failure::input(format!(
            "a weight or bias is not finite, or its magnitude is {WEIGHT_LIMIT} or more, which leaves the fixed-point range: train \
             with scaled features"
        ))
    })
}

/// What is told of a model in its directory.
///
/// # Errors
///
/// If the summary has no JSON form.
pub fn described(
    id: &str,
    preprocessing: &Preprocessing,
    training: &TrainingSummary,
) -> Result<ModelDescription> {
    let json = |error: serde_json::Error| Failure::run(format!("the model cannot be described: {error}"));
    let plan = &training.plan;
    Ok(ModelDescription {
        id: id.to_owned(),
        version: VERSION,
        task: match plan.task {
            Task::Classification => TargetKind::Classes,
            Task::Regression => TargetKind::Number,
        },
        layers: serde_json::to_value(&plan.layers).map_err(json)?,
        frac: WEIGHT_FRAC,
        parameters: plan.parameters() as u64,
        feature_names: preprocessing.feature_names.clone(),
        target_name: preprocessing.target_name.clone(),
        classes: preprocessing.classes.clone(),
        training: serde_json::to_value(training).map_err(json)?,
        share_files: SHARE_FILES.map(str::to_owned),
    })
}

/// A plan for a network that was trained elsewhere: only its layers and the formats of its numbers are used.
fn plan_of(model: &OpenModel) -> Plan {
    Plan {
        task: if model.preprocessing.target.is_some() { Task::Regression } else { Task::Classification },
        layers: model.widths(),
        optimizer: Optimizer::adam(1),
        learning_rate: 0.001,
        weight_decay: 0.0,
        batch_size: DEFAULT_BATCH,
        epochs: 1,
        seed: 1,
        feature_bits: model.preprocessing.scaling.feature_bits(FEATURE_BITS),
        target_bits: 0,
    }
}
