//! The JSON report of a training, with stable names.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use shamisen_data::scaling::Preprocessing;
use shamisen_nn::metrics::Metrics;
use shamisen_nn::plan::Task;
use shamisen_party::event::{self, Outcome, PhaseCost};

use crate::transport::Joined;

/// What a training gave and what it cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of Shamisen.
    pub version: String,
    /// What the parties are trusted with: `semi-honest` means that each follows the protocol, and that no two collude.
    pub security: String,
    /// How they were joined.
    #[serde(flatten)]
    pub joined: Joined,
    /// Processes in which the three parties ran.
    pub processes: usize,
    /// Threads of each party that worked at the same time.
    pub threads: usize,
    /// Classification or regression.
    pub task: Task,
    /// The network.
    pub model: Model,
    /// The rows.
    pub data: Data,
    /// The training.
    pub training: Training,
    /// How good the network is.
    pub test: Scores,
    /// The float twin, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twin: Option<Twin>,
    /// What the training cost.
    pub cost: Cost,
}

/// The network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    /// Widths of all layers, the input's first.
    pub layers: Vec<usize>,
    /// Number of weights and biases.
    pub parameters: usize,
}

/// The rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Data {
    /// Rows that the network was trained on.
    pub rows: usize,
    /// Features of a row.
    pub features: usize,
    /// Rows that it was scored on.
    pub test_rows: usize,
    /// `test rows`, or `training rows` when none were held out.
    pub scored_on: String,
}

/// The training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Training {
    /// `adam` or `sgd`.
    pub optimizer: String,
    /// Adam only: the preconditioner is computed anew every so many steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<u32>,
    /// Gradient descent only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Step size.
    pub learning_rate: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// The public seed.
    pub seed: u64,
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows of a mini-batch.
    pub batch_size: usize,
    /// Mini-batches of all epochs together.
    pub batches: usize,
    /// Id of the model that the training began with; none if it began with new weights.
    #[serde(default)]
    pub start: Option<String>,
    /// Mini-batches that were done when the training went on after an interruption; none if it went through.
    ///
    /// Time and cost are those of the mini-batches since.
    #[serde(default)]
    pub resumed_from: Option<u64>,
    /// Wall time of the slowest party, without connecting and evaluating.
    pub seconds: f64,
    /// Mean loss of each epoch, in the scale that the network is trained in: cross-entropy, or half the squared error
    /// of the scaled target.
    pub loss: Vec<f64>,
}

/// How good a network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Classification: share of rows whose class was predicted, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Classification: mean of `-ln p` of the right class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// Regression: coefficient of determination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// Regression: mean squared error in the target's own units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mse: Option<f64>,
}

impl From<Metrics> for Scores {
    fn from(metrics: Metrics) -> Self {
        match metrics {
            Metrics::Classification { accuracy, cross_entropy } => {
                Self { accuracy: Some(accuracy), cross_entropy: Some(cross_entropy), ..Self::default() }
            }
            Metrics::Regression { mse, r2 } => Self { mse: Some(mse), r2: Some(r2), ..Self::default() },
        }
    }
}

impl Scores {
    /// Undoes the scaling of the target.
    #[must_use]
    pub fn in_own_units(mut self, preprocessing: &Preprocessing) -> Self {
        if let Some(target) = preprocessing.target {
            self.mse = self.mse.map(|mse| mse / (target.factor * target.factor));
        }
        self
    }
}

/// The float twin: the same training in the clear.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Twin {
    /// How good it is.
    #[serde(flatten)]
    pub scores: Scores,
    /// Mean loss of each epoch.
    #[serde(deserialize_with = "numbers_or_null")]
    pub loss: Vec<f64>,
    /// Wall time.
    pub seconds: f64,
}

/// JSON has no NaN, the loss of a training that diverges: it is written as null.
fn numbers_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}

/// What the training cost, without connecting and evaluating.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Rounds of a mini-batch, on average.
    pub rounds_per_batch: f64,
    /// Bytes that each party sent in a mini-batch, on average.
    pub bytes_sent_per_batch: [f64; 3],
    /// Wall time by phase, mean of the parties.
    pub seconds_by_phase: BTreeMap<String, f64>,
    /// The part of it spent sending and waiting for peers.
    pub seconds_waiting: f64,
    /// The part of that spent encrypting and decrypting.
    pub seconds_encrypting: f64,
    /// What a mini-batch costs a party by phase, mean of the parties; rounds and seconds are those of its main thread.
    pub by_phase: BTreeMap<String, PhaseCost>,
    /// Largest memory of each party's process; of the common process for `memory`.
    pub peak_rss_bytes: [u64; 3],
}

impl Cost {
    /// The cost of a training of so many mini-batches.
    pub(crate) fn new(outcomes: &[Outcome; 3], batches: usize) -> Self {
        let costs = outcomes.each_ref().map(|outcome| &outcome.cost);
        let totals = costs.map(event::Cost::total);
        let by_phase = mean_by_phase(costs, batches);
        let batches = batches as f64;
        Self {
            rounds_per_batch: totals.iter().map(|total| total.rounds).fold(0.0, f64::max) / batches,
            bytes_sent_per_batch: totals.map(|total| total.bytes_sent / batches),
            seconds_by_phase: by_phase
                .iter()
                .map(|(phase, cost)| (phase.clone(), cost.seconds * batches))
                .collect(),
            seconds_waiting: totals.iter().map(|total| total.waiting).sum::<f64>() / 3.0,
            seconds_encrypting: totals.iter().map(|total| total.encryption).sum::<f64>() / 3.0,
            by_phase,
            peak_rss_bytes: costs.map(|cost| cost.peak_rss_bytes),
        }
    }
}

/// What a mini-batch costs a party by phase, mean of the parties, from the cost of so many.
pub fn mean_by_phase(costs: [&event::Cost; 3], batches: usize) -> BTreeMap<String, PhaseCost> {
    let mut by_phase: BTreeMap<String, PhaseCost> = BTreeMap::new();
    for (phase, cost) in costs.iter().flat_map(|cost| &cost.by_phase) {
        *by_phase.entry(phase.clone()).or_default() += cost.times(1.0 / (3 * batches) as f64);
    }
    by_phase
}

impl Report {
    /// The report as JSON text.
    ///
    /// # Panics
    ///
    /// Never: nothing in a report is without a JSON form.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a report has string keys");
        text.push('\n');
        text
    }
}
