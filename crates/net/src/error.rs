//! What can go wrong between the parties.

use core::time::Duration;
use std::io;

use crate::Party;
use crate::tls::Fingerprint;

/// An error between this party and its peers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A peer neither sent nor took a byte for the length of the deadline.
    #[error(
        "{peer} was silent for {waited:.1?}: check that it still runs and that the network between the parties works"
    )]
    Timeout {
        /// The silent party.
        peer: Party,
        /// How long this party waited.
        waited: Duration,
    },
    /// A peer closed the connection, or its process ended.
    #[error("{peer} closed the connection: look at the messages of {peer} for the reason")]
    Disconnected {
        /// The party that is gone.
        peer: Party,
    },
    /// Both peers are gone, and it cannot be told which one was first.
    #[error("{} and {} closed their connections: look at the messages of both for the reason", peers[0], peers[1])]
    BothDisconnected {
        /// The parties that are gone.
        peers: [Party; 2],
    },
    /// A peer sent a message of another length than the one this party expects.
    #[error(
        "{peer} sent {got} bytes where {expected} were expected: check that both run the same job and version"
    )]
    UnexpectedLength {
        /// The sender.
        peer: Party,
        /// Length in bytes that this party expected.
        expected: usize,
        /// Length in bytes that the sender announced.
        got: usize,
    },
    /// A peer's message is not the next one in order.
    #[error(
        "{peer} sent message number {got} where number {expected} was expected: check that both run the same job and version"
    )]
    OutOfStep {
        /// The sender.
        peer: Party,
        /// Number of the message that this party expected.
        expected: u32,
        /// Number of the message that came.
        got: u32,
    },
    /// A message is longer than a frame can carry.
    #[error("a message of {length} bytes to {peer} is too long: the longest has {} bytes", u32::MAX)]
    TooLong {
        /// The addressee.
        peer: Party,
        /// Length in bytes.
        length: usize,
    },
    /// A connection was made, but the two parties could not agree to work together.
    #[error("the handshake with {peer} failed: {reason}")]
    Handshake {
        /// The party at the other end.
        peer: Party,
        /// What the two disagree about, and what to do.
        reason: String,
    },
    /// Whoever answered in the place of a peer showed another key than the pinned one.
    #[error(
        "{peer} at {address} showed a key with fingerprint {shown}, pinned is {pinned}: check the fingerprint of {peer} in the configuration and ask {peer} for its own"
    )]
    WrongKey {
        /// The party that was expected.
        peer: Party,
        /// Network address of the other end.
        address: String,
        /// Fingerprint of the certificate it showed.
        shown: Fingerprint,
        /// Fingerprint that the configuration has for that party.
        pinned: Fingerprint,
    },
    /// This party cannot listen on its own address.
    #[error("cannot listen on {address}: {}", listen_advice(address, source))]
    Listen {
        /// The address from the configuration.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// This party could not reach a peer.
    #[error("could not connect to {peer} at {address} within {waited:.1?}: {source}")]
    Connect {
        /// The party that was called.
        peer: Party,
        /// Its address from the configuration.
        address: String,
        /// How long this party tried.
        waited: Duration,
        /// Why the last attempt failed.
        source: io::Error,
    },
    /// A peer that was to call this party did not.
    #[error(
        "{peer} did not connect to {address} within {waited:.1?}: check that it runs and that it can reach this address"
    )]
    NoCall {
        /// The party that was expected.
        peer: Party,
        /// The address on which this party listened.
        address: String,
        /// How long this party waited.
        waited: Duration,
    },
    /// This party's own certificate or private key, or the fingerprints it pins, cannot be used.
    #[error("the identity of this party cannot be used: {reason}")]
    Identity {
        /// What is wrong with it.
        reason: String,
    },
    /// The connection to a peer failed for some other reason.
    #[error("the connection to {peer} failed: {source}")]
    Io {
        /// The party at the other end.
        peer: Party,
        /// The reason.
        source: io::Error,
    },
}

impl NetError {
    /// The peer this error is about; none if it is about this party itself.
    pub fn peer(&self) -> Option<Party> {
        match self {
            Self::Timeout { peer, .. }
            | Self::Disconnected { peer }
            | Self::BothDisconnected { peers: [peer, _] }
            | Self::UnexpectedLength { peer, .. }
            | Self::OutOfStep { peer, .. }
            | Self::TooLong { peer, .. }
            | Self::Handshake { peer, .. }
            | Self::WrongKey { peer, .. }
            | Self::Connect { peer, .. }
            | Self::NoCall { peer, .. }
            | Self::Io { peer, .. } => Some(*peer),
            Self::Listen { .. } | Self::Identity { .. } => None,
        }
    }

    /// An error about this party's own certificate, private key or pinned fingerprints.
    pub(crate) fn identity(reason: &impl ToString) -> Self {
        Self::Identity { reason: reason.to_string() }
    }
}

/// The reason of a failed listen, with what to do about the usual ones.
fn listen_advice(address: &str, source: &io::Error) -> String {
    match (source.kind(), address.starts_with("unix:")) {
        (io::ErrorKind::AddrInUse, false) => {
            "another program uses this port: stop it, or choose another port here and in the peers' configuration".into()
        }
        (io::ErrorKind::AddrInUse, true) => {
            "another program listens there, or it is another file: stop the program, remove the file, or choose another path here and in the peers' configuration".into()
        }
        (io::ErrorKind::AddrNotAvailable, _) => "this machine does not have this address".into(),
        (io::ErrorKind::PermissionDenied, false) => "not permitted: choose a port above 1023".into(),
        (io::ErrorKind::PermissionDenied, true) => "not permitted: choose a directory of this user".into(),
        (io::ErrorKind::NotFound, true) => "its directory does not exist: create it, or choose another one".into(),
        _ => source.to_string(),
    }
}
