//! Jobs: what an analyst asks the three servers to do, and what becomes of it.
//!
//! A [document](JobDocument) says all of it. The analyst [signs](Submission) it, and each server checks signature and terms by itself; no share
//! is touched before all three have the same document.

mod document;
mod model;
mod plan;
mod status;
mod submission;
mod table;

pub use document::{JobDocument, MOST_SETTINGS, Setting, Work};
pub use model::ModelInfo;
pub(crate) use plan::{plan, prediction, training};
pub use status::{JobState, JobStatus, LogEntry, LogPage, LossPoint, Progress, TrainingResult};
pub(crate) use submission::Signed;
pub use submission::Submission;
#[cfg(fuzzing)]
pub use submission::fuzz;
pub(crate) use table::JobTable;
