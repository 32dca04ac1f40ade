//! What can go wrong in a protocol.

use shamisen_net::NetError;
use thiserror::Error;

/// The result of a protocol.
pub type Result<T> = core::result::Result<T, MpcError>;

/// A protocol could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MpcError {
    /// A peer was lost, silent, or sent something else than the protocol says.
    #[error(transparent)]
    Network(#[from] NetError),
    /// The operating system gave no randomness, without which nothing may be sent.
    #[error("the operating system gave no randomness: {0}")]
    Randomness(getrandom::Error),
}
