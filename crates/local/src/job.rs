//! A training with all choices made.

use std::num::{NonZeroU8, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use shamisen_data::prepare::PrepareOptions;
use shamisen_nn::formats::FEATURE_BITS;
use shamisen_nn::plan::Optimizer;

use crate::link::Link;
use crate::predict::SharedModel;

/// Rows of a mini-batch unless the user says otherwise.
pub const DEFAULT_BATCH: usize = 128;

/// Largest magnitude of a scaled feature or target.
pub const LIMIT: f64 = (1_u64 << FEATURE_BITS) as f64;

/// What is trained on.
///
/// This enum is complete.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Files, which are shared first.
    Table(Box<PrepareOptions>),
    /// A directory with shares.
    Shares(PathBuf),
}

/// A job with all choices made.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is trained on.
    pub rows: Rows,
    /// The model that it begins with, in place of new weights.
    pub start: Option<Arc<SharedModel>>,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows of a mini-batch, if the user said so.
    pub batch_size: Option<usize>,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Step size.
    pub learning_rate: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// The public seed.
    pub seed: u64,
    /// How the parties are joined.
    pub link: Link,
    /// Threads of each party.
    pub threads: NonZeroU8,
    /// Train the float twin, too.
    pub twin: bool,
    /// Where checkpoints are kept, and after how many mini-batches.
    pub checkpoints: Option<(PathBuf, NonZeroUsize)>,
    /// Where the model goes.
    pub model: Option<PathBuf>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
}

/// Threads of each of three parties on this machine unless the user says otherwise: a third of the cores, up to 8.
///
/// Adam has so much to do for each parameter that two are worth it also where there is not even a core for each party: one
/// computes while the other waits for a peer.
pub fn default_threads(optimizer: Optimizer) -> NonZeroU8 {
    let least = if matches!(optimizer, Optimizer::Adam { .. }) { 2 } else { 1 };
    let third = available_parallelism().map_or(1, usize::from) / 3;
    NonZeroU8::new(third.clamp(least, 8) as u8).unwrap_or(NonZeroU8::MIN)
}
