//! Three parties in three threads of this process, which Ctrl-C interrupts.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use shamisen_mpc::Lanes;
use shamisen_net::{NetError, Party, Peers, Transport, memory};
use shamisen_nn::NnError;
use shamisen_nn::train::Progress;

use crate::error::of_learning;

/// Longest wait of a party for another one. They share a process, so that only a machine that sleeps makes it long.
const DEADLINE: Duration = Duration::from_hours(1);

/// Time between two looks at Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs a job at three parties with so many lanes each, without holding the interpreter's lock.
///
/// `progress` is called with what party 0 reports. If it raises an exception, or Ctrl-C was pressed, the parties end at their next
/// message, and the exception is what is returned.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    lanes: usize,
    progress: Option<&Py<PyAny>>,
    job: impl Fn(Party, Lanes, &Reporter) -> shamisen_nn::Result<T> + Sync,
) -> PyResult<[T; 3]> {
    let stop = Arc::new(AtomicBool::new(false));
    let ends = ends(lanes, &stop);
    let job = &job;
    py.detach(|| {
        thread::scope(|scope| {
            let (sender, reports) = channel();
            let threads = Party::ALL.into_iter().zip(ends).map(|(party, ends)| {
                let reporter = Reporter((party.index() == 0).then(|| sender.clone()));
                let alive = sender.clone();
                scope.spawn(move || {
                    let work = || job(party, Lanes::open(ends)?, &reporter);
                    let end = catch_unwind(AssertUnwindSafe(work));
                    drop(alive);
                    end
                })
            });
            let threads: Vec<_> = threads.collect();
            drop(sender);
            let mut interrupted = None;
            loop {
                let report = match reports.recv_timeout(LOOK_EVERY) {
                    Ok(report) => Some(report),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                // When one report waits, later ones may, too: the last one counts, and each that tells a loss.
                if interrupted.is_none()
                    && let Err(error) = Python::attach(|py| look(py, progress, report))
                {
                    stop.store(true, Ordering::Relaxed);
                    interrupted = Some(error);
                }
            }
            let ends = threads.into_iter().map(|thread| thread.join().unwrap_or_else(Err));
            let ends = ends.collect();
            interrupted.map_or_else(|| outcome(ends), Err)
        })
    })
}

/// Tells Python how far the training is, and looks whether Ctrl-C was pressed.
fn look(py: Python<'_>, progress: Option<&Py<PyAny>>, report: Option<Progress>) -> PyResult<()> {
    py.check_signals()?;
    if let (Some(progress), Some(Progress { epoch, batch, batches, loss, .. })) = (progress, report) {
        progress.call1(py, (epoch, batch, batches, loss))?;
    }
    Ok(())
}

/// What a party's thread ended with.
type End<T> = Result<shamisen_nn::Result<T>, Box<dyn Any + Send>>;

/// The results of all three, or the reason why there are none.
fn outcome<T>(ends: Vec<End<T>>) -> PyResult<[T; 3]> {
    let mut results = Vec::with_capacity(3);
    let mut failure = None;
    for end in ends {
        match end {
            Ok(Ok(result)) => results.push(result),
            Ok(Err(error)) => {
                // Whoever lost a peer has no reason of its own to tell.
                let lost = matches!(error, NnError::Protocol(_));
                if failure.as_ref().is_none_or(|(_, known_lost)| *known_lost && !lost) {
                    failure = Some((of_learning(&error), lost));
                }
            }
            Err(panic) => {
                let what = panic.downcast_ref::<String>().map(String::as_str);
                let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                let text = format!("a party panicked, which is a bug of shamisen: please report it ({what})");
                failure = Some((PyRuntimeError::new_err(text), false));
            }
        }
    }
    if let Some((error, _)) = failure {
        return Err(error);
    }
    results.try_into().map_err(|_| PyRuntimeError::new_err("a party is missing, which is a bug of shamisen"))
}

/// Where party 0 reports progress; the others report none.
pub(crate) struct Reporter(Option<Sender<Progress>>);

impl Reporter {
    /// Reports.
    pub(crate) fn report(&self, progress: Progress) {
        if let Some(sender) = &self.0 {
            // The receiver outlives the parties.
            let _ = sender.send(progress);
        }
    }
}

/// The transports of three parties with so many lanes each, which fail when they are told to stop.
fn ends(lanes: usize, stop: &Arc<AtomicBool>) -> [Vec<Box<dyn Transport>>; 3] {
    let mut ends = [const { Vec::new() }; 3];
    for _ in 0..lanes {
        for (ends, mut inner) in ends.iter_mut().zip(memory::mesh()) {
            inner.set_deadline(DEADLINE);
            let end: Box<dyn Transport> =
                Box::new(Stoppable { inner: Box::new(inner), stop: Arc::clone(stop) });
            ends.push(end);
        }
    }
    ends
}

/// A transport that fails as if the next party were gone, once it is told to.
struct Stoppable {
    inner: Box<dyn Transport>,
    stop: Arc<AtomicBool>,
}

impl Stoppable {
    fn check(&self) -> Result<(), NetError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(NetError::Disconnected { peer: self.inner.party().next() });
        }
        Ok(())
    }
}

impl Transport for Stoppable {
    fn party(&self) -> Party {
        self.inner.party()
    }

    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError> {
        self.check()?;
        self.inner.exchange(send, receive)
    }

    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        self.check()?;
        self.inner.post(send)
    }

    fn flush(&mut self) -> Result<(), NetError> {
        self.inner.flush()
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.inner.set_deadline(deadline);
    }
}
