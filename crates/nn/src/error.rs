//! What can go wrong in learning.

use shamisen_mpc::MpcError;
use thiserror::Error;

/// The result of a learning step.
pub type Result<T> = core::result::Result<T, NnError>;

/// Training, evaluation or prediction could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NnError {
    /// A protocol failed.
    #[error(transparent)]
    Protocol(#[from] MpcError),
    /// The rows could not be read.
    #[error("the shared rows could not be read: {0}")]
    Rows(Box<dyn std::error::Error + Send + Sync>),
    /// A checkpoint could not be kept, or is of another training.
    #[error("{0}")]
    Checkpoint(Box<dyn std::error::Error + Send + Sync>),
    /// A value left its fixed-point range.
    #[error(
        "{what} left the range of the fixed-point numbers in epoch {epoch}, mini-batch {batch}; nothing computed \
         since the last check is used.\nhint: {hint}"
    )]
    Range {
        /// The value and its layer.
        what: String,
        /// Epoch, from 1.
        epoch: usize,
        /// Mini-batch at which the check took place, from 1.
        batch: usize,
        /// What to do.
        hint: &'static str,
    },
    /// A value left its range outside training.
    #[error(
        "{0} left the range of the fixed-point numbers; no result is given.\nhint: features must be scaled as those \
         the model was trained with"
    )]
    PredictionRange(String),
    /// The plan cannot be carried out.
    #[error("{0}")]
    Plan(String),
}
