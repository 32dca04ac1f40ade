//! The configuration is read again when somebody asks for it, while the server runs.
//!
//! People and peers are taken up at once: the next request of whoever was removed is refused, also on a connection that is
//! open. What a server cannot change while it runs stays as it was until it is started again. A file that makes no sense
//! changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use shamisen_net::tls::Fingerprint;
use tokio::signal::unix::Signal;

use crate::Result;
use crate::ServiceError;
use crate::audit::Decision;
use crate::config::ServerConfig;
use crate::server::audit_log::Event;
use crate::server::peers::both;
use crate::server::state::Shared;

/// Reads the configuration again at each signal; does not end.
pub(super) async fn on_request(shared: Arc<Shared>, mut requests: Signal) {
    while requests.recv().await.is_some() {
        match shared.blocking(reload).await {
            Ok(0) => tracing::info!("the configuration names the same people and peers as before"),
            Ok(changes) => tracing::info!(changes, "the configuration was taken up"),
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be taken up, and stays as it was");
            }
        }
    }
}

/// Takes up what the file says now, and returns how many people and peers are new, gone or others.
fn reload(shared: &Shared) -> Result<usize> {
    let old = shared.config();
    let read = ServerConfig::read(&old.file)?;
    let (new, kept) = with_what_stays(&old, read)?;
    if !kept.is_empty() {
        tracing::warn!("what changed in {} is taken up when the server is started again", kept.join(", "));
    }
    let (before, after) = (named(&old), named(&new));
    let mut changes = 0;
    for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(key))) {
        let (what, reason) = match (before.get(key), after.get(key)) {
            (Some(one), Some(other)) if one == other => continue,
            (Some(one), Some(other)) => ("config.changed", format!("{one}; now {other}")),
            (Some(one), None) => ("config.removed", one.clone()),
            (None, Some(other)) => ("config.added", other.clone()),
            (None, None) => continue,
        };
        tracing::info!(fingerprint = %key, "{what}: {reason}");
        shared.audit.append(Event::new(what, &key.to_string(), Decision::Noted).because(reason))?;
        changes += 1;
    }
    shared.replace(new);
    Ok(changes)
}

/// What was read, with what cannot change while the server runs as it was; and the names of that which was changed in vain.
fn with_what_stays(old: &ServerConfig, mut read: ServerConfig) -> Result<(ServerConfig, Vec<&'static str>)> {
    let is_other = |one: &ServerConfig| (one.party, one.identity.fingerprint());
    if is_other(old) != is_other(&read) {
        let reason =
            "it is for a server with another number or key: start the server again to let it be another one";
        return Err(ServiceError::Config { path: old.file.clone(), line: None, reason: reason.into() });
    }
    let changed = [
        ("listen", old.listen != read.listen),
        ("data_listen", old.data_listen != read.data_listen),
        ("key", old.key != read.key),
        ("data", old.data != read.data),
        ("limits", old.limits != read.limits),
    ];
    (read.listen, read.data_listen) = (old.listen, old.data_listen);
    (read.key, read.storage_key) = (old.key.clone(), old.storage_key.clone());
    (read.data, read.limits) = (old.data.clone(), old.limits.clone());
    Ok((read, changed.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()))
}

/// Whom a configuration names, in words.
fn named(config: &ServerConfig) -> BTreeMap<Fingerprint, String> {
    let people =
        config.people.iter().map(|person| (person.fingerprint, format!("{}, {}", person.name, person.role)));
    let peers = both(config).map(|peer| {
        let server = &peer.server;
        let (party, address, data) = (server.party.index(), &server.address, &peer.data_address);
        (server.fingerprint, format!("server {party} at {address}, data plane at {data}"))
    });
    people.chain(peers).collect()
}
