//! What a server remembers of a job.

use serde::{Deserialize, Serialize};
use shamisen_net::tls::Fingerprint;
use shamisen_nn::metrics::Metrics;
use shamisen_party::event::Outcome;

use crate::job::{
    JobDocument, JobState, JobStatus, Progress, Signed, Submission, TrainingResult, Work as JobWork,
};
use crate::server::caller::Caller;
use crate::server::jobs::{Jobs, Phase};
use crate::server::store::{Look, Records, Write};
use crate::terms::Output;
use crate::{Result, Role};

/// All jobs that the server has accepted.
pub(super) const JOBS: Records<JobRecord> = Records::new("jobs");

/// Ids of those that are not settled: few, while the others become many.
const OPEN: Records<()> = Records::new("open_jobs");

/// The jobs that are not settled.
pub(super) fn open_jobs(state: &impl Look) -> Result<Vec<JobRecord>> {
    let ids = OPEN.all(state)?.into_iter();
    ids.filter_map(|(id, ())| JOBS.get(state, &id).transpose()).collect()
}

/// A job that the server has accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct JobRecord {
    /// As it was handed in.
    pub(super) submission: Submission,
    pub(super) document: JobDocument,
    pub(super) digest: String,
    /// Name of the analyst.
    pub(super) analyst: String,
    /// Never [`JobState::Interrupted`], which follows from what the party does.
    pub(super) state: JobState,
    pub(super) reason: Option<String>,
    pub(super) results: Vec<TrainingResult>,
    pub(super) accepted: f64,
    pub(super) started: Option<f64>,
    pub(super) ended: Option<f64>,
    /// Whether all is here that it needs: the rows, if they are shared for it.
    pub(super) ready: bool,
    /// Whether it is over and nobody has to be told any more, as the conductor tells the others.
    #[serde(default)]
    pub(super) settled: bool,
}

impl JobRecord {
    /// A new job, which waits for its turn.
    pub(super) fn new(submission: Submission, signed: Signed, analyst: &Caller, now: f64) -> Self {
        let Signed { document, digest } = signed;
        Self {
            submission,
            ready: !matches!(document.work, JobWork::Predict { .. }),
            document,
            digest,
            analyst: analyst.name.to_string(),
            state: JobState::Queued,
            reason: None,
            results: Vec::new(),
            accepted: now,
            started: None,
            ended: None,
            settled: false,
        }
    }

    /// Keeps it as it is now.
    pub(super) fn keep(&self, state: &Write<'_>) -> Result<()> {
        let id = &self.document.id;
        if self.settled {
            OPEN.remove(state, id)?;
        } else {
            OPEN.put(state, id, &())?;
        }
        JOBS.put(state, id, self)
    }

    /// Whether it is a training, and not predictions.
    pub(super) fn is_training(&self) -> bool {
        matches!(self.document.work, JobWork::Train { .. })
    }

    /// Whether somebody may know of it: its analyst, operators and servers.
    pub(super) fn concerns(&self, caller: &Caller) -> bool {
        match caller.role {
            Role::Operator | Role::Server => true,
            Role::Analyst | Role::Owner => self.is_of(caller.fingerprint),
        }
    }

    /// Whether this is its analyst.
    pub(super) fn is_of(&self, person: Fingerprint) -> bool {
        self.document.analyst.0 == person
    }

    /// The job as its analyst signed it.
    pub(super) fn signed(&self) -> Signed {
        Signed { document: self.document.clone(), digest: self.digest.clone() }
    }

    /// What the server tells about it.
    pub(super) fn status(&self, jobs: &Jobs) -> JobStatus {
        let lets = |output| self.document.outputs.contains(&output);
        let (mut state, mut reason) = (self.state, self.reason.clone());
        let (mut rescaled, mut progress) = (None, None);
        if state == JobState::Running {
            let current = jobs.work().clone();
            let has_other = current.as_ref().is_some_and(|work| matches!(work.phase, Phase::Working));
            let work = current.filter(|work| work.job == self.document.id);
            let waits = match work.as_ref().map(|work| &work.phase) {
                Some(Phase::Working | Phase::Finished) => None,
                Some(Phase::Stopped) => Some("it was asked to stop, and goes on later".to_owned()),
                Some(Phase::Failed(failed)) => Some(failed.message.clone()),
                None if has_other => Some("another job has its turn".to_owned()),
                None => Some("the three servers have not met again".to_owned()),
            };
            if let Some(waits) = waits {
                (state, reason) = (JobState::Interrupted, Some(waits));
            }
            rescaled = work.as_ref().and_then(|work| work.rescaled.filter(|_| work.step.is_none()));
            progress = work.and_then(|work| {
                let epochs = self.document.settings().get(work.training)?.epochs;
                let step = work.step?;
                Some(Progress {
                    training: work.training,
                    epoch: step.epoch,
                    epochs,
                    batch: step.batch,
                    batches: step.batches,
                    loss: work.loss.filter(|_| lets(Output::Loss)),
                })
            });
        }
        JobStatus {
            id: self.document.id.clone(),
            name: self.document.name.clone(),
            analyst: self.analyst.clone(),
            digest: self.digest.clone(),
            state,
            reason,
            trainings: self.document.runs(),
            rescaled,
            progress,
            results: self.results.clone(),
            accepted: self.accepted,
            started: self.started,
            ended: self.ended,
        }
    }

    /// What of a training's outcome comes out.
    pub(super) fn result(&self, outcome: &Outcome) -> TrainingResult {
        let lets = |output| self.document.outputs.contains(&output);
        let mut result = TrainingResult { seconds: outcome.seconds, ..TrainingResult::default() };
        if lets(Output::Loss) {
            result.loss.clone_from(&outcome.loss);
        }
        match outcome.metrics.filter(|_| lets(Output::Metrics)) {
            Some(Metrics::Classification { accuracy, cross_entropy }) => {
                (result.accuracy, result.cross_entropy) = (Some(accuracy), Some(cross_entropy));
            }
            Some(Metrics::Regression { mse, r2 }) => (result.mse, result.r2) = (Some(mse), Some(r2)),
            None => {}
        }
        result
    }
}
