//! The configuration of a server.
//!
//! ```toml
//! # party1.toml
//! party = 1
//! listen = "0.0.0.0:7443"        # control plane; the data plane listens at the next port
//! key = "key"                    # directory that `shamisen keygen` made
//! data = "data"                  # directory of what the server keeps
//!
//! [[peer]]
//! party = 0
//! address = "server0.example.org:7443"
//! fingerprint = "…64 hexadecimal digits…"
//!
//! [[peer]]
//! party = 2
//! address = "server2.example.org:7443"
//! fingerprint = "…64 hexadecimal digits…"
//!
//! [[person]]
//! name = "North hospital"
//! role = "owner"
//! fingerprint = "…64 hexadecimal digits…"
//! ```
//!
//! Relative paths start at the directory of the file.

use core::net::SocketAddr;
use core::num::NonZeroU8;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Deserialize;
use shamisen_net::tls::{Fingerprint, Identity};
use shamisen_net::{Party, Peers};
use toml::Spanned;

use crate::cluster::Server;
use crate::document::{Document, Once, fingerprint};
use crate::{Place, Result, Role, keys};

/// A server, as its operator describes it.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The file that says all this.
    pub file: PathBuf,
    /// Which party it is.
    pub party: Party,
    /// Its key.
    pub identity: Identity,
    /// Directory of the key.
    pub key: PathBuf,
    /// Where the control plane listens.
    pub listen: SocketAddr,
    /// Where the data plane listens.
    pub data_listen: SocketAddr,
    /// Directory of what the server keeps.
    pub data: PathBuf,
    /// The key under which share files are encrypted: beside the server's own key, and not among what it protects.
    pub storage_key: PathBuf,
    /// The two others.
    pub peers: Peers<PeerServer>,
    /// Whom the server knows, besides its peers.
    pub people: Vec<Person>,
    /// What the server bears.
    pub limits: Limits,
}

/// One of the two other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerServer {
    /// Its control plane.
    pub server: Server,
    /// Where its data plane listens.
    pub data_address: Place,
}

/// Somebody whom a server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Name in logs and answers.
    pub name: String,
    /// What the person may ask for.
    pub role: Role,
    /// Fingerprint of the person's certificate.
    pub fingerprint: Fingerprint,
}

