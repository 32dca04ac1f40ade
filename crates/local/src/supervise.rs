//! Watching three parties: what they report, which one failed first and why.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use shamisen_party::event::{Cause, Event, Failed, Outcome, Step};

use crate::failure::Failure;
use crate::interrupt;

/// Something about one party.
pub struct Note {
    /// Which one.
    pub party: usize,
    /// What.
    pub news: News,
}

/// What there is to know about a party.
///
/// This enum is complete.
pub enum News {
    /// It told something.
    Event(Event),
    /// It has ended; with a reason if it did not end well by its own account.
    Ended(Option<Failed>),
}

/// Why there is no result.
///
/// This enum is complete.
#[derive(Debug)]
pub enum Stopped {
    /// Ctrl-C.
    Interrupted,
    /// The same, and all three have kept a checkpoint.
    Paused {
        /// Epoch, from 1.
        epoch: usize,
        /// Mini-batches of this epoch that are done.
        batch: usize,
    },
    /// The most telling failure.
    Failed {
        /// Of which party.
        party: usize,
        /// What it said, or what is known of its end.
        failed: Failed,
    },
}

/// What can be done about the three parties.
pub struct Control<'a> {
    /// Ends what still runs.
    pub stop: &'a mut dyn FnMut(),
    /// Asks all three to keep a checkpoint and to end, if they can.
    pub pause: Option<&'a mut dyn FnMut()>,
}

/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(50);

/// How long the other parties have to end by themselves after the first failure, if that tells enough.
const GRACE: Duration = Duration::from_millis(300);

/// The same, if the first failure is probably the consequence of another one.
const LONG_GRACE: Duration = Duration::from_secs(3);

/// How long to wait for the end of parties that were stopped.
const END: Duration = Duration::from_secs(2);

