//! `terms`: on what terms a data set is given.

use std::fmt::Write;

use shamisen_service::api::data::DataSetInfo;
use shamisen_service::terms::Output;

use crate::data_sets::args::DataSetArguments;
use crate::data_sets::{Asker, printable};
use crate::failure::Result;
use crate::interrupt;
use crate::summary::grouped;

/// Carries out `terms`.
pub(crate) fn run(arguments: &DataSetArguments) -> Result<()> {
    interrupt::install();
    let set = Asker::read(&arguments.servers)?.data_set(&arguments.data_set)?;
    crate::print(&text(&set))
}

fn text(set: &DataSetInfo) -> String {
    let terms = &set.terms;
    let list = |items: Vec<String>| items.join(", ");
    let names = |names: &[String]| printable(&names.join(", "));
    let receivers = |output| {
        let keys = terms.receivers(output);
        if keys.is_empty() {
            "nobody".to_owned()
        } else {
            list(keys.iter().map(ToString::to_string).collect())
        }
    };
    let columns = terms.columns.as_ref().unwrap_or(&set.schema.features);
    let expired = if set.expired { " (is over)" } else { "" };
    let mut lines = vec![
        ("data set", format!("{} ({})", printable(&set.name), set.id)),
        ("owner", format!("{} ({})", printable(&set.owner), set.owner_fingerprint)),
        ("rows", format!("{} to train on, {} to test on", grouped(set.rows), grouped(set.test_rows))),
        ("target", printable(&set.schema.target)),
    ];
    if !set.schema.classes.is_empty() {
        lines.push(("classes", names(&set.schema.classes)));
    }
    lines.extend([
        ("trainers", list(terms.trainers.iter().map(ToString::to_string).collect())),
        ("columns", format!("{} of {}: {}", columns.len(), set.schema.features.len(), names(columns))),
        ("tasks", list(terms.tasks.iter().map(ToString::to_string).collect())),
        ("max_epochs", format!("{} of a training", terms.max_epochs)),
        ("max_jobs", format!("{}, of which {} were admitted", terms.max_jobs, set.trainings)),
        ("outputs", list(terms.outputs.iter().map(ToString::to_string).collect())),
        ("predictions_to", receivers(Output::Predictions)),
        ("model_to", receivers(Output::Model)),
        ("least_rows", format!("{} of a training", terms.least_rows)),
        ("expires", format!("{}, the last day{expired}", terms.expires)),
    ]);
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<15}{value}");
    }
    text
}
