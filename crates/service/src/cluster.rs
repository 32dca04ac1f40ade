//! `cluster.toml`: where a client finds the three servers, and how it knows them.

use std::path::Path;

use serde::Deserialize;
use shamisen_net::Party;
use shamisen_net::tls::Fingerprint;
use toml::Spanned;

use crate::document::{Document, Once, fingerprint};
use crate::{Place, Result};

/// The three servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// By their party numbers.
    pub servers: [Server; 3],
}

/// Where a server is, and how to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Which party it is.
    pub party: Party,
    /// Where its control plane listens.
    pub address: Place,
    /// Fingerprint of its certificate.
    pub fingerprint: Fingerprint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "server")]
    servers: Vec<ServerEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerEntry {
    party: Spanned<u64>,
    address: Spanned<String>,
    fingerprint: Spanned<String>,
}

impl Cluster {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// If it cannot be read or makes no sense.
    pub fn read(path: &Path) -> Result<Self> {
        let document = Document::read(path)?;
        let file: File = document.parse()?;
        let mut parties = Once::new(&document, "party");
        let mut addresses = Once::new(&document, "address");
        let mut fingerprints = Once::new(&document, "fingerprint");
        let mut servers = Vec::with_capacity(3);
        for entry in &file.servers {
            let server = Server {
                party: document.party(&entry.party)?,
                address: document.value(&entry.address)?,
                fingerprint: fingerprint(&document, &entry.fingerprint)?,
            };
            parties.check(&server.party.index(), &entry.party.span())?;
            addresses.check(&server.address, &entry.address.span())?;
            fingerprints.check(&server.fingerprint, &entry.fingerprint.span())?;
            servers.push(server);
        }
        servers.sort_by_key(|server| server.party);
        let count = servers.len();
        let servers = <[Server; 3]>::try_from(servers).map_err(|_| {
            document.wrong(format!(
                "it names {count} of the three servers: give a [[server]] for each of the parties 0, 1 and 2"
            ))
        })?;
        Ok(Self { servers })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(party: u8, digit: char) -> String {
        let fingerprint = digit.to_string().repeat(64);
        format!(
            "[[server]]\nparty = {party}\naddress = \"s{party}.example.org:7443\"\nfingerprint = \"{fingerprint}\"\n"
        )
    }

    fn read(text: &str) -> Result<Cluster> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cluster.toml");
        fs::write(&path, text).unwrap();
        Cluster::read(&path)
    }

    #[test]
    fn servers_come_in_the_order_of_their_numbers() {
        let cluster = read(&[entry(2, 'c'), entry(0, 'a'), entry(1, 'b')].concat()).unwrap();
        for (at, server) in cluster.servers.iter().enumerate() {
            assert_eq!(server.party.index(), at);
            assert_eq!(server.address.host, format!("s{at}.example.org"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let three = |last: String| [entry(0, 'a'), entry(1, 'b'), last].concat();
        for (text, part) in [
            (String::new(), "cluster.toml: it names 0 of the three servers"),
            (three(String::new()), "it names 2 of the three servers"),
            (three(entry(3, 'c')), "line 10: there is no party 3"),
            (three(entry(1, 'c')), "line 10: the party \"1\" is that of line 6, too"),
            (three(entry(2, 'a')), "line 12: the fingerprint \"aaaa"),
            (three(entry(2, 'g')), "line 12: \"gggg"),
            (three(entry(2, 'c').replace(":7443", "")), "line 11: \"s2.example.org\" is no address"),
            (three(entry(2, 'c').replace("s2", "s1")), "line 11: the address \"s1.example.org:7443\""),
            (three(entry(2, 'c').replace("address", "adress")), "line 11: unknown field `adress`"),
        ] {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
