//! What server and client say to each other.

pub mod data;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::Witness;

use crate::Role;

/// Version of this program, as servers tell it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The security level of this version's protocols.
pub const SECURITY: &str = "semi-honest";

/// Bytes that a test of the bandwidth moves at most in one request.
pub const SPEED_BYTES: usize = 1 << 22;

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong, in a sentence.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The answer to whoever asks whether the server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Health {
    /// `ok`.
    pub status: String,
}

/// As whom the server knows the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct WhoAmI {
    /// The name in the server's configuration.
    pub name: String,
    /// What the caller is to the server.
    pub role: Role,
    /// Fingerprint of the caller's certificate, 64 hexadecimal digits.
    pub fingerprint: String,
}

/// What a server tells about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Version of Shamisen.
    pub version: String,
    /// Which party it is: 0, 1 or 2.
    pub party: u8,
    /// The security level of its protocols.
    pub security: String,
    /// Its clock, in seconds since 1970.
    pub clock: f64,
    /// Free disk space for what it keeps, in bytes; none if the system does not tell.
    pub free_disk: Option<u64>,
    /// Free disk space in bytes below which its operator wants to be told.
    pub free_disk_wanted: u64,
    /// Threads of a computation.
    pub lanes: u8,
}

/// What came of a test of the bandwidth to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Received {
    /// Length of the body in bytes.
    pub bytes: u64,
}

/// Whether something is as it should be.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is.
    Ok,
    /// It works, but could be better.
    Note,
    /// It is not.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Check {
    /// The server that looked; none for whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u8>,
    /// The server that was looked at.
    pub server: u8,
    /// What was looked at, in a word.
    pub topic: String,
    /// Whether it is as it should be.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What a server knows of another one from calling it three times a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[non_exhaustive]
pub struct Contact {
    /// The other server.
    pub server: u8,
    /// Its control plane, as it is configured here.
    pub address: String,
    /// When it was called last, in seconds since 1970; none if that is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<f64>,
    /// When it last answered since this server was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<f64>,
    /// Why the last call came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its version, when it last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its clock less the own one, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<f64>,
    /// Seconds for a small request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<f64>,
    /// The end of its audit log, as it was last written down here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted: Option<Noted>,
    /// In what way its audit log is not what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contradiction: Option<String>,
}

/// The end of another server's audit log, and since when it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(clippy::exhaustive_structs, reason = "a place in a log and a time")]
pub struct Noted {
    /// The end.
    pub end: Witness,
    /// When it was written down, in seconds since 1970.
    pub time: f64,
}
