//! Whose turn it is: predictions are quick, and somebody waits for them, so that trainings let them go first.
//!
//! A training that is under way keeps a checkpoint and steps aside. So that it comes to an end however many predictions there are,
//! they have at most [`LONGEST`], and then it has at least as long as they had.

use core::time::Duration;
use std::time::Instant;

use crate::job::JobState;

/// Longest time that a training waits for predictions.
const LONGEST: Duration = Duration::from_secs(30);

/// Who had how much time.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Since when a training stands aside.
    aside: Option<Instant>,
    /// How long predictions had when it went on.
    had: Duration,
}

impl Turns {
    /// A training lets predictions go first.
    pub(super) fn step_aside(&mut self) {
        self.aside.get_or_insert_with(Instant::now);
    }

    /// A training goes on.
    pub(super) fn go_on(&mut self) {
        self.had = self.aside.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    /// Whether a training has to wait for predictions that are there.
    pub(super) fn are_predictions_first(&self) -> bool {
        self.aside.is_none_or(|since| since.elapsed() < LONGEST)
    }

    /// Whether a training that has worked for so long has had its turn.
    pub(super) fn is_up(&self, worked: Duration) -> bool {
        worked >= self.had
    }

    /// The place of a job in a row; the lowest is first.
    pub(super) fn rank(&self, state: JobState, is_training: bool) -> u8 {
        match (state, is_training) {
            (state, _) if state.is_over() => 0,
            (JobState::Queued, true) => 5,
            (JobState::Queued, false) => 3,
            (_, false) => 1,
            (_, true) => {
                if self.are_predictions_first() {
                    4
                } else {
                    2
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_go_first_and_trainings_come_to_an_end() {
        let mut turns = Turns::default();
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
        assert_eq!(order(&turns), kind);
        turns.step_aside();
        assert_eq!(order(&turns), kind);
        // They have had their time, and what is begun is finished.
        turns.aside = Instant::now().checked_sub(LONGEST);
        assert_eq!(
            order(&turns),
            ["done", "predictions", "training", "waiting predictions", "waiting training"]
        );
        turns.step_aside();
        assert!(!turns.are_predictions_first());
        turns.go_on();
        assert!(turns.are_predictions_first());
        assert!(turns.is_up(LONGEST * 2) && !turns.is_up(LONGEST / 2));
        turns.go_on();
        assert!(turns.is_up(Duration::ZERO));
    }
}
