//! Predictions by a model that the three servers keep, for rows that are shared on the machine of the one who asks.

use std::fs;
use std::path::{Path, PathBuf};

use shamisen_data::shares::{deal, random_id, share_path};
use shamisen_data::table::Matrix;
use shamisen_nn::formats::activation_frac;
use shamisen_party::Part;
use shamisen_party::handover::combine;

use crate::analyst::Analyst;
use crate::job::{JobDocument, JobState, ModelInfo, Work};
use crate::terms::Output;
use crate::{Cause, Result, ServiceError};

/// Most bytes of a component of the rows, or of their predictions, that are asked for at once.
const PIECE: usize = 1 << 22;

impl Analyst {
    /// Has a model predict for rows of scaled features: for each row the outputs of its plan, as fixed-point numbers.
    ///
    /// The rows are shared here, in the directory `place`, and sent in pieces; the predictions are opened here and nowhere else.
    ///
    /// # Errors
    ///
    /// If the rows have another number of columns than the model, a server refuses, the job fails, or a file cannot be written.
    pub fn predict(&self, model: &ModelInfo, features: &Matrix, place: &Path) -> Result<Vec<u64>> {
        let (plan, cols) = (&model.plan, features.cols());
        if plan.features() != cols {
            let wanted = plan.features();
            return Err(ServiceError::Answers {
                reason: format!("there are {cols} features where the model {} has {wanted}", model.name),
                cause: Cause::Refused,
            });
        }
        let dirs = [0, 1, 2].map(|party| place.join(format!("party{party}")));
        let mut words = Vec::with_capacity(features.rows() * plan.outputs());
        let rows_at_once = (PIECE / (8 * cols.max(plan.outputs()))).max(1);
        for values in features.values().chunks(cols * rows_at_once) {
            let rows = values.len() / cols;
            let Some(part) = Matrix::new(rows, cols, values.to_vec()) else { break };
            let id = random_id()?;
            let places = dirs.each_ref().map(PathBuf::as_path);
            deal(places, Part::Predict.features(), &id, &part, activation_frac(plan))?;
            let files = dirs.each_ref().map(|dir| share_path(dir, Part::Predict.features()));
            words.extend(self.predict_piece(model, id, rows, &files)?);
        }
        Ok(words)
    }

    /// The predictions for rows whose share files are of the data set `id`, which is the job's.
    fn predict_piece(
        &self,
        model: &ModelInfo,
        id: String,
        rows: usize,
        files: &[PathBuf; 3],
    ) -> Result<Vec<u64>> {
        let own = self.key();
        let work = Work::Predict { model: model.id.clone(), rows };
        let mut document = JobDocument::new(id, model.name.clone(), self.servers(), own, Vec::new(), work);
        (document.outputs, document.predictions_to) = (vec![Output::Predictions], vec![own]);
        self.submit(&document)?;
        let predicted = self.predicted(model, &document.id, rows, files);
        if predicted.is_err() {
            self.give_up(&document.id);
        }
        predicted
    }

    /// Gives the servers the rows of a job, waits for it, and fetches the predictions.
    fn predicted(&self, model: &ModelInfo, id: &str, rows: usize, files: &[PathBuf; 3]) -> Result<Vec<u64>> {
        let job = format!("/v1/jobs/{id}");
        for (server, file) in self.cluster().servers.iter().zip(files) {
            let share = fs::read(file).map_err(|error| ServiceError::io("read", file, error))?;
            self.wait(self.put(server, &format!("{job}/rows"), share.into()))?;
        }
        let end = self.watch(id, |_| Ok(()))?;
        if end.state != JobState::Done {
            let reason = end.reason.unwrap_or_default();
            return Err(ServiceError::Answers {
                reason: format!("the predictions are {}: {reason}", end.state.name()),
                cause: Cause::Fault,
            });
        }
        let count = rows * model.plan.outputs();
        let mut shares = [const { Vec::new() }; 3];
        for (server, share) in self.cluster().servers.iter().zip(&mut shares) {
            *share = self.wait(self.pieces(server, &format!("{job}/predictions"), 16 * count as u64))?;
        }
        for server in &self.cluster().servers {
            // A server that does not hear it forgets them later.
            drop(self.wait(self.delete(server, &format!("{job}/predictions"))));
        }
        combine(&shares, count).map_err(|failed| ServiceError::Answers {
            reason: failed.into_message().text,
            cause: Cause::Fault,
        })
    }
}
