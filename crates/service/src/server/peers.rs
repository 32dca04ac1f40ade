//! Calls to the two other servers.

use core::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shamisen_net::{Party, Peers};

use crate::client::{CallError, Client};
use crate::config::{PeerServer, ServerConfig};
use crate::server::caller::Caller;

/// Longest wait for a peer's answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// The peer that calls; none if it is this server itself.
pub(crate) fn party_of(config: &ServerConfig, caller: &Caller) -> Option<Party> {
    both(config)
        .into_iter()
        .find(|peer| peer.server.fingerprint == caller.fingerprint)
        .map(|peer| peer.server.party)
}

/// Both peers.
pub(crate) fn both(config: &ServerConfig) -> [&PeerServer; 2] {
    let Peers { next, prev } = &config.peers;
    [next, prev]
}

/// A connection to a peer, with the server's own key.
pub(crate) struct Peer(Client);

impl Peer {
    /// Calls the control plane of a peer.
    pub(crate) async fn connect(config: &ServerConfig, peer: &PeerServer) -> Result<Self, CallError> {
        let server = &peer.server;
        let client = Client::connect(Some(&config.identity), &server.address, server.fingerprint, DEADLINE);
        client.await.map(Self)
    }

    /// Asks for something in JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, CallError> {
        self.0.get(path).await
    }

    /// Sends something as JSON, for an answer in JSON.
    pub(crate) async fn post<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        path: &str,
        question: &Q,
    ) -> Result<A, CallError> {
        self.0.post_json(path, question).await
    }
}
