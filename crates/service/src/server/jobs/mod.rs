//! Jobs at a server: what was handed in, what this server's party does, and what the three agree on.
//!
//! Every server keeps the [records](record) of the jobs that it has accepted, and runs one [party](process) at a time, in a process of its own.
//! Server 0 [conducts](conduct): it says which job is next, and gives [orders](order) to all three, itself included. It decides
//! when, and nothing else: a server works on no job but one that it has accepted itself, with the same document. What nobody else would
//! end or fetch, each server [clears away](tidy) by itself.

mod conduct;
mod data;
mod directory;
mod log;
mod losses;
mod models;
mod order;
mod pieces;
mod predictions;
mod process;
mod record;
mod routes;
mod tidy;

use std::sync::{Mutex as Lock, MutexGuard, PoisonError};

use shamisen_party::event::{Failed, Step};
use tokio::sync::{Mutex, watch};

pub(crate) use conduct::conduct;
pub(crate) use order::data_set_revoked;
pub(crate) use routes::routes;
pub(crate) use tidy::{begin, keep_tidy};

use crate::server::jobs::process::Running;

/// What a server's party is about.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// What this server's party does, or did last.
    work: Lock<Option<Work>>,
    /// Its process. Whoever holds it may start and end one.
    running: Mutex<Option<Running>>,
    /// Counts what happened, for those who wait for it.
    changes: watch::Sender<u64>,
}

/// What a party does, or did last.
#[derive(Clone, Debug)]
struct Work {
    job: String,
    /// Number of the training.
    training: usize,
    /// Which try it is, as the conductor calls it.
    attempt: String,
    phase: Phase,
    /// The part of the rows of several owners that is rescaled, before the first step.
    rescaled: Option<f64>,
    /// How far it has come in this try.
    step: Option<Step>,
    /// The loss when it was last opened.
    loss: Option<f64>,
}

/// How far a party is.
#[derive(Clone, Debug)]
enum Phase {
    /// It works, or waits for its peers.
    Working,
    /// What it found out and its share of the model lie in its directory.
    Finished,
    /// It has kept a checkpoint and ended, since one of the three was asked to.
    Stopped,
    /// It gave up.
    Failed(Failed),
}

impl Jobs {
    /// Nothing is done yet.
    pub(crate) fn new() -> Self {
        Self { work: Lock::new(None), running: Mutex::new(None), changes: watch::Sender::new(0) }
    }

    /// Keeps a checkpoint, if that is possible soon, and ends the party.
    pub(crate) async fn shut_down(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.stop().await;
        }
    }

    /// Asks the three to keep a checkpoint and stop, if a training is under way here.
    async fn ask_to_stop(&self) {
        if let Some(running) = &*self.running.lock().await {
            running.ask_to_stop();
        }
    }

    fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who wait that something happened.
    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}