/// Watches three parties until all have ended, and returns what they found out.
///
/// After the first failure the others get a moment to say what they know, then those that still run are ended. After Ctrl-C
/// they are paused if they can be, and ended after a second one. `observe` sees the progress of all three.
///
/// # Errors
///
/// [`Stopped::Failed`] when a party failed, [`Stopped::Interrupted`] or [`Stopped::Paused`] after Ctrl-C; no party goes on then.
pub fn watch(
    notes: &Receiver<Note>,
    control: Control<'_>,
    observe: &mut dyn FnMut(usize, Step),
) -> Result<[Outcome; 3], Stopped> {
    let Control { stop, mut pause } = control;
    let mut connected = [false; 3];
    let mut paused: [Option<(usize, usize)>; 3] = [None; 3];
    let mut asked = false;
    let mut outcomes: [Option<Outcome>; 3] = [None, None, None];
    let mut failures: Vec<(usize, Failed)> = Vec::new();
    let mut ended = [false; 3];
    let mut stop_at: Option<Instant> = None;
    let mut stopped = false;
    while ended.contains(&false) {
        let requests = interrupt::requests();
        if requests > usize::from(asked) {
            match &mut pause {
                Some(pause) if requests == 1 && connected == [true; 3] => {
                    tracing::warn!("the parties keep a checkpoint and end; Ctrl-C again ends them at once");
                    pause();
                }
                _ => {
                    stop();
                    return Err(Stopped::Interrupted);
                }
            }
            asked = true;
        }
        if stop_at.is_some_and(|at| Instant::now() >= at) {
            if stopped {
                break;
            }
            stop();
            stopped = true;
            stop_at = Some(Instant::now() + END);
        }
        let Note { party, news } = match notes.recv_timeout(TICK) {
            Ok(note) => note,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let failed = match news {
            News::Event(Event::Connected) => {
                tracing::debug!("party {party} is connected");
                connected[party] = true;
                continue;
            }
            News::Event(Event::Warning { message }) => {
                tracing::warn!("party {party}: {message}");
                continue;
            }
            // Whoever starts parties here has the rows of one owner.
            News::Event(Event::Rescaled { .. }) => continue,
            News::Event(Event::Stopped { epoch, batch }) => {
                paused[party] = Some((epoch, batch));
                continue;
            }
            News::Event(Event::Progress(step)) => {
                observe(party, step);
                continue;
            }
            News::Event(Event::Finished(outcome)) => {
                outcomes[party] = Some(*outcome);
                continue;
            }
            News::Event(Event::Failed(failed)) => failed,
            News::Ended(reason) => {
                ended[party] = true;
                if paused[party].is_some() {
                    continue;
                }
                let said = outcomes[party].is_some() || failures.iter().any(|(whose, _)| *whose == party);
                match reason {
                    // What it said itself tells more than its exit status.
                    Some(failed) if !stopped && !failures.iter().any(|(whose, _)| *whose == party) => failed,
                    None if !said && !stopped => {
                        Failed::new(Cause::Died, format!("party {party} ended without a result"))
                    }
                    _ => continue,
                }
            }
        };
        tracing::info!("party {party} failed: {}", failed.message);
        if !stopped {
            let grace = if failed.cause.is_consequence() { LONG_GRACE } else { GRACE };
            let at = Instant::now() + grace;
            stop_at = Some(stop_at.map_or(at, |earlier| earlier.min(at)));
        }
        failures.push((party, failed));
    }
    if let Some((party, failed)) = failures.into_iter().min_by_key(|(_, failed)| failed.cause) {
        return Err(Stopped::Failed { party, failed });
    }
    if let [Some((epoch, batch)), Some(_), Some(_)] = paused {
        return Err(Stopped::Paused { epoch, batch });
    }
    match outcomes {
        [Some(first), Some(second), Some(third)] => Ok([first, second, third]),
        _ => Err(Stopped::Failed {
            party: 0,
            failed: Failed::new(Cause::Died, "a party ended without a result"),
        }),
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Interrupted => Self::Interrupted,
            Stopped::Paused { epoch, batch } => {
                Self::Paused(format!("interrupted after epoch {epoch}, mini-batch {batch}"))
            }
            Stopped::Failed { party, mut failed } => {
                // A range is the same for all, and whoever died could not say it itself.
                if !matches!(failed.cause, Cause::Range | Cause::Died) {
                    failed.message = format!("party {party}: {}", failed.message);
                }
                failed.into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn run(notes: Vec<(usize, News)>) -> (Result<[Outcome; 3], Stopped>, usize) {
        let (sender, receiver) = channel();
        for (party, news) in notes {
            sender.send(Note { party, news }).unwrap();
        }
        drop(sender);
        let mut stops = 0;
        let control = Control { stop: &mut || stops += 1, pause: None };
        let result = watch(&receiver, control, &mut |_, _| ());
        (result, stops)
    }

    fn finished() -> News {
        News::Event(Event::Finished(Box::default()))
    }

    fn failed(cause: Cause, text: &str) -> News {
        News::Event(Event::Failed(Failed::new(cause, text)))
    }

    #[test]
    fn three_results_are_a_success() {
        let notes = (0..3).flat_map(|party| [(party, finished()), (party, News::Ended(None))]).collect();
        let (result, stops) = run(notes);
        assert!(result.is_ok());
        assert_eq!(stops, 0);
    }

    #[test]
    fn the_cause_is_preferred_to_its_consequences() {
        let (result, _) = run(vec![
            (0, failed(Cause::Disconnected, "party 1 closed the connection")),
            (2, failed(Cause::Silent, "party 1 was silent")),
            (1, News::Ended(Some(Failed::new(Cause::Died, "party 1 was killed by signal 9")))),
        ]);
        let failure = Failure::from(result.unwrap_err());
        let Failure::Run(message) = failure else { panic!("{failure:?}") };
        assert_eq!(message.text, "party 1 was killed by signal 9");
    }

    #[test]
    fn what_a_party_said_is_preferred_to_its_status() {
        let (result, _) = run(vec![
            (2, failed(Cause::Input, "no such file")),
            (2, News::Ended(Some(Failed::new(Cause::Died, "party 2 ended with status 2")))),
        ]);
        let Failure::Input(message) = Failure::from(result.unwrap_err()) else { panic!("not an input") };
        assert_eq!(message.text, "party 2: no such file");
    }

    #[test]
    fn three_that_stopped_are_paused_whatever_their_status() {
        let stopped = || News::Event(Event::Stopped { epoch: 2, batch: 16 });
        let ended = || News::Ended(Some(Failed::new(Cause::Died, "party 1 ended with status 130")));
        let (result, stops) = run((0..3).flat_map(|party| [(party, stopped()), (party, ended())]).collect());
        assert_eq!(stops, 0);
        let Failure::Paused(text) = Failure::from(result.unwrap_err()) else { panic!("not paused") };
        assert_eq!(text, "interrupted after epoch 2, mini-batch 16");
        // One that failed while it should have kept a checkpoint is the reason.
        let full = failed(Cause::Input, "there is no room left");
        let (result, _) = run(vec![(0, stopped()), (0, ended()), (1, full), (1, ended()), (2, stopped())]);
        assert!(matches!(result, Err(Stopped::Failed { party: 1, .. })));
    }

    #[test]
    fn an_end_without_a_word_is_a_failure() {
        let (result, _) = run(vec![(0, finished()), (0, News::Ended(None)), (1, News::Ended(None))]);
        assert!(matches!(result, Err(Stopped::Failed { party: 1, .. })));
    }
}
