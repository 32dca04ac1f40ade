//! A transport that imitates a slower network on one machine.

use core::num::NonZeroU64;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::thread::set_current_timer_slack;

use crate::{NetError, Party, Peers, Transport};

/// A transport with the latency and bandwidth of a slower network.
///
/// For measurements with all parties on one machine, wrapped around each of the three ends. The sender stamps
/// every message with the time at which a link of the given bandwidth and latency would have delivered it,
/// and the receiver sleeps until then. The two directions of a link and the two links of a party do not share
/// their bandwidth.
#[derive(Debug)]
pub struct Throttled<T> {
    inner: T,
    latency: Duration,
    bytes_per_second: f64,
    /// When the link to each peer has sent everything so far.
    link_free: Arc<Mutex<Peers<Duration>>>,
    outgoing: Peers<Vec<u8>>,
    incoming: Peers<Vec<u8>>,
}

impl<T: Transport> Throttled<T> {
    /// Wraps `inner` with a one-way `latency` and a bandwidth for each link and direction.
    ///
    /// A bandwidth that is infinite or not positive is no limit.
    pub fn new(inner: T, latency: Duration, bandwidth_bits_per_second: f64) -> Self {
        Self {
            inner,
            latency,
            bytes_per_second: bandwidth_bits_per_second / 8.0,
            link_free: Arc::default(),
            outgoing: Peers::default(),
            incoming: Peers::default(),
        }
    }

    /// As [`new`](Self::new), around several lanes of one party, which share their links.
    pub fn lanes(
        lanes: impl IntoIterator<Item = T>,
        latency: Duration,
        bandwidth_bits_per_second: f64,
    ) -> Vec<Self> {
        let link_free = Arc::default();
        let throttle = |inner| Self {
            link_free: Arc::clone(&link_free),
            ..Self::new(inner, latency, bandwidth_bits_per_second)
        };
        lanes.into_iter().map(throttle).collect()
    }

    /// Makes packets of two messages that are sent now.
    fn stamp(&mut self, send: Peers<&[u8]>) {
        let now = now();
        let busy = Peers { next: self.duration(send.next.len()), prev: self.duration(send.prev.len()) };
        let mut link_free = self.link_free.lock().unwrap_or_else(PoisonError::into_inner);
        stamp(&mut self.outgoing.next, send.next, &mut link_free.next, now, busy.next, self.latency);
        stamp(&mut self.outgoing.prev, send.prev, &mut link_free.prev, now, busy.prev, self.latency);
    }

    /// How long a link is busy with `bytes`.
    fn duration(&self, bytes: usize) -> Duration {
        if self.bytes_per_second > 0.0 {
            Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        }
    }
}

impl<T: Transport> Transport for Throttled<T> {
    fn party(&self) -> Party {
        self.inner.party()
    }

    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError> {
        self.stamp(send);
        make_room(&mut self.incoming.next, receive.next.len());
        make_room(&mut self.incoming.prev, receive.prev.len());
        self.inner.exchange(
            Peers { next: &self.outgoing.next, prev: &self.outgoing.prev },
            Peers { next: &mut self.incoming.next, prev: &mut self.incoming.prev },
        )?;
        let delivery =
            unpack(&self.incoming.next, receive.next).max(unpack(&self.incoming.prev, receive.prev));
        wait_until(delivery);
        Ok(())
    }

    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        self.stamp(send);
        self.inner.post(Peers { next: &self.outgoing.next, prev: &self.outgoing.prev })
    }

    fn flush(&mut self) -> Result<(), NetError> {
        self.inner.flush()
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.inner.set_deadline(deadline);
    }

    fn encryption(&self) -> Duration {
        self.inner.encryption()
    }
}

/// Length in bytes of the delivery time in front of a message.
const STAMP: usize = 8;

/// Puts the delivery time and `message` into `packet`; an empty message stays empty.
fn stamp(
    packet: &mut Vec<u8>,
    message: &[u8],
    link_free: &mut Duration,
    now: Duration,
    busy: Duration,
    latency: Duration,
) {
    packet.clear();
    if message.is_empty() {
        return;
    }
    *link_free = now.max(*link_free).saturating_add(busy);
    let delivery = link_free.saturating_add(latency);
    packet.extend_from_slice(&u64::try_from(delivery.as_nanos()).unwrap_or(u64::MAX).to_le_bytes());
    packet.extend_from_slice(message);
}

/// Gives `packet` the length of a stamped message of `length` bytes.
fn make_room(packet: &mut Vec<u8>, length: usize) {
    packet.resize(if length == 0 { 0 } else { STAMP + length }, 0);
}

/// Copies the message in `packet` to `buffer` and returns its delivery time.
fn unpack(packet: &[u8], buffer: &mut [u8]) -> Duration {
    let Some((delivery, message)) = packet.split_first_chunk::<STAMP>() else {
        return Duration::ZERO;
    };
    buffer.copy_from_slice(message);
    Duration::from_nanos(u64::from_le_bytes(*delivery))
}

/// Sleeps until a time, without the 50 microseconds that the system allows itself otherwise.
fn wait_until(time: Duration) {
    // A system that does not know this is less exact.
    set_current_timer_slack(Some(NonZeroU64::MIN)).ok();
    thread::sleep(time.saturating_sub(now()));
}

/// Time since 1970, which all processes of one machine agree on.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
