//! How the three servers come to agree that an upload is a data set.
//!
//! A server that is ready asks both peers about the upload until both have said that they are ready for the same description, or
//! one that it never will be. Nobody leads, and it does not matter who hears first: *ready* is a promise (see
//! [`data`](super)), and only when all three have promised does one of them act on it.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use blake3::Hash;
use shamisen_net::Party;
use tokio::select;
use tokio::time::{Instant, sleep};

use crate::api::data::{PeerAnswers, PeerAsks, UploadState};
use crate::audit::{Decision, Who, Witness};
use crate::client::CallError;
use crate::config::PeerServer;
use crate::manifest::is_id;
use crate::server::audit_log::Event;
use crate::server::contacts;
use crate::server::data::{DataSets, State, UPLOADS, Upload, now};
use crate::server::peers::{Peer, both};
use crate::server::state::Shared;
use crate::{Result, ServiceError};

/// Where a server asks another one.
pub(crate) const ASK: &str = "/v1/peer/uploads";

/// First pause between questions while an upload is not agreed on; each next one is longer.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest such pause.
const LONG_PAUSE: Duration = Duration::from_secs(15);

/// Time between looks for uploads that have not gone on.
const LOOK: Duration = Duration::from_mins(10);

/// Asks the peers about uploads that are ready, and clears away what has not gone on; does not end.
pub(crate) async fn keep_agreeing(shared: Arc<Shared>) {
    let mut pause = PAUSE;
    let mut looked = Instant::now();
    loop {
        let is_open = ask_about_all(&shared).await;
        if looked.elapsed() > LOOK {
            looked = Instant::now();
            complain(shared.blocking(|shared| shared.data.forget_old()).await);
        }
        // A peer that becomes ready later asks by itself: this is for answers that were lost.
        select! {
            () = sleep(if is_open { pause } else { LOOK }) => pause = (2 * pause).min(LONG_PAUSE),
            () = shared.data.ready.notified() => pause = PAUSE,
        }
    }
}

/// Asks both peers about all that is left to be agreed on; false if nothing is.
async fn ask_about_all(shared: &Arc<Shared>) -> bool {
    let uploads = match shared.blocking(|shared| shared.data.not_agreed()).await {
        Ok(uploads) => uploads,
        Err(error) => {
            complain(Err(error));
            return true;
        }
    };
    if uploads.is_empty() {
        return false;
    }
    let config = shared.config();
    let [next, prev] = both(&config).map(|peer| ask_peer(shared, peer, &uploads));
    let (next, prev) = tokio::join!(next, prev);
    for (peer, result) in both(&config).into_iter().zip([&next, &prev]) {
        if let Err(error) = result {
            tracing::warn!(peer = peer.server.party.index(), %error, "cannot ask a peer about uploads");
        }
    }
    true
}

/// Asks a peer about all uploads for which it has not confirmed yet.
async fn ask_peer(
    shared: &Arc<Shared>,
    peer: &PeerServer,
    uploads: &[(Upload, BTreeSet<u8>)],
) -> core::result::Result<(), CallError> {
    let party = peer.server.party;
    let mut connection = None;
    for (upload, confirmed) in uploads {
        if confirmed.contains(&(party.index() as u8)) {
            continue;
        }
        if connection.is_none() {
            connection = Some(Peer::connect(&shared.config(), peer).await?);
        }
        let Some(client) = &mut connection else { return Ok(()) };
        let id = upload.manifest.id.clone();
        let waited = now().as_second().saturating_sub(upload.since);
        let expired = waited > shared.config().limits.upload_time.as_secs() as i64;
        let question =
            PeerAsks { id: id.clone(), digest: upload.digest.clone(), expired, head: shared.audit.head() };
        let answer: PeerAnswers = client.post(ASK, &question).await?;
        complain(shared.blocking(move |shared| shared.data.heard(&id, party, &answer)).await);
    }
    Ok(())
}

fn complain(result: Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "uploads cannot be gone on with");
    }
}

