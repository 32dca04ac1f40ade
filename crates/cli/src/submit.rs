//! `submit`: hands in a job to three servers.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Deserializer};
use shamisen_data::shares::random_id;
use shamisen_local::job::DEFAULT_BATCH;
use shamisen_nn::plan::Optimizer;
use shamisen_party::checkpoint::DEFAULT_EVERY;
use shamisen_party::tables::Join;
use shamisen_service::KeyId;
use shamisen_service::analyst::Analyst;
use shamisen_service::job::{JobDocument, MOST_SETTINGS, Setting, Work};
use shamisen_service::terms::Output;

use crate::args::SubmitArguments;
use crate::choices::{Hidden, OptimizerName};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::job::{DEFAULT_HIDDEN, DEFAULT_LEARNING_RATE, DEFAULT_SEED};
use crate::watch::watch;

/// What is asked for: flags of `submit`, and names in a job file. What may be several values is a grid to search.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubmitFields {
    /// Name of the job and of its model. [default: that of the data set]
    #[arg(long)]
    pub name: Option<String>,
    /// Data set to train on: its name or id. Several times to train on data sets of several owners as one table.
    #[arg(long, value_name = "DATASET")]
    #[serde(deserialize_with = "one_or_more")]
    pub data: Vec<String>,
    /// How several data sets are put together. [default: rows]
    #[arg(long, value_enum)]
    pub join: Option<JoinName>,
    /// Feature columns that are used, in this order; may be given several times. [default: all]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Widths of the hidden layers, such as 128,128; "" for none. Several times to search a grid. [default: 128,128]
    #[arg(long, value_name = "WIDTHS")]
    #[serde(deserialize_with = "one_or_more")]
    pub hidden: Vec<Hidden>,
    /// Passes over the training rows. [default: 1]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_more")]
    pub epochs: Vec<usize>,
    /// Rows of a mini-batch. [default: 128, or all rows if they are fewer]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_more")]
    pub batch_size: Vec<usize>,
    /// Adam or stochastic gradient descent. [default: adam]
    #[arg(long, value_enum)]
    pub optimizer: Option<OptimizerName>,
    /// Step size; several, such as 0.01,0.001, to search a grid. [default: 0.001]
    #[arg(long, value_name = "RATE", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_more")]
    pub learning_rate: Vec<f64>,
    /// Adam computes its preconditioner anew every so many steps; 1 is exact Adam. [default: 1]
    #[arg(long, value_name = "STEPS")]
    pub refresh: Option<u32>,
    /// Momentum of stochastic gradient descent. [default: 0]
    #[arg(long, value_name = "DECAY")]
    pub momentum: Option<f64>,
    /// L2 penalty on the weights. [default: 0]
    #[arg(long, value_name = "DECAY", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_more")]
    pub weight_decay: Vec<f64>,
    /// Public seed of the initial weights and the order of the rows. [default: 1]
    #[arg(long, value_name = "SEED", value_delimiter = ',')]
    #[serde(deserialize_with = "one_or_more")]
    pub seed: Vec<u64>,
    /// Mini-batches between two checkpoints, from which the servers go on after a fault. [default: 480]
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<NonZeroUsize>,
    /// What comes out. [default: metrics,loss; metrics alone of a grid]
    #[arg(long, value_name = "OUTPUTS", value_enum, value_delimiter = ',')]
    pub outputs: Vec<OutputName>,
    /// Fingerprints of those who get predictions, if they come out. [default: the own one]
    #[arg(long, value_name = "FINGERPRINT", value_delimiter = ',')]
    pub predictions_to: Vec<String>,
    /// Fingerprints of those who get the model, if it comes out. [default: the own one]
    #[arg(long, value_name = "FINGERPRINT", value_delimiter = ',')]
    pub model_to: Vec<String>,
}

/// How data sets are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum JoinName {
    /// One below the other: the same columns, other rows.
    Rows,
    /// Side by side: the same rows in the same order, other columns. The target is the first one's.
    Columns,
}

