//! `inspect`: what is publicly known of a model.

use std::fmt::Write;
use std::path::Path;

use shamisen_data::model::PREPROCESSING_FILE;
use shamisen_data::scaling::{Preprocessing, Scaling};

use crate::failure::Result;
use crate::predict::read_model;
use crate::summary::{counted, grouped, layers, scores, seconds, task};

/// Prints the description of a model whose files are all there and whole.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let (description, summary) = read_model(dir)?;
    let preprocessing = Preprocessing::read(&dir.join(PREPROCESSING_FILE))?;
    let plan = &summary.plan;
    let scaling = match preprocessing.scaling {
        Scaling::Standard => "standard",
        Scaling::MinMax => "min-max",
        Scaling::None => "none",
    };
    let mut lines = vec![
        ("model", description.id.clone()),
        ("task", format!("{} of `{}`", task(plan.task), description.target_name)),
        ("network", format!("{}, {} parameters", layers(&plan.layers), grouped(description.parameters))),
        ("features", format!("{} ({scaling} scaling)", description.feature_names.len())),
    ];
    if !description.classes.is_empty() {
        lines.push(("classes", shortened(&description.classes)));
    }
    lines.push((
        "training",
        format!(
            "{}, {}, {}",
            counted(summary.rows, "row"),
            counted(plan.epochs, "epoch"),
            seconds(summary.seconds)
        ),
    ));
    for (name, value) in scores(&summary.scores, None) {
        lines.push((name, format!("{value} on {}", summary.scored_on)));
    }
    lines.push(("shares", format!("{}: present and whole", description.share_files.join(", "))));
    lines.push(("security", "semi-honest: no single share file tells anything about the weights".to_owned()));
    let mut out = String::new();
    for (name, value) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{name:<14} {value}");
    }
    crate::print(&out)
}

/// The first names of a long list.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown =
        names.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
