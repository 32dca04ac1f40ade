//! `models` and `export`: what three servers keep of trained networks, and models in files that others read.

use std::fmt::Write;
use std::path::Path;

use shamisen_data::model::{ModelDescription, PREPROCESSING_FILE, SHARE_FILES, write_description};
use shamisen_data::open_model::OpenFormat;
use shamisen_data::scaling::Preprocessing;
use shamisen_local::predict::{SharedModel, TrainingSummary};
use shamisen_local::report::Scores;
use shamisen_local::store::{Staged, check_new_dir, check_writable};
use shamisen_service::analyst::Analyst;
use shamisen_service::job::ModelInfo;

use crate::args::{ExportArguments, JobsArguments};
use crate::data_sets::printable;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::summary::layers;

/// Carries out `models`.
pub(crate) fn list(arguments: &JobsArguments) -> Result<()> {
    interrupt::install();
    let models = arguments.servers.analyst()?.models()?;
    if models.is_empty() {
        return crate::print("there are no models\n");
    }
    let mut text = format!("{:<32}  {:<16}  {:<20}  name\n", "id", "network", "analyst");
    for model in models {
        let (analyst, name) = (printable(&model.analyst), printable(&model.name));
        let network = layers(&model.plan.layers);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<32}  {network:<16}  {analyst:<20}  {name}", model.id);
    }
    crate::print(&text)
}

/// Carries out `export`.
pub(crate) fn export(arguments: &ExportArguments) -> Result<()> {
    let to = arguments.to.as_path();
    interrupt::install();
    if let Some(analyst) = arguments.servers.analyst()? {
        return from_servers(&arguments.model, to, &analyst);
    }
    let Some(format) = OpenFormat::of(to) else {
        return Err(Failure::input(format!(
            "{} is no name of ONNX or safetensors: name a file that ends with .onnx or .safetensors",
            to.display()
        )));
    };
    check_writable(to)?;
    let model = SharedModel::of(&arguments.model)?;
    let id = &model.description.id;
    write_opened(&model, format, to, &format!("{id} (from {})", arguments.model.display()))
}

/// Takes a model out of three servers.
fn from_servers(name: &Path, to: &Path, analyst: &Analyst) -> Result<()> {
    let name = name.to_str().ok_or_else(|| Failure::input("the name of a model is UTF-8"))?;
    let format = OpenFormat::of(to);
    match format {
        Some(_) => check_writable(to)?,
        None => check_new_dir(to, "model")?,
    }
    let model = analyst.model(name)?;
    let told = format!("{} ({})", model.id, printable(&model.name));
    // Of a file, the shares are only beside it until it is written.
    let staged = Staged::new(to)?;
    let dir = staged.path();
    analyst.fetch_model(&model, &SHARE_FILES.map(|name| dir.join(name)))?;
    let statistics = analyst.preprocessing(&model)?;
    statistics.write(&dir.join(PREPROCESSING_FILE))?;
    write_description(dir, &described(&model, &statistics)?)?;
    // All is compared with each other before it gets its name.
    let shared = SharedModel::read(dir)?;
    interrupt::check()?;
    if let Some(format) = format {
        return write_opened(&shared, format, to, &told);
    }
    staged.publish()?;
    let to = to.display();
    crate::print(&format!("model   {told}\nin      {to}: use it with `shamisen predict --model {to}`\n"))
}

/// Opens a model, which has a name for the user, and writes its file.
fn write_opened(model: &SharedModel, format: OpenFormat, to: &Path, told: &str) -> Result<()> {
    let opened = model.open()?;
    interrupt::check()?;
    format.write(to, &opened)?;
    crate::print(&format!(
        "model   {told}\nin      {}: its weights are in the clear, and only you may read it\n",
        to.display()
    ))
}

fn described(model: &ModelInfo, statistics: &Preprocessing) -> Result<ModelDescription> {
    let json = |error: serde_json::Error| Failure::run(format!("the model cannot be described: {error}"));
    let result = &model.result;
    let summary = TrainingSummary {
        plan: model.plan.clone(),
        rows: model.rows,
        seconds: result.seconds,
        loss: result.loss.last().copied(),
        scores: Scores {
            accuracy: result.accuracy,
            cross_entropy: result.cross_entropy,
            r2: result.r2,
            mse: result.mse,
        }
        .in_own_units(statistics),
        scored_on: if model.test_rows.is_some() { "test rows" } else { "training rows" }.to_owned(),
    };
    model.description(serde_json::to_value(summary).map_err(json)?).map_err(json)
}
