//! The lines to the two peers, over which server 0 gives its orders.

use core::time::Duration;
use std::sync::Arc;

use crate::client::{CallError, Client};
use crate::cluster::Server;
use crate::server::jobs::order::{Order, Standing};
use crate::server::peers::both;
use crate::server::state::Shared;

/// Longest wait for a peer's answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// Why a server says nothing of where it stands.
pub(super) enum Trouble {
    /// It does not have the job.
    Unknown,
    /// It has another job under this id.
    Another,
    /// It does not agree.
    Refused(String),
    /// It cannot be reached.
    Away(String),
}

/// Where a server stands, or why it does not say.
pub(super) type Answer = Result<Standing, Trouble>;

/// A line to a peer, which is kept as long as it works.
pub(super) struct Line {
    shared: Arc<Shared>,
    server: Server,
    client: Option<Client>,
}

impl Line {
    /// A line to a server, not connected yet.
    pub(super) fn new(shared: &Arc<Shared>, server: &Server) -> Self {
        Self { shared: Arc::clone(shared), server: server.clone(), client: None }
    }

    /// Gives the peer an order about a job.
    pub(super) async fn give(&mut self, job: &str, order: &Order) -> Answer {
        match self.call(job, order).await {
            Ok(standing) => Ok(standing),
            Err(CallError::Refused { status: 404, .. }) => Err(Trouble::Unknown),
            Err(CallError::Refused { status: 412, .. }) => Err(Trouble::Another),
            Err(CallError::Refused { status: 409, problem, .. }) => Err(Trouble::Refused(problem.error)),
            Err(error) => {
                self.client = None;
                Err(Trouble::Away(format!("server {}: {error}", self.server.party.index())))
            }
        }
    }

    async fn call(&mut self, job: &str, order: &Order) -> Result<Standing, CallError> {
        let path = format!("/v1/jobs/{job}/order");
        self.look_up();
        if let Some(client) = &mut self.client {
            match client.post_json(&path, order).await {
                // The server was started anew, or has ended a line that was old.
                Err(CallError::Broken { .. }) => {}
                answer => return answer,
            }
        }
        let Server { address, fingerprint, .. } = &self.server;
        let config = self.shared.config();
        let client = Client::connect(Some(&config.identity), address, *fingerprint, DEADLINE).await?;
        self.client.insert(client).post_json(&path, order).await
    }

    /// Follows the configuration, if it says something else of the peer than before.
    fn look_up(&mut self) {
        let config = self.shared.config();
        let peer =
            both(&config).map(|peer| &peer.server).into_iter().find(|peer| peer.party == self.server.party);
        if let Some(peer) = peer.filter(|peer| **peer != self.server) {
            self.server = peer.clone();
            self.client = None;
        }
    }
}
