//! `predict`: reads new rows, and writes what a shared model says of them.

use std::fs;
use std::path::Path;

use shamisen_data::output::{Predictions, check_name, write_predictions, write_predictions_to};
use shamisen_data::scaling::Preprocessing;
use shamisen_data::table::{Matrix, TargetKind};
use shamisen_local::job::LIMIT;
use shamisen_local::launch;
use shamisen_local::link::Link;
use shamisen_local::predict::{SharedModel, opened};
use shamisen_local::store::check_writable;
use shamisen_service::analyst::Analyst;

use crate::args::PredictArguments;
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};

/// Carries out `predict`.
pub(crate) fn run(arguments: &PredictArguments, verbose: u8) -> Result<()> {
    if let Some(analyst) = arguments.servers.analyst()? {
        return at_servers(arguments, &analyst);
    }
    let link = Link::new(arguments.transport, None, None, arguments.ports, arguments.deadline)?;
    interrupt::install();
    arguments.output.as_deref().map_or(Ok(()), check_name)?;
    let model = SharedModel::of(&arguments.model)?;
    if let Some(output) = arguments.output.as_deref().filter(|output| !is_device(output)) {
        check_writable(output)?;
    }
    launch::check_ports(&link)?;
    let features = model.preprocessing.read_features(&arguments.data, LIMIT)?;
    let outputs = model.predict(features, &link, verbose)?;
    write(arguments.output.as_deref(), &model.preprocessing, &outputs)
}

/// Lets three servers predict by a model that they keep.
fn at_servers(arguments: &PredictArguments, analyst: &Analyst) -> Result<()> {
    interrupt::install();
    let name = arguments.model.to_str().ok_or_else(|| Failure::input("the name of a model is UTF-8"))?;
    let model = analyst.model(name)?;
    let output = arguments.output.as_deref();
    output.map_or(Ok(()), check_name)?;
    if let Some(output) = output.filter(|output| !is_device(output)) {
        check_writable(output)?;
    }
    let _protection = Protection::new();
    let place = tempfile::Builder::new()
        .prefix("shamisen-predict-")
        .tempdir()
        .map_err(|error| Failure::file("create a directory in", &std::env::temp_dir(), &error))?;
    let preprocessing = analyst.preprocessing(&model)?;
    let features = preprocessing.read_features(&arguments.data, LIMIT)?;
    let words = analyst.predict(&model, &features, place.path())?;
    write(output, &preprocessing, &opened(words, &model.plan, &preprocessing)?)
}

fn write(output: Option<&Path>, preprocessing: &Preprocessing, outputs: &Matrix) -> Result<()> {
    if preprocessing.kind() == Some(TargetKind::Number) {
        return write_to(output, Predictions::Numbers(outputs.values()));
    }
    let labels: Vec<u32> = outputs.values().chunks_exact(outputs.cols()).map(greatest).collect();
    let names = &preprocessing.classes;
    write_to(output, Predictions::Classes { names, labels: &labels, probabilities: outputs })
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
