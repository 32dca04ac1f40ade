//! Training: the data owner and launcher.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use shamisen_data::dataset::DatasetDescription;
use shamisen_data::model::{PREPROCESSING_FILE, SHARE_FILES, write_description};
use shamisen_data::open_model::OpenModel;
use shamisen_data::prepare::{PrepareOptions, Prepared};
use shamisen_data::scaling::Preprocessing;
use shamisen_data::shares::random_id;
use shamisen_data::table::TargetKind;
use shamisen_nn::formats::{self, FEATURE_BITS, activation_frac};
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_nn::twin::{self, PlainExamples};
use shamisen_party::assignment::{Assignment, Schedule, Score, Work};
use shamisen_party::event::Outcome;
use shamisen_party::{MODEL_SHARE_FILE, START_SHARE_FILE};

use crate::dataset::read_shares;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::job::{DEFAULT_BATCH, Job, Rows};
use crate::launch;
use crate::open::described;
use crate::predict::TrainingSummary;
use crate::progress::Progress;
use crate::report::{Cost, Data, Model, Report, Scores, Training, Twin};
use crate::resume::{Changes, OwnersPart, anywhere, is_run, read_assignment, with_way_on};
use crate::share::{look_at, party_dirs};
use crate::store::{Staged, check_new_dir, check_writable, write_atomically};
use crate::workdir::WorkDir;

/// Trains by a job: prepares and shares the data, runs the parties, and writes model and report.
///
/// The parties log more, the more `verbose` is.
///
/// # Errors
///
/// If input or outputs are not as they must be, a party fails, or it is asked to stop.
pub fn train(job: &Job, verbose: u8, progress: &mut dyn Progress) -> Result<Report> {
    let (model, report) = (job.model.as_deref(), job.report.as_deref());
    check_outputs(model, report)?;
    job.checkpoints.as_ref().map_or(Ok(()), |(dir, _)| check_checkpoints(dir, model))?;
    launch::check_ports(&job.link)?;
    let Dealt { mut work, plan, description, preprocessing, twin } = match &job.rows {
        Rows::Table(options) => Dealt::from_table(job, options, progress)?,
        Rows::Shares(dir) => Dealt::from_shares(job, dir)?,
    };
    let DatasetDescription { id, rows, test_rows, .. } = description;
    let score = if test_rows.is_some() { Score::TestRows } else { Score::TrainingRows };
    let schedule = |every: NonZeroUsize| Ok::<_, Failure>(Schedule { run: random_id()?, every });
    let checkpoints = job.checkpoints.as_ref().map(|(_, every)| schedule(*every)).transpose()?;
    // A training that can go on may be asked for its model later.
    let model = (model.is_some() || checkpoints.is_some()).then(random_id).transpose()?;
    let start = job.start.as_ref().map(|start| start.description.id.clone());
    let assignment = Assignment::new(plan, id, Work::Train { score, model, start, checkpoints }, job.threads);
    work.write_assignment(&assignment)?;
    job.start.as_ref().map_or(Ok(()), |start| start.give(&work, START_SHARE_FILE))?;
    let owner = OwnersPart {
        link: job.link,
        rows,
        test_rows,
        twin,
        model: job.model.as_deref().map(anywhere).transpose()?,
        report: job.report.as_deref().map(anywhere).transpose()?,
    };
    let Some((dir, _)) = &job.checkpoints else {
        return Ready { work, assignment, preprocessing, owner }.carry_out(verbose, progress);
    };
    owner.write(work.root(), &preprocessing, dir)?;
    interrupt::check()?;
    work.publish()?;
    let ready = Ready { work, assignment, preprocessing, owner };
    ready.carry_out_kept(dir, verbose, progress)
}

/// Goes on with a training that keeps checkpoints in a directory.
///
/// # Errors
///
/// As [`train`].
pub fn resume(dir: &Path, changes: Changes, verbose: u8, progress: &mut dyn Progress) -> Result<Report> {
    let (owner, preprocessing) = OwnersPart::read(dir)?;
    let owner = owner.with(changes)?;
    let work = WorkDir::kept(dir)?;
    let (assignment, _) = read_assignment(&party_dirs(dir))?;
    check_outputs(owner.model.as_deref(), owner.report.as_deref())?;
    launch::check_ports(&owner.link)?;
    Ready { work, assignment, preprocessing, owner }.carry_out_kept(dir, verbose, progress)
}

