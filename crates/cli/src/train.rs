//! `train`: the data owner and launcher.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use shamisen_data::dataset::DatasetDescription;
use shamisen_data::model::{ModelDescription, PREPROCESSING_FILE, SHARE_FILES, VERSION, write_description};
use shamisen_data::prepare::{PrepareOptions, Prepared};
use shamisen_data::scaling::Preprocessing;
use shamisen_data::shares::random_id;
use shamisen_data::table::TargetKind;
use shamisen_nn::formats::{self, FEATURE_BITS, WEIGHT_FRAC, activation_frac};
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_nn::twin::{self, PlainExamples};

use crate::args::TrainArguments;
use crate::assignment::{Assignment, Score, Work};
use crate::event::Outcome;
use crate::failure::{Failure, Result};
use crate::inspect::read_shares;
use crate::interrupt;
use crate::job::{Job, JobFields, Rows};
use crate::launch;
use crate::party::MODEL_SHARE_FILE;
use crate::progress::Display;
use crate::report::{Cost, Data, Model, Report, Scores, Training, Twin};
use crate::share::{look_at, party_dirs};
use crate::store::{Staged, check_new_dir, check_writable, write_atomically};
use crate::summary;
use crate::workdir::WorkDir;

/// Rows of a mini-batch unless the user says otherwise.
const DEFAULT_BATCH: usize = 128;

/// Largest magnitude of a scaled feature or target.
pub(crate) const LIMIT: f64 = (1_u64 << FEATURE_BITS) as f64;

/// What a model's description says about its training.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TrainingSummary {
    /// The plan that was followed.
    pub(crate) plan: Plan,
    /// Training rows.
    pub(crate) rows: usize,
    /// Wall time.
    pub(crate) seconds: f64,
    /// The loss of the last epoch.
    pub(crate) loss: Option<f64>,
    /// How good the network was, and on which rows.
    pub(crate) scores: Scores,
    /// `test rows` or `training rows`.
    pub(crate) scored_on: String,
}

/// Carries out `train`.
pub(crate) fn run(arguments: &TrainArguments, verbose: u8) -> Result<()> {
    let file = arguments.job.as_deref().map(JobFields::read).transpose()?.unwrap_or_default();
    let job = arguments.fields.clone().or(file).resolve()?;
    interrupt::install();
    let report = train(&job, verbose)?;
    crate::print(&summary::text(&report))
}

/// Trains by a job: prepares and shares the data, runs the parties, and writes model and report.
pub(crate) fn train(job: &Job, verbose: u8) -> Result<Report> {
    check_outputs(job)?;
    launch::check_ports(&job.link)?;
    let Dealt { work, plan, description, preprocessing, twin } = match &job.rows {
        Rows::Table(options) => Dealt::from_table(job, options)?,
        Rows::Shares(dir) => Dealt::from_shares(job, dir)?,
    };
    let (rows, test_rows) = (description.rows, description.test_rows);
    let score = if test_rows.is_some() { Score::TestRows } else { Score::TrainingRows };
    let id = job.model.is_some().then(random_id).transpose()?;
    let train = Work::Train { score, model: id.clone() };
    let assignment = Assignment::new(plan.clone(), description.id, train, job.threads);
    work.write_assignment(&assignment)?;

    let mut display = Display::new(&plan, rows);
    let outcomes = launch::run(&work, &job.link, verbose, &mut |party, step| display.show(party, step))?;
    display.finish();
    interrupt::check()?;

    let report = report(job, &assignment, &preprocessing, (rows, test_rows), &outcomes, twin)?;
    if let (Some(dir), Some(id)) = (&job.model, &id) {
        write_model(dir, id, &work, &plan, &preprocessing, &report)?;
    }
    if let Some(path) = &job.report {
        write_atomically(path, report.json().as_bytes())?;
    }
    Ok(report)
}

