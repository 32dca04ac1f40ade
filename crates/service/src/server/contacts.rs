//! What a server knows of the two others from calling them: whether they answer, and whether their audit logs are what they
//! were.
//!
//! Three times a minute it asks for version and clock. Once an hour, and when it starts, it asks for the log from the last end
//! that it has written down, and follows the chain from there: whoever changed an entry before that end, or cut the log,
//! cannot show a chain that follows it.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use blake3::Hash;
use shamisen_net::Party;
use tokio::join;
use tokio::time::{Instant, sleep};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Result;
use crate::api::data::AuditPage;
use crate::api::{Contact, Noted, Problem, ServerInfo};
use crate::audit::{self, Chain, Decision, Witness};
use crate::client::CallError;
use crate::config::PeerServer;
use crate::server::audit_log::{AuditLog, Event};
use crate::server::now;
use crate::server::peers::{Peer, both};
use crate::server::state::Shared;
use crate::server::store::{Records, Write};

/// Pause between two calls.
const PAUSE: Duration = Duration::from_secs(20);

/// Pause after a call that came to nothing.
const SHORT_PAUSE: Duration = Duration::from_secs(5);

/// Time between two looks at a log.
const LOOK: Duration = Duration::from_hours(1);

/// The last end of each peer's log that was written down, by the number of the peer.
const NOTED: Records<Noted> = Records::new("witnesses");

/// What is known of the peers.
#[derive(Debug, Default)]
pub(crate) struct Contacts(Mutex<[Option<Contact>; 3]>);

impl Contacts {
    fn all(&self) -> MutexGuard<'_, [Option<Contact>; 3]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a peer.
    fn note(&self, peer: &PeerServer, change: impl FnOnce(&mut Contact)) {
        let server = &peer.server;
        let mut all = self.all();
        let known = all[server.party.index()].get_or_insert_with(|| unknown(peer));
        known.address = server.address.to_string();
        change(known);
    }
}

/// A peer that was not called yet.
fn unknown(peer: &PeerServer) -> Contact {
    Contact {
        server: peer.server.party.index() as u8,
        address: peer.server.address.to_string(),
        called: None,
        answered: None,
        problem: None,
        version: None,
        clock: None,
        round_trip: None,
        noted: None,
        contradiction: None,
    }
}

/// The request for all this, with its description.
pub(crate) fn described_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(contacts))
}

/// Whether the two others answered when they were last called, and whether their audit logs are what they were.
#[utoipa::path(get, path = "/v1/contacts", responses((status = OK, body = [Contact]), (status = UNAUTHORIZED, body = Problem)))]
async fn contacts(State(shared): State<Arc<Shared>>) -> Json<Vec<Contact>> {
    let config = shared.config();
    let known = shared.contacts.all().clone();
    let mut contacts = both(&config)
        .map(|peer| known[peer.server.party.index()].clone().unwrap_or_else(|| unknown(peer)))
        .to_vec();
    contacts.sort_by_key(|contact| contact.server);
    Json(contacts)
}

/// Calls both peers as long as the server runs.
pub(crate) async fn keep_calling(shared: Arc<Shared>) {
    let parties = both(&shared.config()).map(|peer| peer.server.party);
    let [one, other] = parties.map(|party| keep_calling_one(&shared, party));
    join!(one, other);
}

async fn keep_calling_one(shared: &Arc<Shared>, party: Party) {
    let mut looked: Option<Instant> = None;
    loop {
        let config = shared.config();
        let Some(peer) = both(&config).into_iter().find(|peer| peer.server.party == party) else { return };
        let is_due = looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        let problem = match call(shared, peer, is_due).await {
            Ok(has_looked) => {
                looked = if has_looked { Some(Instant::now()) } else { looked };
                None
            }
            Err(error) => {
                tracing::debug!(peer = party.index(), %error, "a peer does not answer");
                Some(error.to_string())
            }
        };
        let pause = if problem.is_some() { SHORT_PAUSE } else { PAUSE };
        shared.contacts.note(peer, |contact| {
            contact.called = Some(now());
            contact.problem = problem;
        });
        sleep(pause).await;
    }
}