/// The plan of a job, and its training rows. The table is read for that, but nothing is shared.
///
/// # Errors
///
/// If the job or its rows are not as they must be.
pub fn planned(job: &Job, progress: &mut dyn Progress) -> Result<(Plan, usize)> {
    let (preprocessing, width, rows, target_bits) = match &job.rows {
        Rows::Table(options) => {
            let survey = look_at(&known(job, options), progress)?;
            let preprocessing = survey.preprocessing().clone();
            let width = (preprocessing.feature_names.len(), survey.outputs());
            (preprocessing, width, survey.rows(), survey.target_bits())
        }
        Rows::Shares(dir) => {
            let (description, preprocessing) = read_shares(dir)?;
            check_start(job, dir, &preprocessing)?;
            let DatasetDescription { features, outputs, rows, target_bits, .. } = description;
            (preprocessing, (features, outputs), rows, target_bits)
        }
    };
    Ok((plan(job, &preprocessing, width, rows, target_bits)?, rows))
}

/// Fails early if there is no place for what the run will give.
fn check_outputs(model: Option<&Path>, report: Option<&Path>) -> Result<()> {
    if let Some(report) = report {
        check_writable(report)?;
    }
    model.map_or(Ok(()), |dir| check_new_dir(dir, "model"))
}

/// Fails if no checkpoints can be kept in a directory.
fn check_checkpoints(dir: &Path, model: Option<&Path>) -> Result<()> {
    let (name, model) = (dir.display(), model.map(anywhere).transpose()?);
    if model.is_some_and(|model| anywhere(dir).is_ok_and(|dir| dir == model)) {
        return Err(Failure::input(format!(
            "{name} cannot hold model and checkpoints: name two directories"
        )));
    }
    if is_run(dir) {
        return Err(Failure::input(format!(
            "{name} holds a training that is not complete: go on with it by --resume {name}, or name a new directory"
        )));
    }
    check_new_dir(dir, "checkpoints")
}

/// A training whose parties can be started.
struct Ready {
    work: WorkDir,
    assignment: Assignment,
    preprocessing: Preprocessing,
    owner: OwnersPart,
}

impl Ready {
    /// As [`carry_out`](Self::carry_out), with checkpoints in this directory, which is removed when it is not needed any more.
    fn carry_out_kept(self, dir: &Path, verbose: u8, progress: &mut dyn Progress) -> Result<Report> {
        let report = self.carry_out(verbose, progress).map_err(|failure| with_way_on(dir, failure))?;
        self.work.complete()?;
        Ok(report)
    }

    /// Runs the parties, and writes model and report.
    fn carry_out(&self, verbose: u8, progress: &mut dyn Progress) -> Result<Report> {
        let Self { work, assignment, preprocessing, owner } = self;
        progress.training(&assignment.plan, owner.rows);
        let outcomes =
            launch::run(work, &owner.link, verbose, &mut |party, step| progress.step(party, step))?;
        progress.done();
        interrupt::check()?;

        let report = report(assignment, preprocessing, &outcomes, owner)?;
        if let (Some(dir), Work::Train { model: Some(id), .. }) = (&owner.model, &assignment.work) {
            write_model(dir, id, work, &assignment.plan, preprocessing, &report)?;
        }
        if let Some(path) = &owner.report {
            write_atomically(path, report.json().as_bytes())?;
        }
        Ok(report)
    }
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
    fn from_table(job: &Job, options: &PrepareOptions, progress: &mut dyn Progress) -> Result<Self> {
        let survey = look_at(&known(job, options), progress)?;
        let preprocessing = survey.preprocessing().clone();
        let (features, outputs) = (preprocessing.feature_names.len(), survey.outputs());
        let plan = plan(job, &preprocessing, (features, outputs), survey.rows(), survey.target_bits())?;
        // First, because there is nothing to clean up yet, and alone, because it would slow the parties down.
        let start = || job.start.as_ref().map(|start| start.open()).transpose();
        let twin = if job.twin { Some(train_twin(&plan, start()?, &survey.collect()?)) } else { None };
        let work = work_dir(job)?;
        let description = work.share(&plan, &survey, &random_id()?, progress)?;
        Ok(Self { work, plan, description, preprocessing, twin })
    }

    /// Takes the shares of a directory that `share` wrote.
    fn from_shares(job: &Job, dir: &Path) -> Result<Self> {
        let (description, preprocessing) = read_shares(dir)?;
        check_start(job, dir, &preprocessing)?;
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
        let work = work_dir(job)?;
        work.link_shares(&party_dirs(dir), &description)?;
        Ok(Self { work, plan, description, preprocessing, twin: None })
    }
}

/// How the rows are prepared: as the model has it that the training begins with, if there is one.
fn known(job: &Job, options: &PrepareOptions) -> PrepareOptions {
    let known = job.start.as_ref().map(|start| start.preprocessing.clone());
    PrepareOptions { known, ..options.clone() }
}

