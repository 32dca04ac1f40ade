//! How far the work is.

use shamisen_nn::plan::Plan;
use shamisen_party::event::Step;

/// Who is told how far the work is. What is told is public.
pub trait Progress {
    /// A table is being read for its statistics; nobody knows yet how long it is.
    fn reading(&mut self) {}

    /// So many of all rows are shared.
    fn sharing(&mut self, rows: usize, all: usize) {
        let _ = (rows, all);
    }

    /// The parties of a training on so many rows are started.
    fn training(&mut self, plan: &Plan, rows: usize) {
        let _ = (plan, rows);
    }

    /// A party is so far.
    fn step(&mut self, party: usize, step: Step) {
        let _ = (party, step);
    }

    /// What was told of last is done.
    fn done(&mut self) {}
}

/// Nobody is told.
impl Progress for () {}
