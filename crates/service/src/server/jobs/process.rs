//! The party's process: it is started, its events are read, and it is ended.
//!
//! It is a process of its own so that its memory ends with it, a crash takes nothing else along, and cancelling is killing. It
//! does not outlive the server, whose end closes its standard input.

use core::time::Duration;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use shamisen_party::event::{Cause, Event, Failed};
use shamisen_party::process::{command, end, event, own_program};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio::{select, spawn};

use crate::job::LossPoint;
use crate::server::jobs::{Phase, Work, directory, log, losses};
use crate::server::state::Shared;

/// How long the port of the data plane may be in use by the doctor.
const PORT: Duration = Duration::from_secs(30);

/// How long a party that is asked to stop may take to keep a checkpoint.
const STOPPING: Duration = Duration::from_secs(8);

/// A party's process.
#[derive(Debug)]
pub(super) struct Running {
    wish: watch::Sender<Wish>,
    task: JoinHandle<()>,
}

/// What is wanted of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Work,
    /// Keep a checkpoint and end.
    Stop,
    /// End at once.
    Kill,
}

impl Running {
    /// Starts the party that [`Work`] tells of, in its directory.
    pub(super) fn start(shared: &Arc<Shared>, work: Work, dir: PathBuf, lets_loss: bool) -> Self {
        let (wish, wishes) = watch::channel(Wish::Work);
        *shared.jobs.work() = Some(work.clone());
        let shared = Arc::clone(shared);
        let task = spawn(async move {
            let party = Party { shared, dir, job: work.job, training: work.training, lets_loss };
            let phase = party.run(wishes).await;
            party.tell(&phase).await;
            if let Some(work) = &mut *party.shared.jobs.work() {
                work.phase = phase;
            }
            party.shared.jobs.changed();
        });
        Self { wish, task }
    }

    /// Ends the process at once.
    pub(super) async fn kill(self) {
        self.wish.send_replace(Wish::Kill);
        drop(self.task.await);
    }

    /// Lets the process keep a checkpoint and end; so do those of the others.
    pub(super) fn ask_to_stop(&self) {
        self.wish.send_replace(Wish::Stop);
    }

    /// Lets the process keep a checkpoint, if it can do so soon, and ends it.
    pub(super) async fn stop(mut self) {
        self.ask_to_stop();
        if timeout(STOPPING, &mut self.task).await.is_err() {
            self.kill().await;
        }
    }
}

/// A party while its process runs.
struct Party {
    shared: Arc<Shared>,
    dir: PathBuf,
    job: String,
    training: usize,
    /// Whether the job lets the loss out.
    lets_loss: bool,
}

impl Party {
    /// Runs the process to its end.
    async fn run(&self, wishes: watch::Receiver<Wish>) -> Phase {
        let turn = timeout(PORT, Arc::clone(&self.shared.data_port).lock_owned()).await;
        let started = own_program().and_then(|program| start(&program, &self.dir));
        match (turn, started) {
            (Ok(_turn), Ok(child)) => self.follow(child, wishes).await,
            (Err(_), _) => failed(Cause::PortInUse, "the port of the data plane is being examined"),
            (_, Err(error)) => failed(Cause::System, format!("a party cannot be started: {error}")),
        }
    }

    /// Reads what the process tells, and does to it what is wished, until it has ended.
    async fn follow(&self, mut child: Child, mut wishes: watch::Receiver<Wish>) -> Phase {
        let number = self.shared.config().party.index();
        // Closed when this function ends, whatever happens: the process does not outlive it.
        let _input = child.stdin.take();
        let (Some(events), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return failed(Cause::System, "a party was started without its pipes");
        };
        let (mut events, mut errors) = (BufReader::new(events).lines(), BufReader::new(errors).lines());
        let (mut phase, mut open) = (None, [true, true]);
        while open[0] {
            select! {
                line = events.next_line(), if open[0] => match line {
                    Ok(Some(line)) => phase = self.take(event(number, &line)).await.or(phase),
                    _ => open[0] = false,
                },
                line = errors.next_line(), if open[1] => match line {
                    Ok(Some(line)) => tracing::warn!(job = self.job, "the party says: {line}"),
                    _ => open[1] = false,
                },
                changed = wishes.changed() => {
                    let wish = if changed.is_err() { Wish::Kill } else { *wishes.borrow() };
                    fulfil(&mut child, wish);
                }
            }
        }
        let status = child.wait().await;
        match (phase, status) {
            (Some(phase), _) => phase,
            (None, Ok(status)) => Phase::Failed(end(number, status).unwrap_or_else(|| {
                Failed::new(Cause::Died, format!("party {number} ended without a result"))
            })),
            (None, Err(error)) => failed(Cause::System, format!("the end of a party is not known: {error}")),
        }
    }