/// Fails if rows that were shared before are not such as the model was trained on that the training begins with.
fn check_start(job: &Job, dir: &Path, preprocessing: &Preprocessing) -> Result<()> {
    let Some(start) = &job.start else { return Ok(()) };
    let known = &start.preprocessing;
    let problem = if preprocessing.feature_names != known.feature_names {
        "have other features than the model"
    } else if preprocessing.classes != known.classes || preprocessing.kind() != known.kind() {
        "have other classes than the model"
    } else if preprocessing.scaling != known.scaling
        || preprocessing.offset != known.offset
        || preprocessing.factor != known.factor
        || preprocessing.target != known.target
    {
        "were scaled by other statistics than the model's"
    } else {
        return Ok(());
    };
    Err(Failure::input(format!(
        "the rows in {} {problem}: give the table by --data, which is then scaled as the model's was",
        dir.display()
    )))
}

/// The parties' directories, where they stay if checkpoints are kept.
fn work_dir(job: &Job) -> Result<WorkDir> {
    job.checkpoints.as_ref().map_or_else(WorkDir::new, |(dir, _)| WorkDir::staged(dir))
}

/// The public plan of the training, with so many features and outputs.
fn plan(
    job: &Job,
    preprocessing: &Preprocessing,
    (features, outputs): (usize, usize),
    rows: usize,
    target_bits: u32,
) -> Result<Plan> {
    let layers = match &job.start {
        Some(start) => start.training.plan.layers.clone(),
        None => [&[features], &job.hidden[..], &[outputs]].concat(),
    };
    let Some(kind) = preprocessing.kind() else {
        return Err(Failure::input(
            "these rows were shared without a target: they are for trainings at three servers with the target of another data set",
        ));
    };
    let plan = Plan {
        task: match kind {
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
fn train_twin(plan: &Plan, start: Option<OpenModel>, prepared: &Prepared) -> Twin {
    let started = Instant::now();
    let train = &prepared.train;
    let examples = PlainExamples {
        features: train.features.values(),
        targets: train.targets.values(),
        rows: train.features.rows(),
    };
    let start = start.map(|start| start.parameters());
    let model = twin::train_epochs(plan, start, examples, |_, _, _| (), |_, _| ControlFlow::Continue(()));
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
    assignment: &Assignment,
    preprocessing: &Preprocessing,
    outcomes: &[Outcome; 3],
    owner: &OwnersPart,
) -> Result<Report> {
    let &OwnersPart { link, rows, test_rows, .. } = owner;
    let [first, ..] = outcomes;
    let metrics = first
        .metrics
        .ok_or_else(|| Failure::run("the parties evaluated nothing, which is a bug of shamisen"))?;
    let same = |other: &Outcome| {
        other.metrics == first.metrics && other.loss == first.loss && other.resumed_from == first.resumed_from
    };
    if !outcomes.iter().all(same) {
        return Err(Failure::run(
            "the parties disagree about the opened results: one of them did not follow the protocol",
        ));
    }
    let scores = Scores::from(metrics);
    let plan = &assignment.plan;
    let batches = plan.epochs * rows.div_ceil(plan.batch_size);
    // Those that were computed now; none if a training went on after its last one.
    let counted = batches.saturating_sub(first.resumed_from.unwrap_or(0) as usize);
    let (optimizer, refresh, momentum) = match plan.optimizer {
        Optimizer::Adam { refresh, .. } => ("adam", Some(refresh), None),
        Optimizer::Sgd { momentum } => ("sgd", None, Some(momentum)),
        _ => ("other", None, None),
    };
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        security: "semi-honest".to_owned(),
        joined: link.joined(),
        processes: link.joined().processes(),
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
            start: match &assignment.work {
                Work::Train { start, .. } => start.clone(),
                Work::Predict => None,
            },
            resumed_from: first.resumed_from,
            seconds: outcomes.iter().map(|outcome| outcome.seconds).fold(0.0, f64::max),
            loss: first.loss.clone(),
        },
        test: scores.in_own_units(preprocessing),
        twin: owner.twin.clone(),
        cost: Cost::new(outcomes, counted.max(1)),
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
    let description = described(id, preprocessing, &summary)?;
    let failed = |error: std::io::Error| Failure::file("write", dir, &error);
    let staged = Staged::new(dir)?;
    write_description(staged.path(), &description)?;
    preprocessing.write(&staged.path().join(PREPROCESSING_FILE))?;
    for (share, name) in work.files(MODEL_SHARE_FILE).iter().zip(SHARE_FILES) {
        // The copy is as secret as the original.
        fs::copy(share, staged.path().join(name)).map_err(failed)?;
        fs::File::open(staged.path().join(name)).and_then(|file| file.sync_all()).map_err(failed)?;
    }
    staged.publish().map(drop)
}
