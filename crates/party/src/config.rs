//! `party.toml`: who a party is, and how it reaches the two others.

use std::fs;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shamisen_net::tls::{Address, Fingerprint, Identity, PeerAddress, TlsConfig};
use shamisen_net::{Party, Peers};

use crate::event::{Cause, Failed};

/// Name of the file in a party's directory.
pub const FILE: &str = "party.toml";

/// Name of the certificate in a party's directory.
pub const CERTIFICATE_FILE: &str = "certificate.pem";

/// Name of the private key in a party's directory.
pub const KEY_FILE: &str = "key.pem";

/// The content of `party.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyConfig {
    /// Which party this is: 0, 1 or 2.
    pub party: usize,
    /// Where it listens, such as `0.0.0.0:7000`, or `unix:PATH` for parties of the same machine; a relative path starts
    /// at the party's directory.
    pub listen: String,
    /// Its certificate; a relative path starts at the party's directory.
    #[serde(default = "certificate_file")]
    pub certificate: PathBuf,
    /// Its private key, likewise.
    #[serde(default = "key_file")]
    pub key: PathBuf,
    /// Seconds to wait until both peers are there.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: f64,
    /// Longest wait for a peer in one exchange, in seconds.
    #[serde(default = "deadline")]
    pub deadline: f64,
    /// Imitated one-way latency in milliseconds, for measurements; the same at all three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// Imitated bandwidth in Mbit/s, for measurements; given at all three or at none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<f64>,
    /// Key under which the share files are encrypted, if they are; a relative path starts at the party's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_key: Option<PathBuf>,
    /// The two others.
    #[serde(rename = "peer")]
    pub peers: Vec<PeerConfig>,
}

/// One of the two others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Which party it is.
    pub party: usize,
    /// Where it listens, such as `party1.example.org:7000` or `unix:PATH`; a relative path starts at the directory of
    /// the party that calls.
    pub address: String,
    /// Fingerprint of its certificate, 64 hexadecimal digits.
    pub fingerprint: String,
}

impl PartyConfig {
    /// Reads the configuration of a party's directory.
    ///
    /// # Errors
    ///
    /// If it cannot be read or makes no sense.
    pub fn read(dir: &Path) -> Result<Self, Failed> {
        let path = dir.join(FILE);
        let wrong = |text: String| Failed::new(Cause::Input, format!("{}{text}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| wrong(format!(" cannot be read: {error}")))?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            wrong(format!(", line {line}: {message}"))
        })?;
        if config.party > 2 {
            return Err(wrong(format!(": there is no party {}: the parties are 0, 1 and 2", config.party)));
        }
        for (name, seconds) in [("connect_timeout", config.connect_timeout), ("deadline", config.deadline)] {
            if !(0.1..=86_400.0).contains(&seconds) {
                return Err(wrong(format!(": {name} is {seconds}, it must be 0.1 to 86400 seconds")));
            }
        }
        Ok(config)
    }

    /// Which party this is.
    ///
    /// # Errors
    ///
    /// If there is no such party.
    pub fn party(&self) -> Result<Party, Failed> {
        Party::new(self.party)
            .ok_or_else(|| Failed::new(Cause::Input, format!("there is no party {}", self.party)))
    }

    /// How the party reaches the two others for a job with this hash and so many lanes.
    ///
    /// # Errors
    ///
    /// If key or certificate cannot be read, or a peer is missing.
    pub fn tls(&self, dir: &Path, lanes: NonZeroU8, job: [u8; 32]) -> Result<TlsConfig, Failed> {
        let party = self.party()?;
        let read = |path: &Path| {
            let path = dir.join(path);
            fs::read(&path).map_err(|error| {
                Failed::new(Cause::Input, format!("cannot read {}: {error}", path.display()))
            })
        };
        let identity = Identity::from_pem(&read(&self.certificate)?, &read(&self.key)?)?;
        Ok(TlsConfig {
            party,
            identity,
            peers: Peers { next: self.peer(dir, party.next())?, prev: self.peer(dir, party.prev())? },
            listen: address(dir, &self.listen)?,
            lanes,
            job,
            connect_timeout: Duration::from_secs_f64(self.connect_timeout),
            deadline: self.deadline(),
        })
    }

    /// Longest wait for a peer in one exchange.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs_f64(self.deadline)
    }

    fn peer(&self, dir: &Path, peer: Party) -> Result<PeerAddress, Failed> {
        let mut of_peer = self.peers.iter().filter(|config| config.party == peer.index());
        let (Some(config), None) = (of_peer.next(), of_peer.next()) else {
            let path = dir.join(FILE);
            let text =
                format!("{} must have exactly one [[peer]] with party = {}", path.display(), peer.index());
            return Err(Failed::new(Cause::Input, text));
        };
        let fingerprint: Fingerprint = config.fingerprint.parse()?;
        Ok(PeerAddress { address: address(dir, &config.address)?, fingerprint })
    }
}

/// An address of a configuration in this directory.
fn address(dir: &Path, text: &str) -> Result<Address, Failed> {
    match text.parse::<Address>() {
        Ok(address) => Ok(address.from_dir(dir)),
        Err(error) => Err(Failed::new(Cause::Input, format!("{}: {error}", dir.join(FILE).display()))),
    }
}

fn certificate_file() -> PathBuf {
    CERTIFICATE_FILE.into()
}

fn key_file() -> PathBuf {
    KEY_FILE.into()
}

/// Seconds that a party waits for its peers to start.
pub fn connect_timeout() -> f64 {
    30.0
}

fn deadline() -> f64 {
    60.0
}
