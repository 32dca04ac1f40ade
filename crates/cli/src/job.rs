//! What `train` is asked to do: flags, a TOML file with the same fields, and defaults.

mod table;

use std::fs;
use std::num::{NonZeroU8, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Deserialize;
use shamisen_data::scaling::Preprocessing;
use shamisen_data::sql::Database;
use shamisen_data::table::TargetKind;
use shamisen_local::job::{Job, Rows, default_threads};
use shamisen_local::link::Link;
use shamisen_local::predict::SharedModel;
use shamisen_local::resume::Changes;
use shamisen_local::transport::{Ports, TransportName};
use shamisen_nn::plan::Optimizer;
use shamisen_party::checkpoint::{DEFAULT_EVERY, rounded};

use crate::choices::{
    Hidden, ImageSize, OptimizerName, ScalingName, TargetScalingName, TaskName, transport_parser,
};
use crate::columns::{CategoricalColumn, DateColumn, MissingChoice, of_columns};
use crate::failure::{Failure, Result};

/// The fields of a job, all optional: flags of `train`, and names in a job file.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobFields {
    /// CSV, NPY, NPZ, Parquet or Arrow files with the training data, as from several owners with the same columns. FILE.npz:X,Y names the
    /// arrays of features and labels.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Directory that `shamisen share` wrote, in place of a table.
    #[arg(long, value_name = "DIR")]
    pub shares: Option<PathBuf>,
    /// Directory with the four IDX files of MNIST, or of a data set in its format such as EMNIST, gzipped or not.
    #[arg(long, value_name = "DIR")]
    pub mnist: Option<PathBuf>,
    /// Directory with a sub-directory of PNG or JPEG images for each class.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Resize all images to so many pixels; without it, they have to have one size.
    #[arg(long, value_name = "WxH")]
    pub image_size: Option<ImageSize>,
    /// Take the rows that this query gives on --database.
    #[arg(long, value_name = "QUERY")]
    pub sql: Option<String>,
    /// Database for --sql: a SQLite file, or `postgres://USER@localhost/NAME`. A password may be in the variable PGPASSWORD.
    #[arg(long, value_name = "FILE|URL")]
    pub database: Option<Database>,
    /// Column to predict: its name, or for NPY and NPZ its number from 0. [default for these: the last one, or the labels]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Predict classes or numbers.
    #[arg(long, value_enum)]
    pub task: Option<TaskName>,
    /// Files to test on, of the formats of --data; for --images, directories.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub test: Vec<PathBuf>,
    /// Fraction of the rows held out for the test; 0 trains and scores on all rows. [default: 0.2]
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true)]
    pub test_fraction: Option<f64>,
    /// Begin with this model in place of new weights: a directory that `train --model` wrote, or a network in ONNX or safetensors. It
    /// decides layers, columns, scaling and classes.
    #[arg(long, value_name = "DIR|FILE")]
    pub start: Option<PathBuf>,
    /// Widths of the hidden layers, such as 128,128; "" for none: logistic or linear regression. [default: 128,128]
    #[arg(long, value_name = "WIDTHS")]
    pub hidden: Option<Hidden>,
    /// Passes over the training rows. [default: 1]
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Rows of a mini-batch. [default: 128, or all rows if they are fewer]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Adam or stochastic gradient descent. [default: adam]
    #[arg(long, value_enum)]
    pub optimizer: Option<OptimizerName>,
    /// Step size. [default: 0.001]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub learning_rate: Option<f64>,
    /// Adam computes its preconditioner anew every so many steps; 1 is exact Adam. [default: 1]
    #[arg(long, value_name = "STEPS")]
    pub refresh: Option<u32>,
    /// Momentum of stochastic gradient descent. [default: 0]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    pub momentum: Option<f64>,
    /// L2 penalty on the weights. [default: 0]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// Column of categories, each of which becomes an input; with the list of them, or those that are found. Repeat for more columns.
    #[arg(long, value_name = "COLUMN[=A,B,...]")]
    #[serde(deserialize_with = "of_columns")]
    pub categorical: Vec<CategoricalColumn>,
    /// Column of dates, which become days since 1970-01-01: of ISO 8601, or of a format such as %d.%m.%Y. Repeat for more columns.
    #[arg(long, value_name = "COLUMN[=FORMAT]")]
    #[serde(deserialize_with = "of_columns")]
    pub date: Vec<DateColumn>,
    /// What stands in for missing values of features, which are errors without it: mean (of the training part), constant=NUMBER, or
    /// for one column COLUMN=mean or COLUMN=constant=NUMBER. Repeat for more columns.
    #[arg(long, value_name = "RULE")]
    #[serde(deserialize_with = "of_columns")]
    pub missing: Vec<MissingChoice>,
    /// How features are scaled, by statistics of the training part. [default: standard]
    #[arg(long, value_enum)]
    pub scaling: Option<ScalingName>,
    /// How a regression target is scaled; metrics stay in its own unit. [default: none]
    #[arg(long, value_enum)]
    pub target_scaling: Option<TargetScalingName>,
    /// Public seed of the initial weights, the order of the rows and the hold-out. [default: 1]
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// Processes joined by TLS over Unix sockets (tls) or over TCP (tcp), or threads in memory. [default: tls, or tcp
    /// with --ports]
    #[arg(long, value_parser = transport_parser())]
    pub transport: Option<TransportName>,
    /// Threads of each party that work on the optimiser and the range checks at the same time, if the network is large
    /// enough. [default: a third of the cores, up to 8; at least 2 for Adam]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroU8>,
    /// Imitate this one-way latency between the parties.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub latency: Option<f64>,
    /// Imitate this bandwidth between the parties, per link and direction.
    #[arg(long, value_name = "MBIT", allow_negative_numbers = true)]
    pub bandwidth: Option<f64>,
    /// Fixed local ports of the three parties, which are then joined by TCP.
    #[arg(long, value_name = "A,B,C")]
    pub ports: Option<Ports>,
    /// Longest wait of a party for another one. [default: 60]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub deadline: Option<f64>,
    /// Train the float twin as well, in the clear in this process, and compare.
    #[arg(long)]
    pub twin: bool,
    /// Keep checkpoints in this new directory until the training is complete; after an interruption, --resume goes on.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Mini-batches between two checkpoints, rounded up to a multiple of 16; there is one at the end of each epoch, too. [default:
    /// 480]
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<NonZeroUsize>,
    /// Keep the model, still shared, in this new directory.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Write a JSON report.
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
}