/// What a server bears.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections at the same time; more wait.
    pub connections: usize,
    /// Length of a request's body in bytes.
    pub request_bytes: usize,
    /// Longest time for a request.
    pub request_time: Duration,
    /// Threads of a computation, the same at all three servers.
    pub lanes: NonZeroU8,
    /// Jobs of an analyst that are not over.
    pub jobs_per_person: usize,
    /// Free disk space in bytes below which the server is said to be in need of more, and takes no uploads.
    pub free_disk: u64,
    /// Bytes of the share files of an upload.
    pub upload_bytes: u64,
    /// Uploads of one owner that are under way at the same time.
    pub uploads: usize,
    /// Data sets of one owner.
    pub data_sets: usize,
    /// Longest time without progress of an upload, which is forgotten then.
    pub upload_time: Duration,
    /// Longest time for all three servers to accept a job, and to get the rows of predictions.
    pub acceptance_time: Duration,
    /// How long predictions are kept that nobody fetches.
    pub prediction_time: Duration,
    /// Bytes of this server's shares of the rows and predictions of a job.
    pub prediction_bytes: u64,
    /// Weights and biases of a network that is trained.
    pub model_parameters: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    party: Spanned<u64>,
    listen: Spanned<String>,
    data_listen: Option<Spanned<String>>,
    key: PathBuf,
    data: PathBuf,
    #[serde(default, rename = "peer")]
    peers: Vec<PeerEntry>,
    #[serde(default, rename = "person")]
    people: Vec<PersonEntry>,
    #[serde(default)]
    limits: LimitsEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerEntry {
    party: Spanned<u64>,
    address: Spanned<String>,
    data_address: Option<Spanned<String>>,
    fingerprint: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonEntry {
    name: Spanned<String>,
    role: Spanned<String>,
    fingerprint: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsEntry {
    connections: Option<Spanned<i64>>,
    request_bytes: Option<Spanned<i64>>,
    request_seconds: Option<Spanned<i64>>,
    lanes: Option<Spanned<i64>>,
    jobs_per_person: Option<Spanned<i64>>,
    free_disk_bytes: Option<Spanned<i64>>,
    upload_bytes: Option<Spanned<i64>>,
    uploads: Option<Spanned<i64>>,
    data_sets: Option<Spanned<i64>>,
    upload_hours: Option<Spanned<i64>>,
    acceptance_seconds: Option<Spanned<i64>>,
    prediction_hours: Option<Spanned<i64>>,
    prediction_bytes: Option<Spanned<i64>>,
    model_parameters: Option<Spanned<i64>>,
}

impl ServerConfig {
    /// Reads the file and the key that it names.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read or makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let document = Document::read(path)?;
        let file: File = document.parse()?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let party = document.party(&file.party)?;
        let listen = listen_address(&document, &file.listen)?;
        let data_listen = if let Some(address) = &file.data_listen {
            listen_address(&document, address)?
        } else {
            let port = listen.port().checked_add(1).ok_or_else(|| {
                let reason = "there is no next port for the data plane: give data_listen as well";
                document.wrong_at(&file.listen.span(), reason)
            })?;
            SocketAddr::new(listen.ip(), port)
        };
        if data_listen == listen {
            return Err(document.wrong("listen and data_listen are the same: give each plane its own port"));
        }
        let mut fingerprints = Once::new(&document, "fingerprint");
        let peers = peers(&document, party, &file.peers, &mut fingerprints)?;
        let people = people(&document, &file.people, &mut fingerprints)?;
        let limits = limits(&document, &file.limits)?;

        let identity = keys::read(&dir.join(&file.key))?;
        let own = identity.fingerprint();
        for (entry, pinned) in file
            .peers
            .iter()
            .map(|peer| (&peer.fingerprint, "another server"))
            .chain(file.people.iter().map(|person| (&person.fingerprint, "a person")))
        {
            if fingerprint(&document, entry)? == own {
                let reason = format!(
                    "this is the fingerprint of this server's own key, not of {pinned}: give the other's"
                );
                return Err(document.wrong_at(&entry.span(), reason));
            }
        }
        let (key, data) = (dir.join(&file.key), dir.join(&file.data));
        let storage_key = key.join(keys::STORAGE_KEY_FILE);
        let file = path.to_owned();
        Ok(Self { file, party, identity, key, listen, data_listen, data, storage_key, peers, people, limits })
    }

    /// The server itself, as programs on its machine reach it.
    pub fn own_server(&self) -> Server {
        let listen = self.listen;
        let host = match (listen.ip().is_unspecified(), listen.is_ipv6()) {
            (false, _) => listen.ip().to_string(),
            (true, false) => "127.0.0.1".to_owned(),
            (true, true) => "::1".to_owned(),
        };
        let address = Place { host, port: listen.port() };
        Server { party: self.party, address, fingerprint: self.identity.fingerprint() }
    }
}

fn listen_address(document: &Document, text: &Spanned<String>) -> Result<SocketAddr> {
    let address = text.as_ref().parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
    address.ok_or_else(|| {
        let reason = format!(
            "{:?} is nothing to listen at: give an address of this machine and a port, such as 0.0.0.0:7443",
            text.as_ref()
        );
        document.wrong_at(&text.span(), reason)
    })
}

fn peers(
    document: &Document,
    party: Party,
    entries: &[PeerEntry],
    fingerprints: &mut Once<'_>,
) -> Result<Peers<PeerServer>> {
    let mut parties = Once::new(document, "party");
    let mut addresses = Once::new(document, "address");
    let (mut next, mut prev) = (None, None);
    for entry in entries {
        let number = document.party(&entry.party)?;
        if number == party {
            let reason = format!(
                "this server is party {} itself: a [[peer]] is one of the two others",
                number.index()
            );
            return Err(document.wrong_at(&entry.party.span(), reason));
        }
        parties.check(&number.index(), &entry.party.span())?;
        let address: Place = document.value(&entry.address)?;
        addresses.check(&address, &entry.address.span())?;
        let data_address = match &entry.data_address {
            Some(place) => document.value(place)?,
            None => address.next_port().ok_or_else(|| {
                let reason = "there is no next port for the data plane: give data_address as well";
                document.wrong_at(&entry.address.span(), reason)
            })?,
        };
        addresses.check(&data_address, &entry.data_address.as_ref().unwrap_or(&entry.address).span())?;
        let fingerprint = fingerprint(document, &entry.fingerprint)?;
        fingerprints.check(&fingerprint, &entry.fingerprint.span())?;
        let peer = PeerServer { server: Server { party: number, address, fingerprint }, data_address };
        *(if number == party.next() { &mut next } else { &mut prev }) = Some(peer);
    }
    match (next, prev) {
        (Some(next), Some(prev)) => Ok(Peers { next, prev }),
        (next, _) => {
            let missing = if next.is_none() { party.next() } else { party.prev() };
            Err(document.wrong(format!(
                "there is no [[peer]] with party = {}: both other servers have to be named",
                missing.index()
            )))
        }
    }
}

fn people(document: &Document, entries: &[PersonEntry], fingerprints: &mut Once<'_>) -> Result<Vec<Person>> {
    let mut names = Once::new(document, "name");
    let mut people = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = entry.name.as_ref().clone();
        keys::check_name(&name).map_err(|error| document.wrong_at(&entry.name.span(), error.to_string()))?;
        names.check(&name, &entry.name.span())?;
        let role: Role = document.value(&entry.role)?;
        if role == Role::Server {
            let reason = "a person is no server: the two other servers are the [[peer]]s";
            return Err(document.wrong_at(&entry.role.span(), reason));
        }
        let fingerprint = fingerprint(document, &entry.fingerprint)?;
        fingerprints.check(&fingerprint, &entry.fingerprint.span())?;
        people.push(Person { name, role, fingerprint });
    }
    Ok(people)
}