/// What may come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OutputName {
    /// Scores on the test rows.
    Metrics,
    /// The loss of each epoch, and while it trains.
    Loss,
    /// The model stays at the servers, still shared, for predictions.
    Predictions,
    /// The model in the clear.
    Model,
}

impl From<OutputName> for Output {
    fn from(name: OutputName) -> Self {
        match name {
            OutputName::Metrics => Self::Metrics,
            OutputName::Loss => Self::Loss,
            OutputName::Predictions => Self::Predictions,
            OutputName::Model => Self::Model,
        }
    }
}

/// A value, or a list of values.
fn one_or_more<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values<T> {
        One(T),
        More(Vec<T>),
    }
    Values::deserialize(deserializer).map(|values| match values {
        Values::One(value) => vec![value],
        Values::More(values) => values,
    })
}

/// Carries out `submit`.
pub(crate) fn run(arguments: &SubmitArguments) -> Result<()> {
    interrupt::install();
    let file = arguments.job.as_deref().map(SubmitFields::read).transpose()?.unwrap_or_default();
    let fields = arguments.fields.clone().or(file);
    let analyst = arguments.servers.analyst()?;
    let document = fields.document(&analyst)?;
    let status = analyst.submit(&document)?;
    crate::print(&format!(
        "job     {} ({})\nstate   {} at all three servers\n",
        status.id,
        status.name,
        status.state.name()
    ))?;
    if arguments.watch { watch(&analyst, &status) } else { Ok(()) }
}

