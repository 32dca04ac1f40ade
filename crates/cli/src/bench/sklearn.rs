//! `bench versus-sklearn`: one epoch beside scikit-learn on the same rows.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use shamisen_local::link::Link;
use shamisen_local::store::check_writable;
use shamisen_local::transport::{Joined, TransportName};
use shamisen_nn::plan::{Optimizer, Plan};
use tempfile::TempDir;

use crate::bench::args::SklearnArguments;
use crate::bench::case::Case;
use crate::bench::document::{Machine, publish};
use crate::bench::table::{median, table};
use crate::failure::{Failure, Result};
use crate::interrupt::{self, Protection};

/// The program that trains with scikit-learn.
const SCRIPT: &str = include_str!("../../../../scripts/versus_sklearn.py");

/// Exit status of the program if scikit-learn is missing.
const MISSING: i32 = 3;

/// The figures of `bench versus-sklearn`.
#[derive(Serialize)]
struct Versus {
    /// `MNIST` or `synthetic`.
    data: &'static str,
    rows: usize,
    layers: Vec<usize>,
    batch_size: usize,
    /// Threads of each party that worked at the same time.
    threads: usize,
    optimizer: Optimizer,
    learning_rate: f64,
    /// Training time of each run of Shamisen, without sharing the data, connecting and evaluating.
    shamisen_seconds: Vec<f64>,
    /// Time of each call of `fit`.
    sklearn_seconds: Vec<f64>,
    shamisen_median_seconds: f64,
    sklearn_median_seconds: f64,
    /// The first divided by the second.
    ratio: f64,
    sklearn: Versions,
}

/// What the comparison is with.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Versions {
    python: String,
    numpy: String,
    scikit_learn: String,
}

/// What the program prints.
#[derive(Debug, Deserialize)]
struct Fitted {
    seconds: f64,
    iterations: usize,
}

/// Carries out `bench versus-sklearn`.
pub(crate) fn run(arguments: &SklearnArguments, verbose: u8) -> Result<()> {
    arguments.json.as_deref().map_or(Ok(()), check_writable)?;
    let machine = Machine::new(Some(arguments.case.transport));
    if arguments.runs == 0 {
        return Err(Failure::input("no runs are asked for: give --runs at least 1"));
    }
    let versions: Versions = python(&arguments.python, &["--versions".to_owned()])?;
    let case = Case::new(&arguments.case, arguments.rows)?;
    let link = Link::new(arguments.case.transport, None, None, None, None)?;
    let _protection = Protection::new();
    let dir = tempfile::Builder::new()
        .prefix("shamisen-bench-")
        .tempdir()
        .map_err(|error| Failure::file("create a directory in", &std::env::temp_dir(), &error))?;
    let options = options(&case, &dir)?;
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        interrupt::check()?;
        let fitted: Fitted = python(&arguments.python, &options)?;
        if fitted.iterations != 1 {
            return Err(Failure::run(format!(
                "scikit-learn trained for {} epochs instead of 1",
                fitted.iterations
            )));
        }
        other.push(fitted.seconds);
        let outcomes = case.train(&link, verbose)?;
        own.push(outcomes.iter().map(|outcome| outcome.seconds).fold(0.0, f64::max));
    }
    let (own_median, other_median) = (median(&own), median(&other));
    let figures = Versus {
        data: case.data,
        rows: case.rows.features.rows(),
        layers: case.plan.layers.clone(),
        batch_size: case.plan.batch_size,
        threads: case.lanes(),
        optimizer: case.plan.optimizer,
        learning_rate: case.plan.learning_rate,
        shamisen_seconds: own,
        sklearn_seconds: other,
        shamisen_median_seconds: own_median,
        sklearn_median_seconds: other_median,
        ratio: own_median / other_median,
        sklearn: versions,
    };
    let text = text(&case, &figures, &machine, arguments.case.transport);
    publish("versus-sklearn", machine, &figures, &text, arguments.json.as_deref())
}

