//! The public job of the three parties: what all of them must agree on before they touch a share.

use std::fs;
use std::num::{NonZeroU8, NonZeroUsize};
use std::path::Path;

use serde::{Deserialize, Serialize};
use shamisen_nn::formats;
use shamisen_nn::plan::Plan;
use shamisen_nn::train::useful_lanes;

use crate::event::{Cause, Failed};
use crate::tables::Tables;

/// Name of the file in a party's directory.
pub const FILE: &str = "job.json";

/// Version of this format.
const VERSION: u32 = 1;

/// What the three parties compute together. All of it is public.
///
/// The hash of its JSON text goes into the handshake, so that parties with different jobs refuse each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    version: u32,
    /// The network and its training.
    pub plan: Plan,
    /// Id of the shared rows, the same in all their share files but those of `tables`.
    pub dataset: String,
    /// The tables that the rows are put together from, if they do not lie in the party's directory as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Tables>,
    /// What to do.
    pub work: Work,
    /// Threads of a party that work at the same time, where the work is large enough.
    #[serde(default = "one")]
    pub threads: NonZeroU8,
}

fn one() -> NonZeroU8 {
    NonZeroU8::MIN
}

/// What the parties do with the shared rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
#[expect(clippy::exhaustive_enums, reason = "a party has to know all of them")]
pub enum Work {
    /// Train a network and evaluate it.
    Train {
        /// The rows to evaluate on.
        score: Score,
        /// Id of the model whose shares are kept, if any are.
        model: Option<String>,
        /// Id of the model that the training begins with, in place of new weights.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<String>,
        /// When each party keeps checkpoints, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkpoints: Option<Schedule>,
    },
    /// Predict with a network, and hand the shared predictions to the one who asked.
    Predict,
}

/// When checkpoints are taken, and of which run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Random id of the run: no two runs have the same job.
    pub run: String,
    /// Mini-batches between two, besides those at the end of each epoch; those after which nothing is reported are passed over.
    pub every: NonZeroUsize,
}

/// The rows that a network is evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "a party has to know all of them")]
pub enum Score {
    /// Rows that were held out.
    TestRows,
    /// The rows it was trained on.
    TrainingRows,
}

impl Assignment {
    /// A job.
    pub fn new(plan: Plan, dataset: String, work: Work, threads: NonZeroU8) -> Self {
        Self { version: VERSION, plan, dataset, tables: None, work, threads }
    }

    /// The same job on tables that are put together.
    #[must_use]
    pub fn on(self, tables: Tables) -> Self {
        Self { tables: Some(tables), ..self }
    }

    /// Lanes of each party that work together: a training has one for each thread that finds enough to do, predictions have one.
    pub fn working_lanes(&self) -> NonZeroU8 {
        match self.work {
            Work::Train { .. } => {
                let useful = useful_lanes(&self.plan, usize::from(self.threads.get()));
                // There are no more than threads.
                NonZeroU8::new(useful as u8).unwrap_or(NonZeroU8::MIN)
            }
            Work::Predict => NonZeroU8::MIN,
        }
    }

    /// All lanes of each party: a training has one more, for range checks.
    pub fn lanes(&self) -> NonZeroU8 {
        match self.work {
            Work::Train { .. } => self.working_lanes().saturating_add(1),
            Work::Predict => NonZeroU8::MIN,
        }
    }

    /// When checkpoints are taken, if they are.
    pub fn checkpoints(&self) -> Option<&Schedule> {
        match &self.work {
            Work::Train { checkpoints, .. } => checkpoints.as_ref(),
            Work::Predict => None,
        }
    }

    /// The text that all three parties must have, byte by byte.
    ///
    /// # Panics
    ///
    /// Never: nothing in a job is without a JSON form.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a job has string keys and finite numbers")
    }

    /// Reads the job of a party's directory, and its hash.
    ///
    /// # Errors
    ///
    /// If it cannot be read or carried out.
    pub fn read(dir: &Path) -> Result<(Self, [u8; 32]), Failed> {
        let path = dir.join(FILE);
        let input = |text: String| Failed::new(Cause::Input, text);
        let text =
            fs::read(&path).map_err(|error| input(format!("cannot read {}: {error}", path.display())))?;
        let assignment: Self = serde_json::from_slice(&text)
            .map_err(|error| input(format!("{} is no job of shamisen: {error}", path.display())))?;
        if assignment.version != VERSION {
            let (found, path) = (assignment.version, path.display());
            return Err(input(format!(
                "{path} has format version {found}, but this version reads version {VERSION}"
            )));
        }
        formats::check(&assignment.plan)
            .map_err(|error| input(format!("{} cannot be carried out: {error}", path.display())))?;
        Ok((assignment, *blake3::hash(&text).as_bytes()))
    }
}
