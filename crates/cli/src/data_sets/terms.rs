//! `terms`: on what terms a data set is given, and new ones in their place.

use std::fmt::Write;

use shamisen_service::api::data::DataSetInfo;
use shamisen_service::consult;
use shamisen_service::terms::{Output, Terms};
use shamisen_service::terms_change::{SignedTerms, TermsChange};

use crate::data_sets::args::{DataSetArguments, TermsArguments};
use crate::data_sets::{Asker, printable};
use crate::failure::{Failure, Result};
use crate::inspect::scaling;
use crate::interrupt;
use crate::summary::grouped;

/// Carries out `terms`.
pub(crate) fn run(arguments: &TermsArguments) -> Result<()> {
    interrupt::install();
    let DataSetArguments { data_set, servers } = &arguments.data_set;
    let asker = Asker::read(servers)?;
    if let Some(path) = &arguments.set {
        change(&asker, data_set, Terms::read(path)?)?;
    }
    crate::print(&text(&asker.data_set(data_set)?))
}

/// Signs new terms, and hands them in to all three servers.
fn change(asker: &Asker, reference: &str, terms: Terms) -> Result<()> {
    let at = asker.at_all(reference)?;
    // Later than the last change at any of the servers, in case one of them has missed it.
    let revision = at.iter().map(|set| set.revision).max().unwrap_or(0) + 1;
    let dataset = at[0].id.clone();
    let path = format!("/v1/datasets/{dataset}/terms");
    let signed = SignedTerms::sign(&TermsChange { dataset, revision, terms }, &asker.identity)
        .map_err(|error| Failure::input(error.to_string()))?;
    let answers = consult::put::<_, DataSetInfo>(&asker.cluster, &asker.identity, &path, &signed)?;
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    let missing =
        answers.iter().enumerate().find_map(|(party, answer)| Some((party, answer.as_ref().err()?)));
    let Some((party, error)) = missing else { return Ok(()) };
    let problem = consult::explained(party, error);
    if done == 0 {
        return Err(Failure::input(problem));
    }
    Err(Failure::run(format!(
        "{done} of three servers have the new terms, so that only what the old and the new ones allow is done; {problem}; then the same command once more"
    )))
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
    let target = match set.task {
        Some(_) => printable(&set.schema.target),
        None => "none: for trainings with the target of another data set".to_owned(),
    };
    let mut lines = vec![
        ("data set", format!("{} ({})", printable(&set.name), set.id)),
        ("owner", format!("{} ({})", printable(&set.owner), set.owner_fingerprint)),
        ("rows", format!("{} to train on, {} to test on", grouped(set.rows), grouped(set.test_rows))),
        ("target", target),
    ];
    if !set.schema.classes.is_empty() {
        lines.push(("classes", names(&set.schema.classes)));
    }
    let seed = set.preparation.seed.map(|seed| format!(", rows held out by seed {seed}"));
    let scaling = scaling(set.preparation.scaling);
    lines.push(("scaling", format!("{scaling}{}", seed.unwrap_or_default())));
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
        ("changed", format!("{} times by the owner", set.revision)),
    ]);
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<15}{value}");
    }
    text
}
