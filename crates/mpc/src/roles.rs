//! Protocols in which the three parties do different things: every vector is cut in three parts, and in each part
//! another party has the first role, so that work and traffic are the same for all.

use std::ops::Range;

use shamisen_net::{Party, Peers};
use shamisen_ring::words::Words;

use crate::error::Result;
use crate::session::Session;

/// A party's place in an asymmetric protocol.
///
/// With components and keys counted from the first role on, `First` holds components 0 and 1, `Second` holds 1 and 2,
/// `Third` holds 2 and 0; likewise for the keys. The peer after `First` is `Second`, the one before it is `Third`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds components 0 (mine) and 1 (next).
    First,
    /// Holds components 1 (mine) and 2 (next).
    Second,
    /// Holds components 2 (mine) and 0 (next).
    Third,
}

impl Role {
    fn next(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::Third,
            Self::Third => Self::First,
        }
    }

    fn prev(self) -> Self {
        self.next().next()
    }
}

/// One of the three parts of a vector, with this party's role in it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) role: Role,
    /// The elements of the part; it begins at a multiple of 64, so that bit planes can be cut alike.
    pub(crate) elements: Range<usize>,
}

impl Part {
    /// The words of a bit plane that hold the part's elements.
    pub(crate) fn words(&self) -> Range<usize> {
        self.elements.start / 64..self.elements.end.div_ceil(64)
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }
}

/// Where a vector of `len` elements is cut in three parts of about the same size: their starts, and the end.
pub(crate) fn cuts(len: usize) -> [usize; 4] {
    let words = len.div_ceil(64);
    std::array::from_fn(|third| (words * third / 3 * 64).min(len))
}

/// Cuts a vector of `len` elements into three parts with rotating roles.
pub(crate) fn parts(len: usize, party: Party) -> [Part; 3] {
    parts_at(cuts(len), party)
}

/// The three parts with these starts and this end.
pub(crate) fn parts_at(cuts: [usize; 4], party: Party) -> [Part; 3] {
    std::array::from_fn(|third| Part {
        role: match (party.index() + 3 - third) % 3 {
            0 => Role::First,
            1 => Role::Second,
            _ => Role::Third,
        },
        elements: cuts[third]..cuts[third + 1],
    })
}

/// Elements of a piece, at most.
const PIECE: usize = 1 << 15;

/// Cuts a vector in pieces: a stretch of each of its parts.
///
/// The pieces go through a protocol one behind the other, so that a party computes on one while it would wait for another; and
/// what it works on stays in the cache.
pub(crate) fn pieces(parts: &[Part; 3]) -> impl Iterator<Item = [Part; 3]> + use<> {
    let count = parts.iter().map(Part::len).sum::<usize>().div_ceil(PIECE).max(1);
    let parts = parts.clone();
    (0..count).map(move |piece| {
        parts.each_ref().map(|Part { role, elements }| {
            let words = elements.len().div_ceil(64);
            let cut = |piece: usize| (elements.start + words * piece / count * 64).min(elements.end);
            Part { role: *role, elements: cut(piece)..cut(piece + 1) }
        })
    })
}

/// What two protocols send in the same round.
pub(crate) fn together(first: Peers<usize>, second: Peers<usize>) -> Peers<usize> {
    Peers { next: first.next + second.next, prev: first.prev + second.prev }
}

/// Elements that are worked on at a time, so that they stay in the first-level cache between two passes.
pub(crate) const CHUNK: usize = 1024;

/// Cuts `0..len` into pieces of whole words of bit planes that fit into the cache.
pub(crate) fn chunks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(CHUNK).map(move |start| start..(start + CHUNK).min(len))
}

/// A round of an asymmetric protocol: the messages of all three parts, joined into one per peer.
pub(crate) struct Round {
    outgoing: Peers<Words>,
    written: Peers<usize>,
    expect: Peers<usize>,
}

/// What came in during a [`Round`], and what went out, read in the order of the parts.
pub(crate) struct Incoming {
    words: Peers<Words>,
    read: Peers<usize>,
    sent: Peers<Words>,
    sent_read: Peers<usize>,
}