/// Fails early if there is no place for what the run will give.
fn check_outputs(job: &Job) -> Result<()> {
    if let Some(report) = &job.report {
        check_writable(report)?;
    }
    job.model.as_deref().map_or(Ok(()), |dir| check_new_dir(dir, "model"))
}

/// Shared rows in a work directory, and what the owner knows of them.
struct Dealt {
    work: WorkDir,
    plan: Plan,
    description: DatasetDescription,
    preprocessing: Preprocessing,
    twin: Option<Twin>,
}

impl Dealt {
    /// Shares a table. With the twin, its rows are in memory before.
    fn from_table(job: &Job, options: &PrepareOptions) -> Result<Self> {
        let survey = look_at(options)?;
        let preprocessing = survey.preprocessing().clone();
        let (features, outputs) = (preprocessing.feature_names.len(), survey.outputs());
        let plan = plan(job, &preprocessing, (features, outputs), survey.rows(), survey.target_bits())?;
        // First, because there is nothing to clean up yet, and alone, because it would slow the parties down.
        let twin = if job.twin { Some(train_twin(&plan, &survey.collect()?)) } else { None };
        let work = WorkDir::new()?;
        let description = work.share(&plan, &survey, &random_id()?)?;
        Ok(Self { work, plan, description, preprocessing, twin })
    }

    /// Takes the shares of a directory that `share` wrote.
    fn from_shares(job: &Job, dir: &Path) -> Result<Self> {
        let (description, preprocessing) = read_shares(dir)?;
        let DatasetDescription { features, outputs, rows, target_bits, .. } = description;
        let plan = plan(job, &preprocessing, (features, outputs), rows, target_bits)?;
        let (needed, given) = (activation_frac(&plan), description.feature_frac);
        if needed != given {
            let widest = plan.layers.iter().copied().max().unwrap_or_default();
            return Err(Failure::input(format!(
                "the rows in {} are shared with {given} fractional bits, but a network whose widest layer has {widest} \
                 units needs {needed}: share the table again with --widest-layer {widest}",
                dir.display()
            )));
        }
        let work = WorkDir::new()?;
        work.link_shares(&party_dirs(dir), &description)?;
        Ok(Self { work, plan, description, preprocessing, twin: None })
    }
}

/// The public plan of the training, with so many features and outputs.
fn plan(
    job: &Job,
    preprocessing: &Preprocessing,
    (features, outputs): (usize, usize),
    rows: usize,
    target_bits: u32,
) -> Result<Plan> {
    let mut layers = vec![features];
    layers.extend(&job.hidden);
    layers.push(outputs);
    let plan = Plan {
        task: match preprocessing.kind() {
            TargetKind::Classes => Task::Classification,
            TargetKind::Number => Task::Regression,
        },
        layers,
        optimizer: job.optimizer,
        learning_rate: job.learning_rate,
        weight_decay: job.weight_decay,
        batch_size: job.batch_size.unwrap_or(DEFAULT_BATCH.min(rows)),
        epochs: job.epochs,
        seed: job.seed,
        feature_bits: preprocessing.scaling.feature_bits(FEATURE_BITS),
        target_bits,
    };
    formats::check(&plan).map_err(|error| Failure::input(error.to_string()))?;
    if plan.batch_size > rows {
        return Err(Failure::input(format!(
            "the batch size is {}, but there are only {rows} training rows: choose at most {rows}",
            plan.batch_size
        )));
    }
    Ok(plan)
}

/// The same training in the clear.
fn train_twin(plan: &Plan, prepared: &Prepared) -> Twin {
    let started = Instant::now();
    let train = &prepared.train;
    let examples = PlainExamples {
        features: train.features.values(),
        targets: train.targets.values(),
        rows: train.features.rows(),
    };
    let model = twin::train(plan, examples, |_, _, _| ());
    let scored = prepared.test.as_ref().unwrap_or(train);
    let outputs = model.outputs(scored.features.values());
    let scores = Scores::from(twin::evaluate(plan.task, plan.outputs(), &outputs, scored.targets.values()));
    Twin {
        scores: scores.in_own_units(&prepared.preprocessing),
        loss: model.loss,
        seconds: started.elapsed().as_secs_f64(),
    }
}