pub(crate) const DEFAULT_HIDDEN: [usize; 2] = [128, 128];
pub(crate) const DEFAULT_SEED: u64 = 1;
pub(crate) const DEFAULT_LEARNING_RATE: f64 = 0.001;

impl JobFields {
    /// Reads a job file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no TOML, or has a field that no job has.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            // The message may have several lines; the user gets one sentence.
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            Failure::input(format!("{}, line {line}: {message}", path.display()))
        })
    }

    /// These fields, and those of `file` that are not given here.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        let file = if self.shares.is_some() { file.without_table() } else { file };
        let own_source =
            !self.data.is_empty() || self.mnist.is_some() || self.images.is_some() || self.sql.is_some();
        let own_test = !self.test.is_empty() || self.test_fraction.is_some();
        let (data, mnist, images, sql) = if own_source {
            (self.data, self.mnist, self.images, self.sql)
        } else {
            (file.data, file.mnist, file.images, file.sql)
        };
        let (test, test_fraction) =
            if own_test { (self.test, self.test_fraction) } else { (file.test, file.test_fraction) };
        Self {
            shares: if own_source { self.shares } else { self.shares.or(file.shares) },
            data,
            mnist,
            images,
            image_size: self.image_size.or(file.image_size),
            sql,
            database: self.database.or(file.database),
            target: self.target.or(file.target),
            task: self.task.or(file.task),
            test,
            test_fraction,
            start: self.start.or(file.start),
            hidden: self.hidden.or(file.hidden),
            epochs: self.epochs.or(file.epochs),
            batch_size: self.batch_size.or(file.batch_size),
            optimizer: self.optimizer.or(file.optimizer),
            learning_rate: self.learning_rate.or(file.learning_rate),
            refresh: self.refresh.or(file.refresh),
            momentum: self.momentum.or(file.momentum),
            weight_decay: self.weight_decay.or(file.weight_decay),
            categorical: given_or(self.categorical, file.categorical),
            date: given_or(self.date, file.date),
            missing: given_or(self.missing, file.missing),
            scaling: self.scaling.or(file.scaling),
            target_scaling: self.target_scaling.or(file.target_scaling),
            seed: self.seed.or(file.seed),
            transport: self.transport.or(file.transport),
            threads: self.threads.or(file.threads),
            latency: self.latency.or(file.latency),
            bandwidth: self.bandwidth.or(file.bandwidth),
            ports: self.ports.or(file.ports),
            deadline: self.deadline.or(file.deadline),
            twin: self.twin || file.twin,
            checkpoint: self.checkpoint.or(file.checkpoint),
            checkpoint_every: self.checkpoint_every.or(file.checkpoint_every),
            model: self.model.or(file.model),
            report: self.report.or(file.report),
        }
    }

    /// The same without what says which table is trained on, and how it is prepared.
    fn without_table(self) -> Self {
        Self {
            data: vec![],
            shares: None,
            mnist: None,
            images: None,
            image_size: None,
            sql: None,
            database: None,
            target: None,
            task: None,
            test: vec![],
            test_fraction: None,
            categorical: vec![],
            date: vec![],
            missing: vec![],
            scaling: None,
            target_scaling: None,
            ..self
        }
    }

    /// The job with all defaults filled in.
    ///
    /// # Errors
    ///
    /// If fields are missing or contradict each other.
    pub fn resolve(self) -> Result<Job> {
        let start = self.start.as_deref().map(SharedModel::of).transpose()?;
        let fields = match &start {
            Some(start) => self.decided_by(&start.preprocessing)?,
            None => self,
        };
        fields.resolve_from(start)
    }

    fn resolve_from(self, start: Option<SharedModel>) -> Result<Job> {
        let link = Link::new(
            self.transport.unwrap_or(TransportName::Tls),
            self.latency,
            self.bandwidth,
            self.ports,
            self.deadline,
        )?;
        let optimizer = self.optimizer()?;
        let rows = match &self.shares {
            Some(dir) => {
                self.check_shares()?;
                Rows::Shares(dir.clone())
            }
            None => Rows::Table(Box::new(self.table()?)),
        };
        let checkpoints = match (self.checkpoint, self.checkpoint_every) {
            (None, Some(_)) => {
                return Err(Failure::input(
                    "--checkpoint-every needs a directory: give --checkpoint DIR, or leave it out",
                ));
            }
            (dir, every) => dir.map(|dir| (dir, rounded(every.unwrap_or(DEFAULT_EVERY)))),
        };
        Ok(Job {
            rows,
            start: start.map(Arc::new),
            hidden: self.hidden.map_or(DEFAULT_HIDDEN.to_vec(), |hidden| hidden.0),
            epochs: self.epochs.unwrap_or(1),
            batch_size: self.batch_size,
            optimizer,
            learning_rate: self.learning_rate.unwrap_or(DEFAULT_LEARNING_RATE),
            weight_decay: self.weight_decay.unwrap_or(0.0),
            seed: self.seed.unwrap_or(DEFAULT_SEED),
            link,
            threads: self.threads.unwrap_or_else(|| default_threads(optimizer)),
            twin: self.twin,
            checkpoints,
            model: self.model,
            report: self.report,
        })
    }

    /// The same with what the model decides that the training begins with.
    ///
    /// Fails if something else is asked for.
    fn decided_by(self, known: &Preprocessing) -> Result<Self> {
        let flags = [
            ("--hidden", self.hidden.is_some()),
            ("--categorical", !self.categorical.is_empty()),
            ("--date", !self.date.is_empty()),
            ("--missing", !self.missing.is_empty()),
            ("--scaling", self.scaling.is_some()),
            ("--target-scaling", self.target_scaling.is_some()),
            ("--image-size", self.image_size.is_some()),
        ];
        refuse(&flags, "is decided by the model of --start: leave it out")?;
        if self.shares.is_some() {
            return Ok(self);
        }
        let task = match known.kind() {
            Some(TargetKind::Number) => TaskName::Regression,
            _ => TaskName::Classification,
        };
        if self.task.is_some_and(|given| given != task) {
            let what = if task == TaskName::Regression { "numbers" } else { "classes" };
            return Err(Failure::input(format!("the model of --start predicts {what}: leave --task out")));
        }
        let named = self.mnist.is_some() || self.images.is_some();
        let target = self.target.clone().or_else(|| (!named).then(|| known.target_name.clone()));
        Ok(Self { task: Some(task), target, ..self })
    }

    /// Fails if something is asked for that was decided when the data were shared.
    fn check_shares(&self) -> Result<()> {
        let flags = [
            ("--data", !self.data.is_empty()),
            ("--mnist", self.mnist.is_some()),
            ("--images", self.images.is_some()),
            ("--image-size", self.image_size.is_some()),
            ("--sql", self.sql.is_some()),
            ("--database", self.database.is_some()),
            ("--target", self.target.is_some()),
            ("--task", self.task.is_some()),
            ("--test", !self.test.is_empty()),
            ("--test-fraction", self.test_fraction.is_some()),
            ("--categorical", !self.categorical.is_empty()),
            ("--date", !self.date.is_empty()),
            ("--missing", !self.missing.is_empty()),
            ("--scaling", self.scaling.is_some()),
            ("--target-scaling", self.target_scaling.is_some()),
        ];
        refuse(
            &flags,
            "was decided when the data were shared: leave it out, or give a table in place of --shares",
        )?;
        if self.twin {
            return Err(Failure::input(
                "--twin trains in the clear, and shares are not: leave it out, or give --data in place of --shares",
            ));
        }
        Ok(())
    }

    /// What may be said anew of a training that goes on: where model and report go, and how the parties are joined.
    ///
    /// Fails if something is asked for that was decided when the training began.
    pub(crate) fn changes(self) -> Result<Changes> {
        let Self {
            data,
            shares,
            mnist,
            images,
            image_size,
            sql,
            database,
            target,
            task,
            test,
            test_fraction,
            start,
            hidden,
            epochs,
            batch_size,
            optimizer,
            learning_rate,
            refresh,
            momentum,
            weight_decay,
            categorical,
            date,
            missing,
            scaling,
            target_scaling,
            seed,
            transport,
            threads,
            latency,
            bandwidth,
            ports,
            deadline,
            twin,
            checkpoint,
            checkpoint_every,
            model,
            report,
        } = self;
        let flags = [
            ("--data", !data.is_empty()),
            ("--shares", shares.is_some()),
            ("--mnist", mnist.is_some()),
            ("--images", images.is_some()),
            ("--image-size", image_size.is_some()),
            ("--sql", sql.is_some()),
            ("--database", database.is_some()),
            ("--target", target.is_some()),
            ("--task", task.is_some()),
            ("--test", !test.is_empty()),
            ("--test-fraction", test_fraction.is_some()),
            ("--start", start.is_some()),
            ("--hidden", hidden.is_some()),
            ("--epochs", epochs.is_some()),
            ("--batch-size", batch_size.is_some()),
            ("--optimizer", optimizer.is_some()),
            ("--learning-rate", learning_rate.is_some()),
            ("--refresh", refresh.is_some()),
            ("--momentum", momentum.is_some()),
            ("--weight-decay", weight_decay.is_some()),
            ("--categorical", !categorical.is_empty()),
            ("--date", !date.is_empty()),
            ("--missing", !missing.is_empty()),
            ("--scaling", scaling.is_some()),
            ("--target-scaling", target_scaling.is_some()),
            ("--seed", seed.is_some()),
            ("--threads", threads.is_some()),
            ("--twin", twin),
            ("--checkpoint", checkpoint.is_some()),
            ("--checkpoint-every", checkpoint_every.is_some()),
        ];
        let why = "was decided when the training began, and --resume goes on with that one: leave it out";
        refuse(&flags, why)?;
        Ok(Changes { transport, latency, bandwidth, ports, deadline, model, report })
    }

    fn optimizer(&self) -> Result<Optimizer> {
        match self.optimizer.unwrap_or(OptimizerName::Adam) {
            OptimizerName::Adam if self.momentum.is_some() => {
                Err(Failure::input("--momentum is for --optimizer sgd: Adam has moments of its own"))
            }
            OptimizerName::Adam => Ok(Optimizer::adam(self.refresh.unwrap_or(1))),
            OptimizerName::Sgd if self.refresh.is_some() => Err(Failure::input(
                "--refresh is for --optimizer adam: gradient descent has no preconditioner",
            )),
            OptimizerName::Sgd => Ok(Optimizer::Sgd { momentum: self.momentum.unwrap_or(0.0) }),
        }
    }
}

/// Fails with a reason if one of these flags is given.
fn refuse(flags: &[(&str, bool)], why: &str) -> Result<()> {
    match flags.iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(Failure::input(format!("{flag} {why}"))),
        None => Ok(()),
    }
}

/// What flags say, or else the file.
fn given_or<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

#[cfg(test)]
mod tests;