impl SubmitFields {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            Failure::input(format!("{}, line {line}: {message}", path.display()))
        })
    }

    /// These fields, and those of `file` that are not given here.
    fn or(self, file: Self) -> Self {
        fn given<T>(own: Vec<T>, other: Vec<T>) -> Vec<T> {
            if own.is_empty() { other } else { own }
        }
        Self {
            name: self.name.or(file.name),
            data: given(self.data, file.data),
            join: self.join.or(file.join),
            columns: given(self.columns, file.columns),
            hidden: given(self.hidden, file.hidden),
            epochs: given(self.epochs, file.epochs),
            batch_size: given(self.batch_size, file.batch_size),
            optimizer: self.optimizer.or(file.optimizer),
            learning_rate: given(self.learning_rate, file.learning_rate),
            refresh: self.refresh.or(file.refresh),
            momentum: self.momentum.or(file.momentum),
            weight_decay: given(self.weight_decay, file.weight_decay),
            seed: given(self.seed, file.seed),
            checkpoint_every: self.checkpoint_every.or(file.checkpoint_every),
            outputs: given(self.outputs, file.outputs),
            predictions_to: given(self.predictions_to, file.predictions_to),
            model_to: given(self.model_to, file.model_to),
        }
    }

    /// The job with all defaults filled in.
    fn document(self, analyst: &Analyst) -> Result<JobDocument> {
        let data = self.data.iter().map(|reference| analyst.data_set(reference));
        let data = data.collect::<std::result::Result<Vec<_>, _>>()?;
        let Some(first) = data.first() else {
            return Err(Failure::input("no data set is named: give --data DATASET"));
        };
        let name = self.name.clone().unwrap_or_else(|| first.name.clone());
        let ids = data.iter().map(|data| data.id.clone()).collect();
        let settings = self.settings()?;
        let (own, is_grid) = (analyst.key(), settings.len() > 1);
        let work = Work::Train { settings, checkpoint_every: self.checkpoint_every.unwrap_or(DEFAULT_EVERY) };
        let mut document = JobDocument::new(random_id()?, name, analyst.servers(), own, ids, work);
        document.join = match self.join {
            Some(JoinName::Columns) => Join::Columns,
            Some(JoinName::Rows) | None => Join::Rows,
        };
        document.columns.clone_from(&self.columns);
        let mut outputs: Vec<Output> = self.outputs.iter().map(|output| Output::from(*output)).collect();
        outputs.sort_unstable();
        outputs.dedup();
        match (outputs.is_empty(), is_grid) {
            (false, _) => document.outputs = outputs,
            (true, true) => document.outputs = vec![Output::Metrics],
            (true, false) => {}
        }
        document.predictions_to = receivers(&document, Output::Predictions, &self.predictions_to, own)?;
        document.model_to = receivers(&document, Output::Model, &self.model_to, own)?;
        Ok(document)
    }

    /// All combinations of the given values.
    fn settings(&self) -> Result<Vec<Setting>> {
        fn values<T: Clone>(given: &[T], default: T) -> Vec<T> {
            if given.is_empty() { vec![default] } else { given.to_vec() }
        }
        let optimizer = self.optimizer()?;
        let hidden: Vec<Vec<usize>> = self.hidden.iter().map(|hidden| hidden.0.clone()).collect();
        let mut settings = vec![Setting {
            hidden: DEFAULT_HIDDEN.to_vec(),
            epochs: 1,
            batch_size: DEFAULT_BATCH,
            optimizer,
            learning_rate: DEFAULT_LEARNING_RATE,
            weight_decay: 0.0,
            seed: DEFAULT_SEED,
        }];
        settings = each(&settings, &values(&hidden, DEFAULT_HIDDEN.to_vec()), |setting, hidden| {
            setting.hidden = hidden;
        })?;
        settings = each(&settings, &values(&self.epochs, 1), |setting, epochs| setting.epochs = epochs)?;
        let sizes = values(&self.batch_size, DEFAULT_BATCH);
        settings = each(&settings, &sizes, |setting, size| setting.batch_size = size)?;
        let rates = values(&self.learning_rate, DEFAULT_LEARNING_RATE);
        settings = each(&settings, &rates, |setting, rate| setting.learning_rate = rate)?;
        settings =
            each(&settings, &values(&self.weight_decay, 0.0), |setting, decay| setting.weight_decay = decay)?;
        each(&settings, &values(&self.seed, DEFAULT_SEED), |setting, seed| setting.seed = seed)
    }

    fn optimizer(&self) -> Result<Optimizer> {
        match (self.optimizer.unwrap_or(OptimizerName::Adam), self.refresh, self.momentum) {
            (OptimizerName::Adam, _, Some(_)) => {
                Err(Failure::input("--momentum is for --optimizer sgd: Adam has moments of its own"))
            }
            (OptimizerName::Adam, refresh, None) => Ok(Optimizer::adam(refresh.unwrap_or(1))),
            (OptimizerName::Sgd, Some(_), _) => Err(Failure::input(
                "--refresh is for --optimizer adam: gradient descent has no preconditioner",
            )),
            (OptimizerName::Sgd, None, momentum) => Ok(Optimizer::Sgd { momentum: momentum.unwrap_or(0.0) }),
        }
    }
}

/// Each of the settings with each of the values.
fn each<T: Clone>(settings: &[Setting], values: &[T], set: impl Fn(&mut Setting, T)) -> Result<Vec<Setting>> {
    if settings.len() * values.len() > MOST_SETTINGS {
        return Err(Failure::input(format!(
            "the grid has more than {MOST_SETTINGS} settings: give fewer values"
        )));
    }
    let with = |setting: &Setting, value: &T| {
        let mut setting = setting.clone();
        set(&mut setting, value.clone());
        setting
    };
    Ok(settings.iter().flat_map(|setting| values.iter().map(move |value| with(setting, value))).collect())
}

/// Who gets an output: those who are named, or whoever asks.
fn receivers(document: &JobDocument, output: Output, named: &[String], own: KeyId) -> Result<Vec<KeyId>> {
    if !document.outputs.contains(&output) {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        return Err(Failure::input(format!(
            "--{output}-to is given, but {output} is no output: add it to --outputs"
        )));
    }
    if named.is_empty() {
        return Ok(vec![own]);
    }
    let read = |text: &String| {
        let key = serde_json::from_value(serde_json::Value::String(text.clone()));
        key.map_err(|error| Failure::input(error.to_string()))
    };
    named.iter().map(read).collect()
}