    /// What follows from an event, if it is the last one.
    async fn take(&self, event: Event) -> Option<Phase> {
        match event {
            Event::Connected => self.note("the three parties have met").await,
            Event::Warning { message } => self.note(&self.without_place(&message)).await,
            Event::Rescaled { part } => {
                if let Some(work) = &mut *self.shared.jobs.work() {
                    work.rescaled = Some(part);
                }
                self.shared.jobs.changed();
            }
            Event::Progress(step) => {
                if let Some(work) = &mut *self.shared.jobs.work() {
                    work.step = Some(step);
                    work.loss = step.loss.or(work.loss);
                }
                if let Some(loss) = step.loss.filter(|_| self.lets_loss) {
                    let epoch = (step.epoch - 1) as f64 + step.batch as f64 / step.batches.max(1) as f64;
                    losses::add(&self.shared, &self.job, LossPoint { epoch, loss }).await;
                }
                self.shared.jobs.changed();
            }
            Event::Stopped { epoch, batch } => {
                self.note(&format!("stopped after epoch {epoch}, mini-batch {batch}")).await;
                return Some(Phase::Stopped);
            }
            Event::Finished(outcome) => {
                let dir = self.dir.clone();
                let kept = spawn_blocking(move || directory::keep_outcome(&dir, &outcome)).await;
                return Some(match kept {
                    Ok(Ok(())) => Phase::Finished,
                    Ok(Err(error)) => {
                        let mut failed = Failed::from(error);
                        failed.message = self.without_place(&failed.message);
                        Phase::Failed(failed)
                    }
                    Err(error) => failed(Cause::System, error.to_string()),
                });
            }
            Event::Failed(mut failed) => {
                failed.message = self.without_place(&failed.message);
                return Some(Phase::Failed(failed));
            }
        }
        None
    }

    /// Says in the logs how it ended.
    async fn tell(&self, phase: &Phase) {
        let text = match phase {
            Phase::Finished => format!("training {} is done here", self.training),
            Phase::Failed(failed) => failed.message.clone(),
            Phase::Working | Phase::Stopped => return,
        };
        tracing::info!(job = self.job, "{text}");
        self.note(&text).await;
    }

    /// A message without the place of the server's files, which is not the analyst's business.
    fn without_place(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.shared.config().data.display()), "")
    }

    async fn note(&self, text: &str) {
        log::add(&self.shared, &self.job, text).await;
    }
}

fn start(program: &Path, dir: &Path) -> std::io::Result<Child> {
    let mut command = Command::from(command(program, dir));
    if env::var_os("RUST_LOG").is_none() {
        // Such as strangers at the port of the data plane.
        command.env("RUST_LOG", "warn");
    }
    command.stderr(Stdio::piped()).kill_on_drop(true).spawn()
}

fn fulfil(child: &mut Child, wish: Wish) {
    // Both fail if the process has ended in this moment.
    match wish {
        Wish::Work => {}
        Wish::Stop => {
            let id = child.id().and_then(|id| Pid::from_raw(id as i32));
            if let Some(id) = id {
                let _ = kill_process(id, Signal::INT);
            }
        }
        Wish::Kill => drop(child.start_kill()),
    }
}

fn failed(cause: Cause, text: impl Into<String>) -> Phase {
    Phase::Failed(Failed::new(cause, text))
}