fn report(
    job: &Job,
    assignment: &Assignment,
    preprocessing: &Preprocessing,
    (rows, test_rows): (usize, Option<usize>),
    outcomes: &[Outcome; 3],
    twin: Option<Twin>,
) -> Result<Report> {
    let [first, ..] = outcomes;
    let metrics = first
        .metrics
        .ok_or_else(|| Failure::run("the parties evaluated nothing, which is a bug of shamisen"))?;
    let same = |other: &Outcome| other.metrics == first.metrics && other.loss == first.loss;
    if !outcomes.iter().all(same) {
        return Err(Failure::run(
            "the parties disagree about the opened results: one of them did not follow the protocol",
        ));
    }
    let scores = Scores::from(metrics);
    let plan = &assignment.plan;
    let batches = plan.epochs * rows.div_ceil(plan.batch_size);
    let (optimizer, refresh, momentum) = match plan.optimizer {
        Optimizer::Adam { refresh, .. } => ("adam", Some(refresh), None),
        Optimizer::Sgd { momentum } => ("sgd", None, Some(momentum)),
        _ => ("other", None, None),
    };
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        security: "semi-honest".to_owned(),
        joined: job.link.joined(),
        processes: job.link.joined().processes(),
        threads: assignment.working_lanes().get().into(),
        task: plan.task,
        model: Model { layers: plan.layers.clone(), parameters: plan.parameters() },
        data: Data {
            rows,
            features: plan.features(),
            test_rows: test_rows.unwrap_or(rows),
            scored_on: if test_rows.is_some() { "test rows" } else { "training rows" }.to_owned(),
        },
        training: Training {
            optimizer: optimizer.to_owned(),
            refresh,
            momentum,
            learning_rate: plan.learning_rate,
            weight_decay: plan.weight_decay,
            seed: plan.seed,
            epochs: plan.epochs,
            batch_size: plan.batch_size,
            batches,
            seconds: outcomes.iter().map(|outcome| outcome.seconds).fold(0.0, f64::max),
            loss: first.loss.clone(),
        },
        test: scores.in_own_units(preprocessing),
        twin,
        cost: Cost::new(outcomes, batches),
    })
}

/// Writes the model directory, which appears when it is complete.
fn write_model(
    dir: &Path,
    id: &str,
    work: &WorkDir,
    plan: &Plan,
    preprocessing: &Preprocessing,
    report: &Report,
) -> Result<()> {
    let summary = TrainingSummary {
        plan: plan.clone(),
        rows: report.data.rows,
        seconds: report.training.seconds,
        loss: report.training.loss.last().copied(),
        scores: report.test,
        scored_on: report.data.scored_on.clone(),
    };
    let json = |error: serde_json::Error| Failure::run(format!("the model cannot be described: {error}"));
    let description = ModelDescription {
        id: id.to_owned(),
        version: VERSION,
        task: preprocessing.kind(),
        layers: serde_json::to_value(&plan.layers).map_err(json)?,
        frac: WEIGHT_FRAC,
        parameters: plan.parameters() as u64,
        feature_names: preprocessing.feature_names.clone(),
        target_name: preprocessing.target_name.clone(),
        classes: preprocessing.classes.clone(),
        training: serde_json::to_value(summary).map_err(json)?,
        share_files: SHARE_FILES.map(str::to_owned),
    };
    let failed = |error: std::io::Error| Failure::file("write", dir, &error);
    let staged = Staged::new(dir)?;
    write_description(staged.path(), &description)?;
    preprocessing.write(&staged.path().join(PREPROCESSING_FILE))?;
    for (share, name) in work.files(MODEL_SHARE_FILE).iter().zip(SHARE_FILES) {
        // The copy is as secret as the original.
        fs::copy(share, staged.path().join(name)).map_err(failed)?;
        fs::File::open(staged.path().join(name)).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    staged.publish()
}
