//! Whose turn it is: predictions are quick, and somebody waits for them, so that trainings let them go first.
//!
//! A training that is under way keeps a checkpoint and steps aside. So that trainings come to an end however many predictions there are, none
//! begins any more when a training has waited for [`LONGEST`]; it has then at least as long as they had, and [`LEAST`].
//! Rows come in pieces, each a job of its own: the training waits a moment for the next one.

use core::time::Duration;
use std::time::Instant;

use tokio::time::sleep;

use super::{Conductor, LOOK, Obstacle, obstacle};
use crate::job::JobState;
use crate::server::jobs::order::What;
use crate::server::jobs::record::{JobRecord, open_jobs};

/// How long predictions may begin while a training waits.
const LONGEST: Duration = Duration::from_secs(30);

/// The least time of a training between predictions.
const LEAST: Duration = Duration::from_secs(3);

/// How long a training that stands aside waits for further predictions.
const LINGER: Duration = Duration::from_secs(1);

/// Pause between two looks for predictions while a training works.
const GLANCE: Duration = Duration::from_secs(1);

/// Who had how much time.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Whether there is a training that is not over.
    training_waits: bool,
    /// Since when one waits for predictions.
    aside: Option<Instant>,
    /// When the last predictions ended.
    ended: Option<Instant>,
    /// When it was looked for predictions.
    looked: Option<Instant>,
    /// How long the training may work that went on last.
    due: Duration,
}

impl Turns {
    /// What there is to be done.
    fn take_note(&mut self, pending: &[JobRecord]) {
        self.training_waits = pending.iter().any(|record| record.is_training() && !record.state.is_over());
        if !self.training_waits {
            (self.aside, self.due) = (None, Duration::ZERO);
        }
    }

    /// A training stands aside.
    pub(super) fn steps_aside(&mut self) {
        self.aside.get_or_insert_with(Instant::now);
    }

    /// A training or predictions begin, or go on.
    pub(super) fn begins(&mut self, is_training: bool) {
        if !is_training && self.training_waits {
            self.steps_aside();
        } else if is_training && let Some(since) = self.aside.take() {
            self.due = since.elapsed().clamp(LEAST, LONGEST);
        }
    }

    /// A training or predictions are over.
    pub(super) fn ended(&mut self, is_training: bool) {
        if !is_training {
            self.ended = Some(Instant::now());
        }
    }

    /// Whether predictions may begin before a training.
    fn are_predictions_first(&self) -> bool {
        self.aside.is_none_or(|since| since.elapsed() < LONGEST)
    }

    /// Whether further predictions may come of those for which a training stands aside.
    fn lingers(&self) -> bool {
        self.aside.is_some() && self.ended.is_some_and(|ended| ended.elapsed() < LINGER)
    }

    /// Whether a training that has worked for so long has had its turn.
    pub(super) fn is_up(&self, worked: Duration) -> bool {
        worked >= self.due
    }

    /// The place of a job in a row; the lowest is first.
    fn rank(&self, state: JobState, is_training: bool) -> u8 {
        match (state, is_training) {
            (state, _) if state.is_over() => 0,
            (JobState::Queued, false) => {
                if self.are_predictions_first() {
                    2
                } else {
                    5
                }
            }
            (_, false) => 1,
            (JobState::Queued, true) => 4,
            (_, true) => 3,
        }
    }
}

impl Conductor {
    /// Jobs that something is to be done for, in the order of their turns: those whose end is not known everywhere, the one that was
    /// begun, those that wait.
    pub(super) async fn pending(&mut self) -> Vec<JobRecord> {
        let open = self.shared.blocking(|shared| shared.store.read(|state| open_jobs(state))).await;
        let mut pending = open.unwrap_or_else(|error| {
            tracing::error!(%error, "the jobs cannot be read");
            Vec::new()
        });
        self.turns.take_note(&pending);
        let rank =
            |record: &JobRecord| (self.turns.rank(record.state, record.is_training()), record.accepted);
        pending.sort_by(|one, other| {
            let (one, other) = (rank(one), rank(other));
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
        });
        pending
    }

    /// Whether there are predictions that all three could work on. Those that will never be ready are ended.
    pub(super) async fn predictions_wait(&mut self) -> bool {
        if self.turns.looked.is_some_and(|looked| looked.elapsed() < GLANCE) {
            return false;
        }
        for record in self.pending().await {
            if record.state != JobState::Queued || record.is_training() || !record.ready {
                continue;
            }
            match obstacle(&self.order(&record, &What::Look).await, self.late(&record)) {
                None => return true,
                Some(Obstacle::Wait(_)) => {}
                Some(Obstacle::End(state, reason)) => drop(self.end(&record, state, Some(reason)).await),
            }
        }
        self.turns.looked = Some(Instant::now());
        false
    }

    /// Whether predictions go before a training that is about to begin, or to go on.
    pub(super) async fn predictions_go_first(&mut self) -> bool {
        while self.turns.are_predictions_first() {
            if self.predictions_wait().await {
                return true;
            }
            if !self.turns.lingers() {
                break;
            }
            sleep(LOOK).await;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns in which a training has stood aside for so long.
    fn aside(seconds: u64) -> Turns {
        let aside = Instant::now().checked_sub(Duration::from_secs(seconds));
        assert!(aside.is_some(), "the clock of this machine has just begun");
        Turns { training_waits: true, aside, ..Turns::default() }
    }

    #[test]
    fn predictions_go_first_unless_a_training_has_waited_long() {
        let order = |turns: &Turns| {
            let mut jobs = [
                ("waiting training", JobState::Queued, true),
                ("training", JobState::Running, true),
                ("waiting predictions", JobState::Queued, false),
                ("predictions", JobState::Running, false),
                ("done", JobState::Done, true),
            ];
            jobs.sort_by_key(|(_, state, is_training)| turns.rank(*state, *is_training));
            jobs.map(|(name, ..)| name)
        };
        let kind = ["done", "predictions", "waiting predictions", "training", "waiting training"];
        assert_eq!(order(&Turns::default()), kind);
        assert_eq!(order(&aside(10)), kind);
        // What is begun is finished.
        let firm = ["done", "predictions", "training", "waiting training", "waiting predictions"];
        assert_eq!(order(&aside(30)), firm);
    }

    #[test]
    fn a_training_has_as_long_as_predictions_had_within_bounds() {
        for (stood, due) in [(0, 3), (10, 10), (36_000, 30)] {
            let mut turns = aside(stood);
            // Stepping aside again does not begin anew.
            turns.steps_aside();
            turns.begins(true);
            let [short, enough] = [due * 1000 - 10, due * 1000 + 1000].map(Duration::from_millis);
            assert!(!turns.is_up(short) && turns.is_up(enough), "{stood} s");
            // Another try is no further turn.
            turns.begins(true);
            assert!(!turns.is_up(short), "{stood} s");
            turns.take_note(&[]);
            assert!(turns.is_up(Duration::ZERO));
        }
    }

    #[test]
    fn predictions_that_begin_while_a_training_waits_use_up_their_time() {
        let mut turns = Turns::default();
        turns.begins(false);
        assert!(turns.aside.is_none());
        turns.training_waits = true;
        turns.begins(false);
        assert!(turns.aside.is_some() && !turns.lingers());
        turns.ended(false);
        assert!(turns.lingers());
        turns.begins(true);
        assert!(turns.aside.is_none() && !turns.lingers());
    }
}
