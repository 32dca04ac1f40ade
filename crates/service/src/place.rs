//! Where a server is reached.

use core::fmt;
use core::str::FromStr;

/// Host name or address of a machine, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Host name or address; a version 6 address without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Place {
    /// The same host at the next port, if there is one.
    pub fn next_port(&self) -> Option<Self> {
        Some(Self { host: self.host.clone(), port: self.port.checked_add(1)? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text that is no [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address: give a host and a port, such as server1.example.org:7443")]
pub struct NoPlace {
    text: String,
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let wrong = || NoPlace { text: text.to_owned() };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let version_6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match version_6 {
            Some(host) => host.parse::<core::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
        };
        if !good {
            return Err(wrong());
        }
        Ok(Self { host: version_6.unwrap_or(host).to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for text in ["server1.example.org:7443", "127.0.0.1:1", "[::1]:7443"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "host",
            "host:",
            ":7443",
            "host:0",
            "host:65536",
            "::1:7443",
            "[host]:1",
            "https://host:7443",
            "host name:7443",
            "host/x:7443",
        ] {
            let message = text.parse::<Place>().unwrap_err().to_string();
            assert!(message.contains("such as server1.example.org:7443"), "{message}");
        }
    }
}
