//! Who calls, and what the caller may do.

use core::marker::PhantomData;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use shamisen_net::tls::Fingerprint;

use crate::Role;
use crate::config::ServerConfig;
use crate::server::problem::Refusal;

/// Somebody whom the server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) fingerprint: Fingerprint,
}

/// Whom a server knows.
#[derive(Debug)]
pub(crate) struct Known {
    callers: HashMap<Fingerprint, Caller>,
}

impl Known {
    /// The people of a configuration, both peers, and the server itself, for those who look at it on its machine.
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let server = |party: usize, fingerprint| Caller {
            name: format!("server {party}").into(),
            role: Role::Server,
            fingerprint,
        };
        let peers = [&config.peers.next, &config.peers.prev].map(|peer| &peer.server);
        let people = config.people.iter().map(|person| Caller {
            name: person.name.as_str().into(),
            role: person.role,
            fingerprint: person.fingerprint,
        });
        let callers = peers
            .map(|peer| server(peer.party.index(), peer.fingerprint))
            .into_iter()
            .chain([server(config.party.index(), config.identity.fingerprint())])
            .chain(people);
        Self { callers: callers.map(|caller| (caller.fingerprint, caller)).collect() }
    }

    /// The name of whoever has this key.
    pub(crate) fn name_of(&self, key: Fingerprint) -> Option<&str> {
        self.callers.get(&key).map(|caller| &*caller.name)
    }

    /// Who has the key that was shown.
    pub(crate) fn visitor(&self, key: Option<Fingerprint>) -> Visitor {
        Visitor { caller: key.and_then(|key| self.callers.get(&key)).cloned(), key }
    }
}

/// Whoever is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Fingerprint of the certificate that was shown, if one was.
    pub(crate) key: Option<Fingerprint>,
    /// Whom it belongs to, if the server knows.
    pub(crate) caller: Option<Caller>,
}

impl Visitor {
    /// The caller, if the server knows it.
    pub(crate) fn known(&self) -> Result<&Caller, Refusal> {
        let (text, hint) = match (&self.caller, self.key) {
            (Some(caller), _) => return Ok(caller),
            (None, Some(key)) => (
                format!("this server does not know the key with fingerprint {key}"),
                "ask its operator to add this fingerprint, as a [[person]] or for a server as a [[peer]], or use the key that was added",
            ),
            (None, None) => (
                "this server answers only to people with a key that it knows".to_owned(),
                "show the certificate of your key; `shamisen keygen` makes one for the operators to add",
            ),
        };
        Err(Refusal::new(StatusCode::UNAUTHORIZED, text).with_hint(hint))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match parts.extensions.get::<Visitor>() {
            Some(visitor) => visitor.known().cloned(),
            None => Visitor { key: None, caller: None }.known().cloned(),
        }
    }
}

/// Some of the roles.
pub(crate) trait Roles {
    /// Which.
    const ROLES: &'static [Role];
}

/// Proof that the caller has one of the roles: a handler that takes it is for these alone.
pub(crate) struct By<R>(PhantomData<R>);

impl<R: Roles, S: Send + Sync> FromRequestParts<S> for By<R> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if R::ROLES.contains(&caller.role) {
            return Ok(Self(PhantomData));
        }
        let roles = R::ROLES.iter().map(|role| role.name()).collect::<Vec<_>>().join(" or ");
        let text =
            format!("{} is known as {}, and this is for the role {roles} alone", caller.name, caller.role);
        Err(Refusal::new(StatusCode::FORBIDDEN, text).with_hint("use a key with that role"))
    }
}

/// Those who run the servers, and the servers.
pub(crate) struct Operators;

impl Roles for Operators {
    const ROLES: &'static [Role] = &[Role::Operator, Role::Server];
}

/// Those who have data.
pub(crate) struct Owners;

impl Roles for Owners {
    const ROLES: &'static [Role] = &[Role::Owner];
}

/// Those who order trainings and predictions.
pub(crate) struct Askers;

impl Roles for Askers {
    const ROLES: &'static [Role] = &[Role::Analyst, Role::Owner];
}

/// The servers.
pub(crate) struct Servers;

impl Roles for Servers {
    const ROLES: &'static [Role] = &[Role::Server];
}
