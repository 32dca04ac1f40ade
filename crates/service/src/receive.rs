//! What the three servers give to one person alone, each its share: models, and the statistics of data sets.

use std::fs;
use std::path::{Path, PathBuf};

use shamisen_data::document;

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

    /// Writes the statistics of a data set into a file; `place` is a directory for the servers' shares of them.
    ///
    /// # Errors
    ///
    /// If a server refuses, the shares do not fit together, or a file cannot be written.
    pub fn fetch_statistics(&self, dataset: &str, place: &Path, file: &Path) -> Result<()> {
        let shares = [0, 1, 2].map(|party| place.join(format!("statistics{party}.share")));
        for (server, share) in self.cluster().servers.iter().zip(&shares) {
            let bytes = self.wait(self.bytes(server, &format!("/v1/datasets/{dataset}/preprocessing")))?;
            fs::write(share, bytes).map_err(|error| ServiceError::io("write", share, error))?;
        }
        let statistics = document::read(shares.each_ref().map(PathBuf::as_path))?;
        for share in &shares {
            fs::remove_file(share).map_err(|error| ServiceError::io("remove", share, error))?;
        }
        fs::write(file, statistics).map_err(|error| ServiceError::io("write", file, error))
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
