//! Several sessions of one party, so that it can use several cores, and compute on one piece of a vector while another
//! piece waits for the network.

use std::ops::Range;
use std::{iter, panic, thread};

use shamisen_net::{Counters, Party, PhaseCost, Traffic, Transport};

use crate::error::Result;
use crate::session::{Session, SessionKeys};

/// The sessions of one party, one for each lane.
///
/// A lane is a session like any other: it has connections, keys, step numbers and counters of its own, and works with the
/// same lane of the peers. The main lane carries out what is not cut; large work on single elements is cut in contiguous
/// pieces, which run the same protocols at the same time, each on its lane and in its thread. One more lane may be kept aside,
/// for work that nobody waits for.
pub struct Lanes {
    main: Session,
    others: Vec<Session>,
    /// The lane that is kept aside, unless it is lent.
    aside: Option<Session>,
    /// What it had cost when it was lent.
    lent: Option<Counters>,
}

impl Lanes {
    /// Opens a session over each transport; the first one is the main lane's. All three parties have as many.
    ///
    /// # Errors
    ///
    /// As [`Session::open`].
    ///
    /// # Panics
    ///
    /// When there is no transport, which is a mistake of the caller.
    pub fn open(transports: Vec<Box<dyn Transport>>) -> Result<Self> {
        let mut sessions = transports.into_iter().map(Session::open);
        let main = sessions.next().expect("a party has at least one lane")?;
        Ok(Self::new(main, sessions.collect::<Result<_>>()?))
    }

    /// Lanes over open sessions of one party.
    pub fn new(main: Session, others: Vec<Session>) -> Self {
        Self { main, others, aside: None, lent: None }
    }

    /// Keeps the last lane aside from now on, if there are several.
    pub fn keep_aside(&mut self) {
        if self.aside.is_none() && self.lent.is_none() {
            self.aside = self.others.pop();
        }
    }

    /// Lends the lane that is kept aside, if there is one and it is here: whoever has it works on it in a thread of its own, at
    /// all three parties alike, and brings it [back](Self::take_back).
    pub(crate) fn lend_aside(&mut self) -> Option<Session> {
        let session = self.aside.take()?;
        self.lent = Some(session.counters().clone());
        Some(session)
    }

    /// Takes the lane back that was lent.
    pub(crate) fn take_back(&mut self, session: Session) {
        self.aside = Some(session);
        self.lent = None;
    }

    /// Gives every lane new keys that come from its old ones, which are gone then, and returns them in the order of the lanes, for a
    /// checkpoint. Local; all three parties do it at the same point.
    pub fn renew_keys(&mut self) -> Vec<SessionKeys> {
        debug_assert!(self.lent.is_none(), "a lane that is lent keeps its keys");
        self.all().map(Session::renew_keys).collect()
    }

    /// Gives every lane the keys of a checkpoint, in the order of [`renew_keys`](Self::renew_keys).
    ///
    /// Only what these keys masked after the checkpoint may follow, word for word: two different vectors under one mask would tell
    /// their difference.
    ///
    /// # Panics
    ///
    /// When there are not as many keys as lanes, which is a mistake of the caller.
    pub fn danger_set_keys(&mut self, keys: &[SessionKeys]) {
        assert_eq!(self.all().count(), keys.len(), "each lane has its keys");
        self.all().zip(keys).for_each(|(session, keys)| session.set_keys(keys));
    }

    /// Number of all lanes that are not lent, with the one that is kept aside.
    pub fn total(&self) -> usize {
        self.count() + usize::from(self.aside.is_some())
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Session> {
        iter::once(&mut self.main).chain(&mut self.others).chain(&mut self.aside)
    }

    /// The main lane.
    pub fn main(&mut self) -> &mut Session {
        &mut self.main
    }

    /// Carries out `work` on each piece, the first on the main lane and in the calling thread, each other one on another lane
    /// and in a thread of its own. Returns the results in the order of the pieces when all are done.
    ///
    /// All three parties have as many pieces, of the same lengths.
    ///
    /// # Errors
    ///
    /// The first one in the order of the pieces. The other pieces have ended then: with their work, or since they lost a
    /// peer, too.
    ///
    /// # Panics
    ///
    /// When there are more pieces than lanes, which is a mistake of the caller, or when `work` panics.
    pub fn each<P: Send, T: Send, E: Send>(
        &mut self,
        pieces: Vec<P>,
        work: impl Fn(P, &mut Session) -> core::result::Result<T, E> + Sync,
    ) -> core::result::Result<Vec<T>, E> {
        assert!(pieces.len() <= self.count(), "each piece has a lane");
        let work = &work;
        let mut pieces = pieces.into_iter();
        let Some(first) = pieces.next() else { return Ok(Vec::new()) };
        thread::scope(|scope| {
            let others: Vec<_> = pieces
                .zip(&mut self.others)
                .map(|(piece, session)| scope.spawn(move || work(piece, session)))
                .collect();
            let first = work(first, &mut self.main);
            let others = others.into_iter().map(thread::ScopedJoinHandle::join);
            let others: Vec<_> =
                others.map(|end| end.unwrap_or_else(|panic| panic::resume_unwind(panic))).collect();
            iter::once(first).chain(others).collect()
        })
    }

    /// Number of lanes that work together, at least 1.
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    /// Which party this is.
    pub fn party(&self) -> Party {
        self.main.party()
    }

    /// What all lanes have cost together.
    ///
    /// Bytes, messages and work are those of all lanes; rounds and seconds (also those of waiting and of encryption) are
    /// those of the main lane, since the others run at the same time. Of a lane that is lent it is what it had cost before.
    pub fn counters(&self) -> Counters {
        let mut sum = self.main.counters().clone();
        let others = self.others.iter().chain(&self.aside).map(Session::counters);
        for other in others.chain(&self.lent) {
            sum.total += Traffic { rounds: 0, ..other.total };
            for (phase, cost) in &other.by_phase {
                let sum: &mut PhaseCost = sum.by_phase.entry(phase).or_default();
                sum.traffic += Traffic { rounds: 0, ..cost.traffic };
                sum.work += cost.work;
            }
        }
        sum
    }
}

/// Elements of a piece that are worth a lane of their own.
const LEAST: usize = 4096;

/// Cuts `0..len` into contiguous pieces of about the same size for so many lanes, at multiples of 64 elements.
///
/// Each has at least 4096 elements: of a shorter vector there are fewer pieces, down to one.
pub fn pieces(len: usize, lanes: usize) -> Vec<Range<usize>> {
    let count = (len / LEAST).clamp(1, lanes.max(1));
    let words = len.div_ceil(64);
    let cut = |piece: usize| (words * piece / count * 64).min(len);
    (0..count).map(|piece| cut(piece)..cut(piece + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_contiguous_and_large_enough() {
        for len in [0, 1, 4095, 8191, 8192, 12_287, 12_345, 118_282] {
            for lanes in 1..6 {
                let pieces = pieces(len, lanes);
                assert!(pieces.len() <= lanes && (pieces.len() == 1 || pieces.len() * LEAST <= len));
                assert_eq!((pieces[0].start, pieces[pieces.len() - 1].end), (0, len));
                for pair in pieces.windows(2) {
                    assert!(pair[0].end == pair[1].start && pair[0].end.is_multiple_of(64));
                }
                let sizes = || pieces.iter().map(Range::len);
                assert!(sizes().max() <= sizes().min().map(|least| least + 128), "{pieces:?}");
            }
        }
    }
}