fn limits(document: &Document, entry: &LimitsEntry) -> Result<Limits> {
    let within = |name: &str, value: &Option<Spanned<i64>>, default: i64, range: RangeInclusive<i64>| {
        let Some(value) = value else { return Ok(default) };
        let number = *value.as_ref();
        if range.contains(&number) {
            return Ok(number);
        }
        let reason = format!("{name} is {number}, it must be {} to {}", range.start(), range.end());
        Err(document.wrong_at(&value.span(), reason))
    };
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get().min(64)) as i64;
    let lanes = within("lanes", &entry.lanes, cores, 1..=64)?;
    Ok(Limits {
        connections: within("connections", &entry.connections, 256, 8..=65_536)? as usize,
        // A test of the bandwidth sends 4 MiB.
        request_bytes: within("request_bytes", &entry.request_bytes, 1 << 24, 1 << 22..=1 << 30)? as usize,
        request_time: Duration::from_secs(
            within("request_seconds", &entry.request_seconds, 120, 5..=3600)? as u64
        ),
        lanes: u8::try_from(lanes).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN),
        jobs_per_person: within("jobs_per_person", &entry.jobs_per_person, 32, 1..=1000)? as usize,
        free_disk: within("free_disk_bytes", &entry.free_disk_bytes, 1_000_000_000, 0..=i64::MAX)? as u64,
        upload_bytes: within("upload_bytes", &entry.upload_bytes, 1 << 40, 1..=1 << 50)? as u64,
        uploads: within("uploads", &entry.uploads, 4, 1..=1000)? as usize,
        data_sets: within("data_sets", &entry.data_sets, 1000, 1..=1_000_000)? as usize,
        upload_time: Duration::from_hours(within("upload_hours", &entry.upload_hours, 24, 1..=10_000)? as u64),
        acceptance_time: Duration::from_secs(within(
            "acceptance_seconds",
            &entry.acceptance_seconds,
            600,
            5..=86_400,
        )? as u64),
        prediction_time: Duration::from_hours(within(
            "prediction_hours",
            &entry.prediction_hours,
            24,
            1..=10_000,
        )? as u64),
        // Clients send so much at a time that there are 16 MiB.
        prediction_bytes: within("prediction_bytes", &entry.prediction_bytes, 1 << 26, 1 << 25..=1 << 40)?
            as u64,
        model_parameters: within("model_parameters", &entry.model_parameters, 10_000_000, 1..=1 << 32)?
            as usize,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str = "party = 1
listen = \"0.0.0.0:7443\"
key = \"key\"
data = \"data\"

[[peer]]
party = 2
address = \"s2.example.org:7443\"
fingerprint = \"2222222222222222222222222222222222222222222222222222222222222222\"

[[peer]]
party = 0
address = \"s0.example.org:7443\"
data_address = \"10.0.0.1:9000\"
fingerprint = \"AAAA222222222222222222222222222222222222222222222222222222222222\"

[[person]]
name = \"North\"
role = \"owner\"
fingerprint = \"3333333333333333333333333333333333333333333333333333333333333333\"

[limits]
connections = 100
";

    fn read(text: &str) -> Result<ServerConfig> {
        let place = tempfile::tempdir().unwrap();
        let identity = keys::create(&place.path().join("key"), "s1").unwrap();
        let path = place.path().join("party1.toml");
        fs::write(&path, text.replace("OWN", &identity.fingerprint().to_string())).unwrap();
        ServerConfig::read(&path)
    }

    #[test]
    fn a_configuration_is_read_with_its_defaults() {
        let config = read(GOOD).unwrap();
        assert_eq!(config.party.index(), 1);
        assert_eq!(config.data_listen.to_string(), "0.0.0.0:7444");
        assert!(config.data.ends_with("data"));
        let Peers { next, prev } = &config.peers;
        assert_eq!((next.server.party.index(), prev.server.party.index()), (2, 0));
        assert_eq!(next.data_address.to_string(), "s2.example.org:7444");
        assert_eq!(prev.data_address.to_string(), "10.0.0.1:9000");
        assert_eq!(config.people[0].role, Role::Owner);
        assert_eq!(config.limits.connections, 100);
        assert_eq!(config.limits.request_time, Duration::from_mins(2));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let (third, own) = ("3".repeat(64), "OWN");
        let twos = "2".repeat(64);
        for (from, to, part) in [
            ("party = 1", "party = 7", "line 1: there is no party 7"),
            ("party = 1", "party = \"1\"", "line 1: invalid type"),
            ("party = 1\n", "", "missing field `party`"),
            ("party = 1", "party = 1\nport = 3", "line 2: unknown field `port`"),
            ("0.0.0.0:7443", "7443", "line 2: \"7443\" is nothing to listen at"),
            ("0.0.0.0:7443", "0.0.0.0:65535", "line 2: there is no next port"),
            ("key = ", "data_listen = \"0.0.0.0:7443\"\nkey = ", "listen and data_listen are the same"),
            ("party = 2", "party = 1", "line 7: this server is party 1 itself"),
            ("party = 2", "party = 0", "line 12: the party \"0\" is that of line 7, too"),
            ("s2.example.org:7443", "s2.example.org", "line 8: \"s2.example.org\" is no address"),
            ("s2.example.org:7443", "s2.example.org:65535", "line 8: there is no next port"),
            ("s2.example.org", "s0.example.org", "line 13: the address \"s0.example.org:7443\""),
            (&twos, "12", "line 9: \"12\" is no fingerprint: copy the 64"),
            (&third, &twos, "line 20: the fingerprint \"2222"),
            (&third, own, "line 20: this is the fingerprint of this server's own key"),
            ("\"owner\"", "\"king\"", "line 19: \"king\" is no role: the roles are server, owner"),
            ("\"owner\"", "\"server\"", "line 19: a person is no server"),
            ("\"North\"", "\"\"", "line 18: \"\" is no name: it is empty"),
            (
                "[limits]",
                "[[person]]\nname = \"North\"\nrole = \"owner\"\nfingerprint = \"\"\n[limits]",
                "line 23: the name \"North\" is that of line 18",
            ),
            ("connections = 100", "connections = 1", "line 23: connections is 1, it must be 8 to 65536"),
            ("connections = 100", "lanes = 0", "line 23: lanes is 0, it must be 1 to 64"),
            ("\"key\"", "\"keys\"", "cannot read "),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let message = read(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(part), "{message}\n{part}");
        }
        let end = GOOD.find("[[peer]]\nparty = 0").unwrap();
        let message = read(&GOOD[..end]).unwrap_err().to_string();
        assert!(message.contains("there is no [[peer]] with party = 0"), "{message}");
    }
}
