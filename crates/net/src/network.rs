//! A session's end of the network: words instead of bytes, and counters.

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use crate::{Counters, NetError, Party, Peers, Traffic, Transport, Work};

// Words travel as they lie in memory, so that sending a tensor needs no conversion.
const _: () = assert!(cfg!(target_endian = "little"), "messages between the parties are little-endian");

/// A transport that sends words and counts what it does.
pub struct Network {
    transport: Box<dyn Transport>,
    counters: Counters,
    phase: &'static str,
    /// Until when the time of the current phase is in the counters.
    counted_until: Instant,
    /// The transport's time of encryption that is in the counters, or was spent before.
    encryption: Duration,
}

impl Network {
    /// The phase of a new network.
    pub const FIRST_PHASE: &'static str = "start";

    /// A network over `transport`, with all counters at zero.
    pub fn new(transport: Box<dyn Transport>) -> Self {
        Self {
            encryption: transport.encryption(),
            transport,
            counters: Counters::default(),
            phase: Self::FIRST_PHASE,
            counted_until: Instant::now(),
        }
    }

    /// One round: sends both messages and fills both buffers; an empty slice means no message that way.
    ///
    /// # Errors
    ///
    /// Those of [`Transport::exchange`]; such a round is not counted.
    pub fn exchange(&mut self, send: Peers<&[u64]>, receive: Peers<&mut [u64]>) -> Result<(), NetError> {
        self.transfer(send, receive, 1)
    }

    fn transfer(
        &mut self,
        send: Peers<&[u64]>,
        receive: Peers<&mut [u64]>,
        rounds: u64,
    ) -> Result<(), NetError> {
        let send = Peers { next: bytes(send.next), prev: bytes(send.prev) };
        let Peers { next, prev } = receive;
        let receive = Peers { next: bytes_mut(next), prev: bytes_mut(prev) };
        let traffic = Traffic {
            rounds,
            bytes_received: Peers { next: receive.next.len() as u64, prev: receive.prev.len() as u64 },
            ..Traffic::sending(send)
        };
        if traffic.sent() + traffic.received() == 0 {
            return Ok(());
        }
        let start = Instant::now();
        self.transport.exchange(send, receive)?;
        self.book(traffic, start);
        Ok(())
    }

    /// Counts a call of the transport that began then.
    fn book(&mut self, traffic: Traffic, start: Instant) {
        self.counters.total += traffic;
        self.count_time();
        let cost = self.counters.by_phase.entry(self.phase).or_default();
        cost.traffic += traffic;
        cost.waiting += start.elapsed().as_secs_f64();
        let encryption = self.transport.encryption();
        cost.encryption += encryption.saturating_sub(self.encryption).as_secs_f64();
        self.encryption = encryption;
    }

    /// Sends both messages without waiting: the first half of a round, whose other half is an [`exchange`](Self::exchange)
    /// without messages, or [`collect`](Self::collect).
    ///
    /// # Errors
    ///
    /// Those of [`Transport::post`].
    pub fn post(&mut self, send: Peers<&[u64]>) -> Result<(), NetError> {
        let send = Peers { next: bytes(send.next), prev: bytes(send.prev) };
        let traffic = Traffic::sending(send);
        if traffic.sent() == 0 {
            return Ok(());
        }
        let start = Instant::now();
        self.transport.post(send)?;
        self.book(traffic, start);
        Ok(())
    }

    /// Waits until all posted messages are on their way.
    ///
    /// # Errors
    ///
    /// Those of [`Transport::flush`].
    pub fn flush(&mut self) -> Result<(), NetError> {
        let start = Instant::now();
        self.transport.flush()?;
        self.book(Traffic::default(), start);
        Ok(())
    }

    /// Fills both buffers with further messages of a round that was counted already.
    ///
    /// # Errors
    ///
    /// As for [`exchange`](Self::exchange).
    pub fn collect(&mut self, receive: Peers<&mut [u64]>) -> Result<(), NetError> {
        self.transfer(Peers { next: &[], prev: &[] }, receive, 0)
    }

    /// Books local work under the current phase.
    pub fn count_work(&mut self, work: Work) {
        self.counters.by_phase.entry(self.phase).or_default().work += work;
    }

    /// Switches to another phase, to which all costs from now on are counted, and returns the former one.
    pub fn enter(&mut self, phase: &'static str) -> &'static str {
        self.count_time();
        core::mem::replace(&mut self.phase, phase)
    }

    /// Longest wait for a peer in one exchange.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.transport.set_deadline(deadline);
    }

    /// The party at this end.
    pub fn party(&self) -> Party {
        self.transport.party()
    }

    /// The current phase.
    pub fn phase(&self) -> &'static str {
        self.phase
    }

    /// The costs so far; the time of the current phase up to the last exchange or switch of phase.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adds the time since this was last done to the current phase.
    fn count_time(&mut self) {
        let now = Instant::now();
        let seconds = (now - self.counted_until).as_secs_f64();
        self.counters.by_phase.entry(self.phase).or_default().seconds += seconds;
        self.counted_until = now;
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("party", &self.party())
            .field("phase", &self.phase)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

fn bytes(words: &[u64]) -> &[u8] {
    bytemuck::must_cast_slice(words)
}

fn bytes_mut(words: &mut [u64]) -> &mut [u8] {
    bytemuck::must_cast_slice_mut(words)
}
