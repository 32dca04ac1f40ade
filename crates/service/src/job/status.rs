//! What a server tells about jobs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a job is.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// The three work on it.
    Running,
    /// It waits for a server, and goes on by itself.
    Interrupted,
    /// All is done.
    Done,
    /// It cannot be carried out.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

impl JobState {
    /// Whether nothing more becomes of the job.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a server tells about a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct JobStatus {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of the analyst.
    pub analyst: String,
    /// BLAKE3 hash of its document, 64 hexadecimal digits.
    pub digest: String,
    /// How far it is.
    pub state: JobState,
    /// Why it is so: what a failed job lacks, or what an interrupted one waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Trainings of the job.
    pub trainings: usize,
    /// Before a training on rows of several owners: the part of them that is rescaled, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescaled: Option<f64>,
    /// How far the current training is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What came out of each training that is done.
    pub results: Vec<TrainingResult>,
    /// When the server took it, in seconds since 1970.
    pub accepted: f64,
    /// When its work began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<f64>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
}

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Progress {
    /// Number of the training, from 0.
    pub training: usize,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Mini-batches of this epoch that are done.
    pub batch: usize,
    /// Mini-batches of an epoch.
    pub batches: usize,
    /// The loss when it was last opened, if the job lets it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// What came out of a training, as far as the job lets it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct TrainingResult {
    /// Mean loss of each epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loss: Vec<f64>,
    /// Share of rows whose class was predicted, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Mean of `-ln p` of the right class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// Coefficient of determination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// Mean squared error, in the units of the target as it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse: Option<f64>,
    /// Wall time of the training at this server since it last went on, in seconds.
    pub seconds: f64,
}

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct LogEntry {
    /// When, in seconds since 1970.
    pub time: f64,
    /// What, in a sentence.
    pub text: String,
}

/// A part of a job's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct LogPage {
    /// What happened, in order.
    pub entries: Vec<LogEntry>,
    /// Where the next part begins.
    pub next: u64,
}

/// The loss at one moment of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(clippy::exhaustive_structs, reason = "a point of a curve")]
pub struct LossPoint {
    /// Epochs that are done, with the part of the current one.
    pub epoch: f64,
    /// Mean loss of the rows since it was opened before.
    pub loss: f64,
}
