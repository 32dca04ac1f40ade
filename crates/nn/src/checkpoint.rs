//! Checkpoints of a training: all that the rest of it depends on.
//!
//! A checkpoint is taken right after a report, when all ranges are verified and all losses are opened: no claim waits, no lane is
//! lent, and what is left is the parameters, the optimiser's sums, and the keys of the lanes. These are renewed at each report
//! ([`Lanes::renew_keys`](shamisen_mpc::Lanes::renew_keys)), so that a training that goes on from a checkpoint draws the same
//! randomness as one that was never interrupted, and sends the same messages, word for word.

use serde::{Deserialize, Serialize};
use shamisen_mpc::protocol::split::Split;
use shamisen_mpc::{Rep, SessionKeys};

use crate::error::{NnError, Result};
use crate::optimizer::PieceState;

/// The public part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Mini-batches that are done, those of all epochs; it names the checkpoint.
    pub done: usize,
    /// Sum of the losses of the present epoch so far.
    pub(crate) loss_sum: f64,
    /// Of each piece of the optimiser.
    pub(crate) optimizer: Vec<PieceState>,
}

/// A checkpoint as it is taken: what a party must keep to go on from here.
pub struct Snapshot<'a> {
    /// The public part.
    pub state: &'a State,
    /// Mean loss of each epoch that is done.
    pub loss: &'a [f64],
    /// This party's shares, which are secret.
    pub shares: Vec<&'a [u64]>,
    /// The keys of its lanes, which are secret.
    pub keys: &'a [SessionKeys],
}

/// A checkpoint that was kept.
pub struct Checkpoint {
    /// The public part.
    pub state: State,
    /// Mean loss of each epoch that is done.
    pub loss: Vec<f64>,
    /// This party's shares, which are secret.
    pub shares: Vec<Vec<u64>>,
    /// The keys of its lanes, which are secret.
    pub keys: Vec<SessionKeys>,
}

/// Where checkpoints are kept.
pub trait Checkpoints {
    /// Whether one is taken after so many mini-batches, at the end of an epoch or not; the same at all three parties.
    ///
    /// It is asked after each report.
    fn is_due(&self, done: usize, end_of_epoch: bool) -> bool;

    /// Keeps one. When it returns, the checkpoint outlives the process.
    ///
    /// # Errors
    ///
    /// [`NnError::Checkpoint`] when it cannot be kept.
    fn save(&mut self, snapshot: &Snapshot<'_>) -> Result<()>;

    /// Whether this party wants to stop here.
    fn wants_to_stop(&self) -> bool;
}

/// The shares of a checkpoint, in the order in which they were kept.
pub(crate) struct Shares(std::vec::IntoIter<Vec<u64>>);

impl Shares {
    pub(crate) fn new(shares: Vec<Vec<u64>>) -> Self {
        Self(shares.into_iter())
    }

    /// The next replicated sharing of so many elements.
    pub(crate) fn rep(&mut self, len: usize) -> Result<Rep> {
        let (mine, next) = (self.words(len)?, self.words(len)?);
        Ok(Rep::from_components(mine, next))
    }

    /// The next sharing in two components of so many elements.
    pub(crate) fn split(&mut self, len: usize) -> Result<Split> {
        self.words(len).map(Split::from_words)
    }

    /// Fails if something is left.
    pub(crate) fn end(mut self) -> Result<()> {
        self.0.next().map_or(Ok(()), |_| Err(unfit()))
    }

    fn words(&mut self, len: usize) -> Result<Vec<u64>> {
        self.0.next().filter(|words| words.len() == len).ok_or_else(unfit)
    }
}

/// Appends a replicated sharing to the shares of a snapshot.
pub(crate) fn push_rep<'a>(shares: &mut Vec<&'a [u64]>, share: &'a Rep) {
    let (mine, next) = share.components();
    shares.extend([mine, next]);
}

/// A checkpoint is not one of this training.
pub(crate) fn unfit() -> NnError {
    NnError::Checkpoint("the checkpoint does not fit the plan: use those of the same training".into())
}