/// Calls a peer, and looks at its log if that is due; whether it has found one.
async fn call(
    shared: &Arc<Shared>,
    peer: &PeerServer,
    is_due: bool,
) -> core::result::Result<bool, CallError> {
    let mut client = Peer::connect(&shared.config(), peer).await?;
    let (start, before) = (Instant::now(), now());
    let info: ServerInfo = client.get("/v1/server").await?;
    let round_trip = start.elapsed().as_secs_f64();
    shared.contacts.note(peer, |contact| {
        contact.answered = Some(now());
        contact.version = Some(info.version);
        contact.clock = Some(info.clock - before - round_trip / 2.0);
        contact.round_trip = Some(round_trip);
    });
    if !is_due {
        return Ok(false);
    }
    let party = peer.server.party;
    let before = match shared.blocking(move |shared| last(shared, party)).await {
        Ok(before) => before,
        Err(error) => {
            tracing::error!(%error, "it is not known what was written down of a peer's audit log");
            return Ok(false);
        }
    };
    let found = follow(&mut client, party, before.as_ref().map(|noted| &noted.end)).await?;
    match shared.blocking(move |shared| keep(shared, party, before, found)).await {
        Ok((noted, contradiction)) => {
            let has_looked = noted.is_some() || contradiction.is_some();
            shared.contacts.note(peer, |contact| {
                contact.noted = noted;
                contact.contradiction = contradiction;
            });
            Ok(has_looked)
        }
        Err(error) => {
            tracing::error!(%error, "the end of a peer's audit log cannot be written down");
            Ok(false)
        }
    }
}

/// Follows the log of a peer from an end that it had before, and returns where it ends now, or what is wrong with it.
async fn follow(
    client: &mut Peer,
    party: Party,
    before: Option<&Witness>,
) -> core::result::Result<core::result::Result<Witness, String>, CallError> {
    let mut chain = match before.map(|end| (end.seq, Hash::from_hex(&end.hash))) {
        // The entry itself is compared as well: it has to be there.
        Some((seq, Ok(hash))) => Chain::after(seq, hash),
        _ => Chain::new(),
    };
    let known = chain.seq();
    loop {
        let page: AuditPage = client.get(&format!("/v1/audit?from={}", chain.seq() + 1)).await?;
        if page.last < known {
            return Ok(Err(format!("it has {} entries, and had {known}", page.last)));
        }
        for entry in &page.entries {
            if let Err(fault) = chain.follow(entry) {
                return Ok(Err(format!("what follows entry {known} does not follow what it was: {fault}")));
            }
        }
        if page.entries.is_empty() || chain.seq() >= page.last {
            break;
        }
    }
    if chain.seq() == known && known > 0 {
        // Nothing new has to follow the end, so that the end itself is looked at.
        let page: AuditPage = client.get(&format!("/v1/audit?from={known}")).await?;
        if page.entries.first().is_none_or(|entry| entry.hash != chain.head().to_hex().as_str()) {
            return Ok(Err(format!("its entry {known} is not what it was")));
        }
    }
    let hash = chain.head().to_hex().to_string();
    Ok(Ok(Witness { party: party.index() as u8, seq: chain.seq(), hash }))
}

/// What was last written down of a peer's log.
fn last(shared: &Shared, party: Party) -> Result<Option<Noted>> {
    shared.store.read(|state| NOTED.get(state, &party.index().to_string()))
}

/// Writes down what was found, and returns what is known now: the last end that the peer has stood by, and what contradicts it.
fn keep(
    shared: &Shared,
    party: Party,
    before: Option<Noted>,
    found: core::result::Result<Witness, String>,
) -> Result<(Option<Noted>, Option<String>)> {
    match found {
        // There is nothing yet that could be changed.
        Ok(end) if end.seq == 0 => Ok((before, None)),
        Ok(end) => {
            let noted = Noted { end, time: now() };
            shared.store.write(|state| write_down(shared, state, &noted))?;
            Ok((Some(noted), None))
        }
        Err(problem) => {
            let reason = format!("the audit log of server {} was changed: {problem}", party.index());
            tracing::error!("{reason}");
            let event = Event::new(audit::CONTRADICTION, "", Decision::Noted).because(&reason);
            shared.audit.append(Event { subject: None, ..event })?;
            Ok((before, Some(reason)))
        }
    }
}

fn write_down(shared: &Shared, state: &Write<'_>, noted: &Noted) -> Result<()> {
    let event = Event::new(audit::WITNESS, "", Decision::Noted);
    shared.audit.append(Event { subject: None, peer: Some(noted.end.clone()), ..event })?;
    NOTED.put(state, &noted.end.party.to_string(), noted)
}

/// Writes down what a peer says about the end of its audit log, within a transaction about something else.
///
/// It is not followed: the next look starts from the last end that was.
pub(crate) fn hear(audit: &AuditLog, peer: Party, head: &Witness) -> Result<()> {
    // A peer speaks of its own log alone, and a hash is 64 digits.
    let hash: String = head.hash.chars().take(64).collect();
    let peer = Witness { party: peer.index() as u8, seq: head.seq, hash };
    let event = Event::new(audit::WITNESS, "", Decision::Noted);
    audit.append(Event { subject: None, peer: Some(peer), ..event })
}
