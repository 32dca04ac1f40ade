//! `models` and `export`: what three servers keep of trained networks.

use std::fmt::Write;

use shamisen_data::model::{ModelDescription, PREPROCESSING_FILE, SHARE_FILES, write_description};
use shamisen_data::scaling::Preprocessing;
use shamisen_local::predict::{SharedModel, TrainingSummary};
use shamisen_local::report::Scores;
use shamisen_local::store::{Staged, check_new_dir};
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
    interrupt::install();
    let to = &arguments.to;
    check_new_dir(to, "model")?;
    let analyst = arguments.servers.analyst()?;
    let model = analyst.model(&arguments.model)?;
    let staged = Staged::new(to)?;
    let dir = staged.path();
    analyst.fetch_model(&model, &SHARE_FILES.map(|name| dir.join(name)))?;
    let statistics = analyst.preprocessing(&model)?;
    statistics.write(&dir.join(PREPROCESSING_FILE))?;
    write_description(dir, &described(&model, &statistics)?)?;
    // All is compared with each other before it gets its name.
    SharedModel::read(dir)?;
    interrupt::check()?;
    staged.publish()?;
    crate::print(&format!(
        "model   {} ({})\nin      {}: use it with `shamisen predict --model {}`\n",
        model.id,
        printable(&model.name),
        to.display(),
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
