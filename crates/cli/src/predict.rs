//! `predict`: shares the features of new rows and puts together what the parties hand back.

use std::fs;
use std::num::NonZeroU8;
use std::path::Path;

use shamisen_data::model::{DESCRIPTION_FILE, ModelDescription, PREPROCESSING_FILE, check_model_dir};
use shamisen_data::output::{Predictions, write_predictions, write_predictions_to};
use shamisen_data::scaling::Preprocessing;
use shamisen_data::shares::random_id;
use shamisen_data::table::{Matrix, TargetKind};
use shamisen_nn::evaluate::prediction_frac;
use shamisen_nn::formats::{self, WEIGHT_FRAC};
use shamisen_nn::plan::{Plan, Task};
use shamisen_ring::fixed;

use crate::args::PredictArguments;
use crate::assignment::{Assignment, Work};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::launch;
use crate::link::Link;
use crate::party::{MODEL_SHARE_FILE, PREDICTIONS_FILE};
use crate::store::{check_writable, combine};
use crate::train::{LIMIT, TrainingSummary};
use crate::workdir::WorkDir;

/// Carries out `predict`.
pub(crate) fn run(arguments: &PredictArguments, verbose: u8) -> Result<()> {
    let link = Link::new(arguments.transport, None, None, arguments.ports, arguments.deadline)?;
    interrupt::install();
    let (description, summary) = read_model(&arguments.model)?;
    let plan = summary.plan;
    let preprocessing = Preprocessing::read(&arguments.model.join(PREPROCESSING_FILE))?;
    if let Some(output) = arguments.output.as_deref().filter(|output| !is_device(output)) {
        check_writable(output)?;
    }
    launch::check_ports(&link)?;
    let features = preprocessing.read_features(&arguments.data, LIMIT)?;
    let rows = features.rows();

    let work = WorkDir::new()?;
    let assignment = Assignment::new(plan.clone(), random_id()?, Work::Predict, NonZeroU8::MIN);
    work.write_assignment(&assignment)?;
    work.deal_features(&plan, &assignment.dataset, &features)?;
    drop(features);
    for (party, share) in description.share_files.iter().enumerate() {
        let dir = work.party(party);
        for (from, to) in [(share.as_str(), MODEL_SHARE_FILE), (DESCRIPTION_FILE, DESCRIPTION_FILE)] {
            let from = arguments.model.join(from);
            fs::copy(&from, dir.join(to)).map_err(|error| Failure::file("copy", &from, &error))?;
        }
    }
    launch::run(&work, &link, verbose, &mut |_, _| ())?;
    interrupt::check()?;

    let words = combine(&work.files(PREDICTIONS_FILE), rows * plan.outputs())?;
    drop(work);
    let frac = prediction_frac(&plan);
    let values: Vec<f64> = words.iter().map(|&word| fixed::decode(word, frac)).collect();
    write(arguments.output.as_deref(), &plan, &preprocessing, rows, values)
}

/// Checks a model directory, and returns its description and the summary of its training.
pub(crate) fn read_model(dir: &Path) -> Result<(ModelDescription, TrainingSummary)> {
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

fn write(
    output: Option<&Path>,
    plan: &Plan,
    preprocessing: &Preprocessing,
    rows: usize,
    values: Vec<f64>,
) -> Result<()> {
    if let Some(target) = preprocessing.target {
        let numbers: Vec<f64> = values.into_iter().map(|value| target.invert(value)).collect();
        return write_to(output, Predictions::Numbers(&numbers));
    }
    let classes = plan.outputs();
    let labels: Vec<u32> = values.chunks_exact(classes).map(greatest).collect();
    let probabilities = Matrix::new(rows, classes, values).ok_or_else(|| {
        Failure::run("there are not as many predictions as rows, which is a bug of shamisen")
    })?;
    let names = &preprocessing.classes;
    write_to(output, Predictions::Classes { names, labels: &labels, probabilities: &probabilities })
}

fn write_to(output: Option<&Path>, predictions: Predictions<'_>) -> Result<()> {
    if let Some(path) = output {
        return Ok(write_predictions(path, predictions)?);
    }
    let mut text = Vec::new();
    write_predictions_to(&mut text, predictions)?;
    crate::print(&String::from_utf8_lossy(&text))
}

/// Index of the greatest value, the first of equals.
fn greatest(values: &[f64]) -> u32 {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best as u32
}

/// A device or a pipe, which is written to as it is.
fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}
