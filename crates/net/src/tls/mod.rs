//! Three parties on one machine or three, over TLS 1.3.
//!
//! Every pair of parties has a connection for each lane, that is for each thread of a party that exchanges
//! messages; on it the lower-numbered party listens and the higher-numbered one calls, always at one
//! [address](Address): by TCP, or within one machine by a Unix socket, which is faster. All else is the same over both.
//! Both ends show a self-signed certificate, and each accepts exactly the certificate whose [`Fingerprint`] it has
//! pinned for the other: there is no certificate authority, and names and dates are not looked at. The key exchange is
//! the hybrid of X25519 and ML-KEM-768, so that recorded traffic stays closed to a later quantum computer.

mod address;
mod buffer;
mod connection;
mod failure;
mod hello;
mod identity;
mod loopback;
mod pinning;
mod records;
mod setup;
mod signing;
mod socket;
mod target;
#[cfg(test)]
mod tests;
mod transfer;
mod wait;

use core::fmt;
use core::num::NonZeroU8;
use core::time::Duration;
use std::time::Instant;

pub use address::{Address, AddressError};
#[cfg(fuzzing)]
pub use hello::fuzz as fuzz_hello;
pub use identity::{Fingerprint, Identity};
pub use pinning::{https_client, https_server, refused_fingerprint};
pub use signing::verify_signature;

use crate::tls::connection::Connection;
use crate::tls::records::RECORD;
use crate::tls::transfer::{Transfer, wait_for_any};
use crate::{NetError, Party, Peers, Transport};

/// How one party reaches the two others.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// This party.
    pub party: Party,
    /// Its certificate and private key.
    pub identity: Identity,
    /// Where the peers are, and how to know them.
    pub peers: Peers<PeerAddress>,
    /// Where this party waits for the peers of higher number, such as `0.0.0.0:7000` or `unix:/run/party0.socket`.
    ///
    /// Party 2 calls both others and does not listen.
    pub listen: Address,
    /// Number of transports, each with connections of its own; the same at all three.
    pub lanes: NonZeroU8,
    /// Hash of what the three have agreed to compute; a connection between parties of different jobs fails.
    pub job: [u8; 32],
    /// How long to wait until both peers are there.
    pub connect_timeout: Duration,
    /// Longest wait for a peer in one exchange.
    pub deadline: Duration,
}

/// Where a peer is, and how to know that it is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Where it listens; not used for peers that call this party.
    pub address: Address,
    /// Fingerprint of its certificate.
    pub fingerprint: Fingerprint,
}

/// A party's encrypted connections to its two peers.
///
/// The calling thread drives both connections at once: it never waits for one of them to take its message
/// while there is something to read on the other.
pub struct TlsTransport {
    party: Party,
    deadline: Duration,
    links: Peers<Link>,
    /// The culprit, once an exchange has failed: messages may be half sent or half received.
    failed: Option<Party>,
}

/// The connection with one peer.
struct Link {
    peer: Party,
    connection: Connection,
    sent: u32,
    received: u32,
    /// Place for a header with the start of its message.
    stage: Vec<u8>,
}