/// Writes the rows where Python finds them, and says so in its options.
fn options(case: &Case, dir: &TempDir) -> Result<Vec<String>> {
    let Plan { layers, batch_size, learning_rate, seed, .. } = &case.plan;
    let (features, labels) = (dir.path().join("features"), dir.path().join("labels"));
    let targets = &case.rows.targets;
    let classes = targets
        .values()
        .chunks_exact(targets.cols())
        .map(|row| row.iter().position(|target| *target > 0.5).unwrap_or_default() as f64);
    let write = |path: &Path, numbers: &mut dyn Iterator<Item = f64>| {
        write_numbers(path, numbers).map_err(|error| Failure::file("write", path, &error))
    };
    write(&features, &mut case.rows.features.values().iter().copied())?;
    write(&labels, &mut classes.into_iter())?;
    let hidden = &layers[1..layers.len() - 1];
    let hidden = hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let solver = if matches!(case.plan.optimizer, Optimizer::Adam { .. }) { "adam" } else { "sgd" };
    Ok([
        ("--features", features.display().to_string()),
        ("--labels", labels.display().to_string()),
        ("--columns", layers[0].to_string()),
        ("--hidden", hidden),
        ("--batch-size", batch_size.to_string()),
        ("--learning-rate", learning_rate.to_string()),
        ("--solver", solver.to_owned()),
        ("--seed", seed.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| format!("{name}={value}"))
    .collect())
}

/// Numbers as little-endian `f64`.
fn write_numbers(path: &Path, numbers: &mut dyn Iterator<Item = f64>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for number in numbers {
        file.write_all(&number.to_le_bytes())?;
    }
    file.flush()
}

/// Runs the program and reads the JSON that it prints.
fn python<T: for<'a> Deserialize<'a>>(program: &Path, options: &[String]) -> Result<T> {
    let shown = program.display();
    let mut child = Command::new(program)
        .arg("-")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::input(format!(
                "{shown} is not installed: install Python 3 and scikit-learn, or name a Python that has it with \
                 --python"
            )),
            _ => Failure::file("start", program, &error),
        })?;
    if let Some(mut input) = child.stdin.take() {
        // If it does not read to the end, its exit status says more.
        drop(input.write_all(SCRIPT.as_bytes()));
    }
    let output = child
        .wait_with_output()
        .map_err(|error| Failure::run(format!("{shown} cannot be waited for: {error}")))?;
    interrupt::check()?;
    if output.status.code() == Some(MISSING) {
        return Err(Failure::input(format!(
            "{shown} has no scikit-learn: install it with `{shown} -m pip install scikit-learn`, or name a Python \
             that has it with --python"
        )));
    }
    let failed = |reason: &str| Failure::run(format!("the training with scikit-learn failed: {reason}"));
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(failed(errors.trim().lines().last().unwrap_or("it gave no reason")));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error.to_string()))
}

fn text(case: &Case, figures: &Versus, machine: &Machine, transport: TransportName) -> String {
    let row = |name: &str, all: &[f64], median: f64| {
        let all = all.iter().map(|seconds| format!("{seconds:.2}")).collect::<Vec<_>>().join(" ");
        [name.to_owned(), format!("{median:.2}"), all]
    };
    let rows = [
        row("Shamisen", &figures.shamisen_seconds, figures.shamisen_median_seconds),
        row("scikit-learn", &figures.sklearn_seconds, figures.sklearn_median_seconds),
    ];
    let Versions { python, numpy, scikit_learn } = &figures.sklearn;
    format!(
        "{}: {} of them, learning rate {}\n{}scikit-learn {scikit_learn}, NumPy {numpy}, Python {python}, one BLAS thread, \
         float64\n\
         Seconds of training for one epoch, in turn. Shamisen: of the slowest party, without sharing the data,\n\
         connecting and scoring. scikit-learn: of MLPClassifier.fit.\n\n{}\nratio of the medians: {:.1}\n",
        case.line(),
        figures.rows,
        figures.learning_rate,
        machine.line(&Joined::from(transport).of_training()),
        table(["", "median", "runs"], &rows),
        figures.ratio
    )
}
