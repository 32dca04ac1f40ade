//! Three parties in three threads of one process.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::frame::Header;
use crate::transport::{DEFAULT_DEADLINE, Transport};
use crate::{NetError, Party, Peers};

/// The ends of three parties that are connected with each other, in the order of the parties.
pub fn mesh() -> [MemoryTransport; 3] {
    // to_next[i] carries messages from party i to the party after it, to_prev[i] to the party before it.
    let to_next: [Arc<Channel>; 3] = Default::default();
    let to_prev: [Arc<Channel>; 3] = Default::default();
    Party::ALL.map(|party| {
        let (next, prev) = (party.next().index(), party.prev().index());
        MemoryTransport {
            party,
            deadline: DEFAULT_DEADLINE,
            links: Peers {
                next: Link::new(party.next(), &to_next[party.index()], &to_prev[next]),
                prev: Link::new(party.prev(), &to_prev[party.index()], &to_next[prev]),
            },
        }
    })
}

/// One end of a [`mesh`].
#[derive(Debug)]
pub struct MemoryTransport {
    party: Party,
    deadline: Duration,
    links: Peers<Link>,
}

impl Transport for MemoryTransport {
    fn party(&self) -> Party {
        self.party
    }

    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError> {
        for (link, message) in [(&mut self.links.next, send.next), (&mut self.links.prev, send.prev)] {
            link.send(message, CAPACITY, self.deadline)?;
        }
        self.links.next.receive(receive.next, self.deadline)?;
        self.links.prev.receive(receive.prev, self.deadline)
    }

    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        self.links.next.send(send.next, usize::MAX, self.deadline)?;
        self.links.prev.send(send.prev, usize::MAX, self.deadline)
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }
}

/// The connection of one party with one peer.
#[derive(Debug)]
struct Link {
    peer: Party,
    outgoing: Arc<Channel>,
    incoming: Arc<Channel>,
    sent: u32,
    received: u32,
}

impl Link {
    fn new(peer: Party, outgoing: &Arc<Channel>, incoming: &Arc<Channel>) -> Self {
        Self { peer, outgoing: Arc::clone(outgoing), incoming: Arc::clone(incoming), sent: 0, received: 0 }
    }

    /// Waits until there are fewer messages on the way than `capacity`.
    fn send(&mut self, message: &[u8], capacity: usize, deadline: Duration) -> Result<(), NetError> {
        if message.is_empty() {
            return Ok(());
        }
        let header = Header::new(self.peer, message.len(), self.sent)?;
        self.sent = self.sent.wrapping_add(1);
        let mut state = self.outgoing.wait(self.peer, deadline, |state| state.queue.len() < capacity)?;
        let mut payload = state.spare.pop().unwrap_or_default();
        // The copy is made without the lock, so that the receiver can meanwhile take what is there.
        drop(state);
        payload.clear();
        payload.extend_from_slice(message);
        self.outgoing.lock().queue.push_back((header, payload));
        self.outgoing.changed.notify_one();
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Duration) -> Result<(), NetError> {
        if buffer.is_empty() {
            return Ok(());
        }
        let mut state = self.incoming.wait(self.peer, deadline, |state| !state.queue.is_empty())?;
        let Some((header, payload)) = state.queue.pop_front() else {
            return Err(NetError::Disconnected { peer: self.peer });
        };
        drop(state);
        header.check(self.peer, buffer.len(), self.received)?;
        self.received = self.received.wrapping_add(1);
        buffer.copy_from_slice(&payload);
        self.incoming.lock().spare.push(payload);
        self.incoming.changed.notify_one();
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for channel in [&self.outgoing, &self.incoming] {
            channel.lock().closed = true;
            channel.changed.notify_all();
        }
    }
}

/// Messages that may wait for their receiver, per pair of parties and direction, unless they are posted.
const CAPACITY: usize = 16;

/// A bounded queue from one party to another.
#[derive(Debug, Default)]
struct Channel {
    state: Mutex<ChannelState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ChannelState {
    queue: VecDeque<(Header, Vec<u8>)>,
    /// Buffers of received messages, for reuse.
    spare: Vec<Vec<u8>>,
    /// One of the two ends is gone.
    closed: bool,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, ChannelState> {
        // The state is consistent after every statement, so that a panic elsewhere does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the queue is `ready`; what was sent before the other end left can still be received.
    fn wait(
        &self,
        peer: Party,
        deadline: Duration,
        ready: impl Fn(&ChannelState) -> bool,
    ) -> Result<MutexGuard<'_, ChannelState>, NetError> {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            let receiving_leftovers = !state.queue.is_empty() && ready(&state);
            if state.closed && !receiving_leftovers {
                return Err(NetError::Disconnected { peer });
            }
            if ready(&state) {
                return Ok(state);
            }
            let waited = start.elapsed();
            let Some(rest) = deadline.checked_sub(waited).filter(|rest| !rest.is_zero()) else {
                return Err(NetError::Timeout { peer, waited });
            };
            state = self.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