impl Round {
    /// A round in which a party with a role sends, for a part, `sends(role, part)` words to its next and previous party.
    /// What this party sends and receives follows from it.
    pub(crate) fn new(parts: &[Part; 3], sends: impl Fn(Role, &Part) -> Peers<usize>) -> Self {
        let total = |of: &dyn Fn(&Part) -> usize| parts.iter().map(of).sum::<usize>();
        Self {
            outgoing: Peers {
                next: Words::scratch(total(&|part| sends(part.role, part).next)),
                prev: Words::scratch(total(&|part| sends(part.role, part).prev)),
            },
            written: Peers { next: 0, prev: 0 },
            expect: Peers {
                next: total(&|part| sends(part.role.next(), part).prev),
                prev: total(&|part| sends(part.role.prev(), part).next),
            },
        }
    }

    /// The next `len` words of the message for the next party, to be written.
    pub(crate) fn write_next(&mut self, len: usize) -> &mut [u64] {
        self.written.next += len;
        &mut self.outgoing.next[self.written.next - len..self.written.next]
    }

    /// The next `len` words of the message for the previous party, to be written.
    pub(crate) fn write_prev(&mut self, len: usize) -> &mut [u64] {
        self.written.prev += len;
        &mut self.outgoing.prev[self.written.prev - len..self.written.prev]
    }

    /// Sends and receives.
    pub(crate) fn exchange(self, session: &mut Session) -> Result<Incoming> {
        let Peers { next, prev } = &self.outgoing;
        assert!(
            self.written.next == next.len() && self.written.prev == prev.len(),
            "every word of a message is written before it is sent"
        );
        let words = session.exchange(Peers { next, prev }, self.expect)?;
        Ok(Incoming::new(words, self.outgoing))
    }

    /// Sends without waiting.
    pub(crate) fn post(self, session: &mut Session) -> Result<Posted> {
        let Peers { next, prev } = &self.outgoing;
        assert!(
            self.written.next == next.len() && self.written.prev == prev.len(),
            "every word of a message is written before it is sent"
        );
        session.post(Peers { next, prev })?;
        Ok(Posted { outgoing: self.outgoing, expect: self.expect })
    }
}

/// A [`Round`] of which all is sent, and nothing received.
pub(crate) struct Posted {
    outgoing: Peers<Words>,
    expect: Peers<usize>,
}

impl Posted {
    /// Receives. What is received in several pieces is one round: it counts with the first.
    pub(crate) fn collect(self, new_round: bool, session: &mut Session) -> Result<Incoming> {
        Ok(Incoming::new(session.collect(self.expect, new_round)?, self.outgoing))
    }
}

impl Incoming {
    fn new(words: Peers<Words>, sent: Peers<Words>) -> Self {
        Self { words, read: Peers { next: 0, prev: 0 }, sent, sent_read: Peers { next: 0, prev: 0 } }
    }

    /// The next `len` words that the next party sent.
    pub(crate) fn take_next(&mut self, len: usize) -> &[u64] {
        self.read.next += len;
        &self.words.next[self.read.next - len..self.read.next]
    }

    /// The rest of the next party's message, which has `len` words.
    pub(crate) fn take_rest_next(&mut self, len: usize) -> Words {
        assert_eq!(self.words.next.len(), self.read.next + len, "the rest of a message");
        if self.read.next == 0 {
            return std::mem::take(&mut self.words.next);
        }
        Words::copy(self.take_next(len))
    }

    /// The next `len` words that the previous party sent.
    pub(crate) fn take_prev(&mut self, len: usize) -> &[u64] {
        self.read.prev += len;
        &self.words.prev[self.read.prev - len..self.read.prev]
    }

    /// The next words that the next and the previous party sent.
    pub(crate) fn take_of_both(&mut self, next: usize, prev: usize) -> (&[u64], &[u64]) {
        self.read.next += next;
        self.read.prev += prev;
        (
            &self.words.next[self.read.next - next..self.read.next],
            &self.words.prev[self.read.prev - prev..self.read.prev],
        )
    }

    /// The next `len` words that the next party sent, and the next `len` that this party sent it.
    pub(crate) fn take_both_next(&mut self, len: usize) -> (&[u64], &[u64]) {
        self.read.next += len;
        self.sent_read.next += len;
        (
            &self.words.next[self.read.next - len..self.read.next],
            &self.sent.next[self.sent_read.next - len..self.sent_read.next],
        )
    }

    /// The next `len` words that the previous party sent, and the next `len` that this party sent it.
    pub(crate) fn take_both_prev(&mut self, len: usize) -> (&[u64], &[u64]) {
        self.read.prev += len;
        self.sent_read.prev += len;
        (
            &self.words.prev[self.read.prev - len..self.read.prev],
            &self.sent.prev[self.sent_read.prev - len..self.sent_read.prev],
        )
    }
}