impl DataSets {
    /// Uploads that are ready here and not known to be at both peers, with those that have confirmed.
    fn not_agreed(&self) -> Result<Vec<(Upload, BTreeSet<u8>)>> {
        let all = self.store.read(|state| UPLOADS.all(state))?;
        let ready = |upload: Upload| match &upload.state {
            State::Ready { confirmed } => {
                let confirmed = confirmed.clone();
                Some((upload, confirmed))
            }
            _ => None,
        };
        Ok(all.into_iter().filter_map(|(_, upload)| ready(upload)).collect())
    }

    /// Takes in what a peer has answered about an upload that is ready here.
    pub(super) fn heard(&self, id: &str, peer: Party, answer: &PeerAnswers) -> Result<()> {
        let Some(upload) = self.store.read(|state| UPLOADS.get(state, id))? else { return Ok(()) };
        let has_it = matches!(answer.state, UploadState::Ready | UploadState::Complete);
        let party = peer.index();
        match &answer.digest {
            Some(digest) if *digest != upload.digest => {
                let reason = format!("server {party} was told another description by the owner");
                self.abort(id, "upload.aborted", &reason)
            }
            _ if has_it => self.confirmed(id, peer, &answer.head),
            _ if matches!(answer.state, UploadState::Aborted | UploadState::Revoked) => {
                self.abort(id, "upload.aborted", &format!("server {party} has given it up"))
            }
            _ => Ok(()),
        }
    }

    /// Notes that a peer keeps an upload that is ready here; with the second one it is a data set.
    fn confirmed(&self, id: &str, peer: Party, head: &Witness) -> Result<()> {
        self.store.write(|state| {
            let Some(mut upload) = UPLOADS.get(state, id)? else { return Ok(()) };
            let State::Ready { confirmed } = &mut upload.state else { return Ok(()) };
            if !confirmed.insert(peer.index() as u8) {
                return Ok(());
            }
            let is_complete = confirmed.len() == 2;
            contacts::hear(&self.audit, peer, head)?;
            if is_complete {
                let owner = upload.manifest.owner.to_string();
                let mut event =
                    Event::new("dataset.created", id, Decision::Accepted).with_digest(&upload.digest);
                event.who = Some(Who { name: None, role: None, fingerprint: Some(owner) });
                self.audit.append(event)?;
                upload.enter(State::Complete);
            }
            UPLOADS.put(state, id, &upload)
        })
    }

    /// Answers a peer that is ready.
    pub(crate) fn asked(&self, peer: Party, question: &PeerAsks) -> Result<PeerAnswers> {
        let PeerAsks { id, digest, expired, head } = question;
        let answer = |state, digest| Ok(PeerAnswers { state, digest, head: self.audit.head() });
        if !is_id(id) || Hash::from_hex(digest).is_err() {
            return answer(UploadState::Aborted, None);
        }
        let Some(upload) = self.store.read(|state| UPLOADS.get(state, id))? else {
            // Once the other gives up, nobody can begin it here any more.
            let gone = *expired
                && self.store.write(|state| {
                    if state.use_id(id, "upload")? {
                        let event = Event::new("upload.aborted", id, Decision::Noted).with_digest(digest);
                        self.audit.append(
                            event.because("another server has it, and its owner did not begin it here"),
                        )?;
                    }
                    Ok::<_, ServiceError>(true)
                })?;
            return answer(if gone { UploadState::Aborted } else { UploadState::Unknown }, None);
        };
        if upload.digest != *digest {
            let reason = format!("server {} was told another description by the owner", peer.index());
            self.abort(id, "upload.aborted", &reason)?;
        } else if matches!(upload.state, State::Ready { .. }) {
            self.confirmed(id, peer, head)?;
        }
        let now = self.store.read(|state| UPLOADS.get(state, id))?;
        answer(now.map_or(UploadState::Unknown, |upload| upload.state.told()), Some(upload.digest))
    }
}
