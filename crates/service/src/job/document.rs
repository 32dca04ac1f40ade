//! What an analyst asks for, in one canonical text.

use core::num::NonZeroUsize;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shamisen_nn::plan::Optimizer;
use shamisen_party::tables::{Join, MOST_OWNERS};

use crate::KeyId;
use crate::api::VERSION;
use crate::keys::check_name;
use crate::manifest::is_id;
use crate::terms::Output;

/// Version of this format.
const FORMAT: u32 = 2;

/// Most settings of a grid search.
pub const MOST_SETTINGS: usize = 256;

/// Most rows to predict for in a job.
const MOST_ROWS: usize = 1 << 24;

/// Most receivers of what comes out.
const MOST: usize = 1 << 10;

/// All that the three servers have to know about a job. It is public.
///
/// Its text is compact JSON with the fields in this order, so that it has one hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct JobDocument {
    format: u32,
    /// 32 hexadecimal digits, never used before.
    pub id: String,
    /// Name of the job and of its model, for people.
    pub name: String,
    /// Version of Shamisen that has to carry it out.
    pub software: String,
    /// The three servers, by their numbers.
    pub servers: [KeyId; 3],
    /// Who asks.
    pub analyst: KeyId,
    /// Ids of the data sets, in the order of their rows or columns.
    pub datasets: Vec<String>,
    /// How several are put together.
    pub join: Join,
    /// The features that are used, in this order; all if there is none.
    pub columns: Vec<String>,
    /// What is done with them.
    pub work: Work,
    /// What comes out.
    pub outputs: Vec<Output>,
    /// Who gets predictions.
    pub predictions_to: Vec<KeyId>,
    /// Who gets the model in the clear.
    pub model_to: Vec<KeyId>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Work {
    /// A network is trained; several, if a grid is searched, of which nothing but the metrics comes out.
    Train {
        /// One for each training.
        settings: Vec<Setting>,
        /// Mini-batches between two checkpoints, besides those at the end of each epoch.
        checkpoint_every: NonZeroUsize,
    },
    /// A model predicts for rows that are shared for this job alone, and the predictions are opened to whoever asks.
    Predict {
        /// Id of the model.
        model: String,
        /// Rows to predict for.
        rows: usize,
    },
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "whoever asks for a training has to say all of it")]
pub struct Setting {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows of a mini-batch; all rows if they are fewer.
    pub batch_size: usize,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Step size.
    pub learning_rate: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Seed of the initial weights and of the order of the rows.
    pub seed: u64,
}

impl JobDocument {
    /// A document for this version, which gives figures to the analyst and nothing else.
    pub fn new(
        id: String,
        name: String,
        servers: [KeyId; 3],
        analyst: KeyId,
        datasets: Vec<String>,
        work: Work,
    ) -> Self {
        Self {
            format: FORMAT,
            id,
            name,
            software: VERSION.to_owned(),
            servers,
            analyst,
            datasets,
            join: Join::Rows,
            columns: Vec::new(),
            work,
            outputs: vec![Output::Metrics, Output::Loss],
            predictions_to: Vec::new(),
            model_to: Vec::new(),
        }
    }

    /// The text that is signed and hashed.
    ///
    /// # Errors
    ///
    /// If a number has no JSON form.
    pub fn text(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| format!("the job cannot be written down: {error}"))
    }

    /// Reads a document, which has to be the one text of what it says.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let document: Self = serde_json::from_str(text)
            .map_err(|error| format!("this is no job of version {VERSION}: {error}"))?;
        if document.text()? != text {
            return Err("the text of the job is not the canonical one".to_owned());
        }
        match document.problem() {
            Some(problem) => Err(problem),
            None => Ok(document),
        }
    }

    /// How networks are trained; nothing if none is.
    pub fn settings(&self) -> &[Setting] {
        match &self.work {
            Work::Train { settings, .. } => settings,
            Work::Predict { .. } => &[],
        }
    }

    /// How often the parties meet: once for each training, or for the predictions.
    pub fn runs(&self) -> usize {
        match &self.work {
            Work::Train { settings, .. } => settings.len(),
            Work::Predict { .. } => 1,
        }
    }

    /// Whether the servers keep the model, still shared.
    pub fn keeps_model(&self) -> bool {
        let trains = matches!(self.work, Work::Train { .. });
        trains && (self.outputs.contains(&Output::Predictions) || self.outputs.contains(&Output::Model))
    }

    /// What makes no sense about it, if anything does not; whether the numbers of a network are in range is seen with the data.
    fn problem(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!(
                "the job has format {}, and this version reads format {FORMAT}",
                self.format
            ));
        }
        if !is_id(&self.id) {
            return Some("the id of a job is 32 hexadecimal digits".to_owned());
        }
        if let Err(error) = check_name(&self.name) {
            return Some(format!("the job's name cannot be one: {error}"));
        }
        let problem = match &self.work {
            Work::Train { settings, .. } => self.problem_of_training(settings.len()),
            Work::Predict { model, rows } => self.problem_of_predictions(model, *rows),
        };
        if problem.is_some() {
            return problem;
        }
        if self.outputs.is_empty() {
            return Some("nothing comes out of this job: ask for an output, such as metrics".to_owned());
        }
        let mut outputs = self.outputs.clone();
        outputs.sort_unstable();
        outputs.dedup();
        if outputs != self.outputs {
            return Some("the outputs are not in order, or one is there twice".to_owned());
        }
        for (receivers, output) in
            [(&self.predictions_to, Output::Predictions), (&self.model_to, Output::Model)]
        {
            if receivers.is_empty() == self.outputs.contains(&output) || receivers.len() > MOST {
                return Some(format!(
                    "the receivers of the output {output} have to be named if it is asked for, and only then"
                ));
            }
        }
        None
    }
}