/// How long a party that lost one peer looks whether the other one was lost first: the ends of a killed process may
/// be closed one after the other.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl TlsTransport {
    /// Connects to both peers, waiting until they are there: as many transports as there are lanes, each with the same
    /// lane of the peers.
    ///
    /// # Errors
    ///
    /// [`NetError::Listen`] if the own address cannot be used, [`NetError::Identity`] if the own certificate
    /// or the pinned ones cannot; [`NetError::Connect`] or [`NetError::NoCall`] if a peer is not there in
    /// time; [`NetError::WrongKey`] or [`NetError::Handshake`] if it is there, but is not the right one or
    /// wants something else. Strangers who call are logged and otherwise ignored.
    pub fn connect(config: &TlsConfig) -> Result<Vec<Self>, NetError> {
        let lanes = setup::connect(config)?.into_iter();
        Ok(lanes.map(|connections| Self::over(config.party, config.deadline, connections)).collect())
    }

    /// A transport over two connections whose handshakes are complete.
    fn over(party: Party, deadline: Duration, connections: Peers<Connection>) -> Self {
        let link = |peer, connection| Link { peer, connection, sent: 0, received: 0, stage: Vec::new() };
        let links =
            Peers { next: link(party.next(), connections.next), prev: link(party.prev(), connections.prev) };
        Self { party, deadline, links, failed: None }
    }

    /// One round; `flush` says that it also waits until all that was posted before has left.
    fn try_exchange(
        &mut self,
        send: Peers<&[u8]>,
        receive: Peers<&mut [u8]>,
        flush: bool,
    ) -> Result<(), NetError> {
        let start = Instant::now();
        let Peers { next, prev } = receive;
        let mut transfers = [
            Transfer::new(&mut self.links.next, send.next, next, start)?,
            Transfer::new(&mut self.links.prev, send.prev, prev, start)?,
        ];
        loop {
            let mut moved = 0;
            // Both peers can begin with what they get while this party reads. And when it has sent a short
            // message, the one it waits for is often there, so that it need not wait at all.
            for transfer in &mut transfers {
                moved += transfer.advance_send()?;
            }
            for transfer in &mut transfers {
                moved += transfer.advance_receive()?;
            }
            if transfers.iter().all(if flush { Transfer::is_idle } else { Transfer::is_done }) {
                return Ok(());
            }
            if moved == 0 {
                wait_for_any(&mut transfers, self.deadline)?;
            } else if moved > RECORD as u64 {
                // That took a while, in which something may have arrived on the other link.
                transfers.iter_mut().for_each(Transfer::look_again);
            }
        }
    }

    fn try_post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        let now = Instant::now();
        for (link, message) in [(&mut self.links.next, send.next), (&mut self.links.prev, send.prev)] {
            Transfer::new(link, message, &mut [], now)?.post()?;
        }
        Ok(())
    }

    /// Keeps in mind that a call has failed, and says why.
    fn checked(&mut self, result: Result<(), NetError>) -> Result<(), NetError> {
        let result = result.map_err(|error| self.explained(error));
        self.failed = result.as_ref().err().map(|error| error.peer().unwrap_or(self.party.next()));
        result
    }

    /// The same error, about the party that was lost first.
    ///
    /// A party that ends because it lost another one says goodbye to the third; one that was killed does not.
    fn explained(&mut self, error: NetError) -> NetError {
        let NetError::Disconnected { peer } = error else { return error };
        let Peers { next, prev } = &mut self.links;
        let (link, third) = if next.peer == peer { (next, prev) } else { (prev, next) };
        if !third.connection.is_gone(Instant::now() + LAST_WORDS) || third.connection.said_goodbye() {
            return error;
        }
        if link.connection.said_goodbye() {
            return NetError::Disconnected { peer: third.peer };
        }
        NetError::BothDisconnected { peers: [peer, third.peer] }
    }
}

impl Transport for TlsTransport {
    fn party(&self) -> Party {
        self.party
    }

    fn exchange(&mut self, send: Peers<&[u8]>, receive: Peers<&mut [u8]>) -> Result<(), NetError> {
        if let Some(peer) = self.failed {
            return Err(NetError::Disconnected { peer });
        }
        let result = self.try_exchange(send, receive, false);
        self.checked(result)
    }

    fn post(&mut self, send: Peers<&[u8]>) -> Result<(), NetError> {
        if let Some(peer) = self.failed {
            return Err(NetError::Disconnected { peer });
        }
        let result = self.try_post(send);
        self.checked(result)
    }

    fn flush(&mut self) -> Result<(), NetError> {
        if let Some(peer) = self.failed {
            return Err(NetError::Disconnected { peer });
        }
        let result = self.try_exchange(Peers::default(), Peers::default(), true);
        self.checked(result)
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    fn encryption(&self) -> Duration {
        self.links.next.connection.encryption() + self.links.prev.connection.encryption()
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport")
            .field("party", &self.party)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
