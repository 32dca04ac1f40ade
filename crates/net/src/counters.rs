//! What the messages of a session cost.

use core::ops::{AddAssign, Sub};
use std::collections::BTreeMap;

use crate::Peers;

/// The cost of a session so far, in total and for each phase.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Everything since the session began.
    pub total: Traffic,
    /// The same by the phase in which it occurred, with the time it took.
    pub by_phase: BTreeMap<&'static str, PhaseCost>,
}

/// The cost of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PhaseCost {
    /// Rounds, messages and bytes.
    pub traffic: Traffic,
    /// Wall time in the phase, in seconds.
    pub seconds: f64,
    /// The part of it spent in exchanges, that is in sending and waiting, in seconds.
    pub waiting: f64,
    /// The part of the exchanges spent encrypting and decrypting, in seconds; 0 where the transport does neither.
    pub encryption: f64,
    /// What the party computed.
    pub work: Work,
}

/// Local work that a party reports by amount, so that it can be compared with the speed of its kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Words drawn from the pseudo-random generator.
    pub random_words: u64,
    /// Multiply-adds of ring elements in matrix products.
    pub multiply_adds: u64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.random_words += other.random_words;
        self.multiply_adds += other.multiply_adds;
    }
}

/// Rounds, messages and payload bytes of one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Exchanges in which this party sent or received anything.
    pub rounds: u64,
    /// Messages sent.
    pub messages: Peers<u64>,
    /// Bytes sent.
    pub bytes_sent: Peers<u64>,
    /// Bytes received.
    pub bytes_received: Peers<u64>,
}

impl Traffic {
    /// That of two messages that are sent.
    pub(crate) fn sending(messages: Peers<&[u8]>) -> Self {
        let Peers { next, prev } = messages;
        Self {
            messages: Peers { next: u64::from(!next.is_empty()), prev: u64::from(!prev.is_empty()) },
            bytes_sent: Peers { next: next.len() as u64, prev: prev.len() as u64 },
            ..Self::default()
        }
    }

    /// Bytes sent to both peers together.
    pub fn sent(&self) -> u64 {
        self.bytes_sent.next + self.bytes_sent.prev
    }

    /// Bytes received from both peers together.
    pub fn received(&self) -> u64 {
        self.bytes_received.next + self.bytes_received.prev
    }

    /// What has come on top of an `earlier` state of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            rounds: self.rounds.saturating_sub(earlier.rounds),
            messages: subtract(self.messages, earlier.messages),
            bytes_sent: subtract(self.bytes_sent, earlier.bytes_sent),
            bytes_received: subtract(self.bytes_received, earlier.bytes_received),
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.messages = add(self.messages, other.messages);
        self.bytes_sent = add(self.bytes_sent, other.bytes_sent);
        self.bytes_received = add(self.bytes_received, other.bytes_received);
    }
}

impl Sub for Traffic {
    type Output = Self;

    /// The same as [`Traffic::since`].
    fn sub(self, earlier: Self) -> Self {
        self.since(&earlier)
    }
}

fn add(left: Peers<u64>, right: Peers<u64>) -> Peers<u64> {
    Peers { next: left.next + right.next, prev: left.prev + right.prev }
}

fn subtract(left: Peers<u64>, right: Peers<u64>) -> Peers<u64> {
    Peers { next: left.next.saturating_sub(right.next), prev: left.prev.saturating_sub(right.prev) }
}