impl JobDocument {
    /// What makes no sense about so many trainings.
    fn problem_of_training(&self, settings: usize) -> Option<String> {
        let ids: BTreeSet<&String> = self.datasets.iter().filter(|id| is_id(id)).collect();
        if ids.len() != self.datasets.len() || ids.is_empty() || ids.len() > MOST_OWNERS {
            return Some(format!("a training is on 1 to {MOST_OWNERS} data sets, each given once by its id"));
        }
        if ids.len() == 1 && self.join == Join::Columns {
            return Some("columns are joined of several data sets, and this job names one".to_owned());
        }
        if self.columns.iter().collect::<BTreeSet<_>>().len() < self.columns.len() {
            return Some("the job names a column twice".to_owned());
        }
        if settings == 0 || settings > MOST_SETTINGS {
            return Some(format!("a job has 1 to {MOST_SETTINGS} settings, and this one has {settings}"));
        }
        if settings > 1 && self.outputs.iter().any(|output| *output != Output::Metrics) {
            let text = "of a grid search nothing but the metrics comes out: ask for the output metrics alone";
            return Some(text.to_owned());
        }
        None
    }

    /// What makes no sense about predictions for so many rows.
    fn problem_of_predictions(&self, model: &str, rows: usize) -> Option<String> {
        let on_data = !self.datasets.is_empty() || !self.columns.is_empty() || self.join != Join::Rows;
        if !is_id(model) || on_data {
            return Some("predictions are by a model, given by its id, and on no data set".to_owned());
        }
        if rows == 0 || rows > MOST_ROWS {
            return Some(format!("predictions are for 1 to {MOST_ROWS} rows, and these are for {rows}"));
        }
        if self.outputs != [Output::Predictions] || self.predictions_to != [self.analyst] {
            return Some("predictions are opened to the one who asks, and nothing else comes out".to_owned());
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use shamisen_net::tls::Fingerprint;

    use super::*;

    pub(crate) fn key(digit: u8) -> KeyId {
        KeyId(Fingerprint::from_bytes([digit; 32]))
    }

    pub(crate) fn setting() -> Setting {
        Setting {
            hidden: vec![8],
            epochs: 2,
            batch_size: 32,
            optimizer: Optimizer::adam(1),
            learning_rate: 0.1,
            weight_decay: 0.0,
            seed: 1,
        }
    }

    pub(crate) fn document(analyst: KeyId, settings: Vec<Setting>) -> JobDocument {
        let work = Work::Train { settings, checkpoint_every: NonZeroUsize::new(16).unwrap() };
        let (id, datasets) = ("0123456789abcdef".repeat(2), vec!["fedcba9876543210".repeat(2)]);
        JobDocument::new(id, "a job".into(), [key(0), key(1), key(2)], analyst, datasets, work)
    }

    #[test]
    fn a_document_has_one_text() {
        let document = document(key(7), vec![setting()]);
        let text = document.text().unwrap();
        assert_eq!(JobDocument::parse(&text).unwrap(), document);
        for other in [
            text.replacen(':', ": ", 1),
            text.replacen("\"learning_rate\":0.1", "\"learning_rate\":0.10", 1),
            text.replacen("\"epochs\":2,", "", 1),
        ] {
            assert!(JobDocument::parse(&other).is_err(), "{other}");
        }
        let more = text.replacen('{', "{\"priority\":1,", 1);
        assert!(JobDocument::parse(&more).unwrap_err().contains("unknown field"));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        type Change = fn(&mut JobDocument);
        let changes: [(Change, &str); 12] = [
            (|d| d.format = 1, "format 1"),
            (|d| d.id = "../x".into(), "32 hexadecimal"),
            (|d| d.name = String::new(), "it is empty"),
            (|d| d.datasets.clear(), "1 to 256 data sets"),
            (|d| d.datasets.push(d.datasets[0].clone()), "each given once"),
            (|d| d.join = Join::Columns, "names one"),
            (|d| d.columns = vec!["age".into(); 2], "a column twice"),
            (
                |d| d.work = Work::Train { settings: vec![], checkpoint_every: NonZeroUsize::MIN },
                "1 to 256 settings",
            ),
            (|d| d.outputs.clear(), "nothing comes out"),
            (|d| d.outputs.reverse(), "not in order"),
            (|d| d.outputs.push(Output::Model), "receivers of the output model"),
            (|d| d.predictions_to.push(d.analyst), "receivers of the output predictions"),
        ];
        for (change, part) in changes {
            let mut document = document(key(7), vec![setting()]);
            change(&mut document);
            let problem = JobDocument::parse(&document.text().unwrap()).unwrap_err();
            assert!(problem.contains(part), "{problem:?} has no {part:?}");
        }
        let grid = document(key(7), vec![setting(), setting()]);
        assert!(grid.problem().unwrap().contains("metrics alone"));
    }
}
