//! What the three servers give to one person alone, each its share: models, their statistics, and predictions.

use std::fs;
use std::path::PathBuf;

use shamisen_data::scaling::{Affine, Preprocessing, Scaling};
use shamisen_nn::plan::Task;
use shamisen_party::handover::{combine, scaling, statistics_words};

use crate::analyst::Analyst;
use crate::cluster::Server;
use crate::job::ModelInfo;
use crate::{Cause, Result, ServiceError};

impl Analyst {
    /// The models of which this person may have something, the latest first.
    ///
    /// # Errors
    ///
    /// If no server answers.
    pub fn models(&self) -> Result<Vec<ModelInfo>> {
        self.wait(self.ask_any("/v1/models"))
    }

    /// The model with an id, the beginning of an id, or a name; the latest one of that name.
    ///
    /// # Errors
    ///
    /// If there is none, or no server answers.
    pub fn model(&self, reference: &str) -> Result<ModelInfo> {
        let mut models = self.models()?.into_iter();
        let named = |model: &ModelInfo| model.name == reference || model.id.starts_with(reference);
        models.find(named).ok_or_else(|| ServiceError::Answers {
            reason: format!(
                "there is no model {reference:?} that you may know of\nhint: `shamisen models` lists them"
            ),
            cause: Cause::Unknown,
        })
    }

    /// Writes the three servers' shares of a model into files.
    ///
    /// # Errors
    ///
    /// If a server refuses, or a file cannot be written.
    pub fn fetch_model(&self, model: &ModelInfo, files: &[PathBuf; 3]) -> Result<()> {
        for (server, file) in self.cluster().servers.iter().zip(files) {
            let share =
                self.wait(self.pieces(server, &format!("/v1/models/{}/share", model.id), model.share_bytes))?;
            fs::write(file, share).map_err(|error| ServiceError::io("write", file, error))?;
        }
        Ok(())
    }

    /// What leads from a table's columns to a model's inputs, and from its outputs back.
    ///
    /// # Errors
    ///
    /// If a server refuses, or the shares do not fit together.
    pub fn preprocessing(&self, model: &ModelInfo) -> Result<Preprocessing> {
        let wrong = |reason: String| ServiceError::Answers { reason, cause: Cause::Fault };
        let mut shares = [const { Vec::new() }; 3];
        for (server, share) in self.cluster().servers.iter().zip(&mut shares) {
            let path = format!("/v1/models/{}/statistics", model.id);
            *share = self.wait(self.pieces(server, &path, model.statistics_bytes))?;
        }
        let schema = &model.schema;
        let is_number = model.plan.task == Task::Regression;
        let columns = schema.features.len() + usize::from(is_number);
        let words = combine(&shares, columns * statistics_words(model.pooled))
            .map_err(|failed| wrong(failed.message))?;
        let mut maps = scaling(&words, model.pooled);
        let target = if is_number { maps.pop() } else { None };
        if model.scaling == Scaling::None {
            maps.fill(Affine::IDENTITY);
        }
        let preprocessing = Preprocessing {
            feature_names: schema.features.clone(),
            // Owners tell the servers the names of inputs, and not what they made them of.
            columns: vec![],
            images: None,
            target_name: schema.target.clone(),
            scaling: model.scaling,
            offset: maps.iter().map(|map| map.offset).collect(),
            factor: maps.iter().map(|map| map.factor).collect(),
            target,
            classes: schema.classes.clone(),
        };
        match preprocessing.problem() {
            None => Ok(preprocessing),
            Some(problem) => {
                Err(wrong(format!("the statistics that the servers sent make no sense: {problem}")))
            }
        }
    }

    /// So many bytes of a server, in pieces.
    pub(crate) async fn pieces(&self, server: &Server, path: &str, bytes: u64) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while (all.len() as u64) < bytes {
            let piece = self.bytes(server, &format!("{path}/{}", all.len())).await?;
            if piece.is_empty() {
                break;
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}
