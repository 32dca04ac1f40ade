//! `demo`: two bundled real data sets, three local parties.

use std::fmt::Write;
use std::fs;
use std::time::Instant;

use shamisen_local::report::{Report, Scores};
use shamisen_local::train::train;
use shamisen_local::transport::TransportName;

use crate::args::DemoArguments;
use crate::choices::{Hidden, TargetScalingName, TaskName};
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};
use crate::job::JobFields;
use crate::progress::Screen;
use crate::summary::{bytes, counted, layers, seconds};

/// A bundled data set, and how to train on it.
struct Example {
    title: &'static str,
    table: &'static str,
    target: &'static str,
    task: TaskName,
    target_scaling: Option<TargetScalingName>,
    hidden: &'static [usize],
    epochs: usize,
    batch_size: usize,
    learning_rate: f64,
}

const EXAMPLES: [Example; 2] = [
    Example {
        title: "breast cancer: benign or malignant",
        table: include_str!("../../../datasets/breast_cancer.csv"),
        target: "diagnosis",
        task: TaskName::Classification,
        target_scaling: None,
        hidden: &[32, 16],
        epochs: 10,
        batch_size: 32,
        learning_rate: 0.005,
    },
    Example {
        title: "diabetes: progression within a year",
        table: include_str!("../../../datasets/diabetes.csv"),
        target: "progression",
        task: TaskName::Regression,
        target_scaling: Some(TargetScalingName::Standard),
        hidden: &[16],
        epochs: 10,
        batch_size: 32,
        learning_rate: 0.005,
    },
];

/// Carries out `demo`.
pub(crate) fn run(arguments: &DemoArguments, verbose: u8) -> Result<()> {
    interrupt::install();
    let started = Instant::now();
    let joined = match arguments.transport {
        TransportName::Tls | TransportName::Tcp => "three processes joined by TLS",
        TransportName::Memory => "three threads joined in memory",
    };
    crate::print(&format!(
        "Two data sets are split into secret shares. {joined} train on the shares; none of them sees\n\
         a value, a weight or a prediction. The float twin is the same training in the clear, to compare with.\n",
        joined = capitalised(joined),
    ))?;
    for example in &EXAMPLES {
        let report = train_on(example, arguments.transport, verbose)?;
        crate::print(&text(example, &report))?;
    }
    crate::print(&format!(
        "\nAll of it took {}. Next: shamisen train --help\n",
        seconds(started.elapsed().as_secs_f64())
    ))
}

fn train_on(example: &Example, transport: TransportName, verbose: u8) -> Result<Report> {
    let _protection = Protection::new();
    let dir = tempfile::Builder::new()
        .prefix("shamisen-demo-")
        .tempdir()
        .map_err(|error| Failure::file("create a directory in", &std::env::temp_dir(), &error))?;
    let table = dir.path().join("table.csv");
    fs::write(&table, example.table).map_err(|error| Failure::file("write", &table, &error))?;
    let fields = JobFields {
        data: vec![table],
        target: Some(example.target.to_owned()),
        task: Some(example.task),
        target_scaling: example.target_scaling,
        hidden: Some(Hidden(example.hidden.to_vec())),
        epochs: Some(example.epochs),
        batch_size: Some(example.batch_size),
        learning_rate: Some(example.learning_rate),
        transport: Some(transport),
        twin: true,
        ..JobFields::default()
    };
    Ok(train(&fields.resolve()?, verbose, &mut Screen::default())?)
}

fn text(example: &Example, report: &Report) -> String {
    let cost = &report.cost;
    let batches = report.training.batches as f64;
    let sent: f64 = cost.bytes_sent_per_batch.iter().sum::<f64>() * batches;
    let twin = report.twin.as_ref().map(|twin| twin.scores).unwrap_or_default();
    let ((name, own), (_, twin)) = (score(&report.test), score(&twin));
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(out, "\n{}", example.title);
    for (name, value) in [
        ("rows", format!("{} to train on, {} to test on", report.data.rows, report.data.test_rows)),
        (
            "network",
            format!("{}, {}", layers(&report.model.layers), counted(report.training.epochs, "epoch")),
        ),
        (name, format!("{own} on secret shares, {twin} of the float twin")),
        ("time", seconds(report.training.seconds)),
        (
            "traffic",
            format!(
                "{} with {:.0} rounds each, {} sent by all parties together",
                counted(report.training.batches, "mini-batch"),
                cost.rounds_per_batch,
                bytes(sent)
            ),
        ),
    ] {
        let _ = writeln!(out, "  {name:<10} {value}");
    }
    out
}

/// The score that people know best.
fn score(scores: &Scores) -> (&'static str, String) {
    match (scores.accuracy, scores.r2) {
        (Some(accuracy), _) => ("accuracy", format!("{:.2} %", 100.0 * accuracy)),
        (None, Some(r2)) => ("R2", format!("{r2:.3}")),
        (None, None) => ("score", "undefined".to_owned()),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
