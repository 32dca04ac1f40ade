//! Ways to join three parties on one machine.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the parties are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "there are these three")]
pub enum TransportName {
    /// Three processes over TLS, by Unix sockets of this machine.
    Tls,
    /// Three processes over TLS, by TCP ports of this machine.
    Tcp,
    /// Three threads in memory.
    Memory,
}

/// How the parties were joined, in the words of reports and benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// `tls` or `memory`.
    pub transport: Channel,
    /// What TLS ran over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<Sockets>,
}

/// What protects the messages between the parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Channel {
    /// TLS.
    Tls,
    /// Nothing: they do not leave the process.
    Memory,
}

/// What TLS runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Sockets {
    /// Unix sockets.
    Unix,
    /// TCP over the loopback interface.
    Tcp,
}

impl TransportName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tls, Self::Tcp, Self::Memory];

    /// The name that people write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Memory => "memory",
        }
    }

    /// What it means.
    pub fn help(self) -> &'static str {
        match self {
            Self::Tls => "Three processes over TLS, by Unix sockets of this machine",
            Self::Tcp => "Three processes over TLS, by TCP ports of this machine",
            Self::Memory => "Three threads in memory",
        }
    }
}

impl FromStr for TransportName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|name| name.name() == text);
        named.ok_or_else(|| format!("there is no transport `{text}`: give tls, tcp or memory"))
    }
}

impl From<TransportName> for Joined {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Tls => Self { transport: Channel::Tls, sockets: Some(Sockets::Unix) },
            TransportName::Tcp => Self { transport: Channel::Tls, sockets: Some(Sockets::Tcp) },
            TransportName::Memory => Self { transport: Channel::Memory, sockets: None },
        }
    }
}

impl Joined {
    /// The processes of a training in which the three parties run.
    pub fn processes(self) -> usize {
        match self.transport {
            Channel::Tls => 3,
            Channel::Memory => 1,
        }
    }

    /// How the parties of a training are joined, such as `3 processes, TLS over Unix sockets`.
    pub fn of_training(self) -> String {
        self.phrase(if self.processes() == 3 { "3 processes" } else { "3 threads" })
    }

    /// The same of parties that always are threads.
    pub fn of_threads(self) -> String {
        self.phrase("3 threads")
    }

    fn phrase(self, parties: &str) -> String {
        match (self.transport, self.sockets) {
            (Channel::Memory, _) => format!("{parties} in memory"),
            (Channel::Tls, Some(Sockets::Tcp)) => format!("{parties}, TLS over loopback TCP"),
            (Channel::Tls, _) => format!("{parties}, TLS over Unix sockets"),
        }
    }
}

/// Ports of the three parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ports(pub [u16; 3]);

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give three different ports such as 7000,7001,7002".to_owned();
        let ports: Vec<u16> =
            text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let ports: [u16; 3] = ports.try_into().map_err(|_| wrong())?;
        let [a, b, c] = ports;
        if a == b || b == c || a == c || ports.contains(&0) { Err(wrong()) } else { Ok(Self(ports)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_joins_the_parties_is_named_as_it_is() {
        for (name, json, words) in [
            (
                TransportName::Tls,
                r#"{"transport":"tls","sockets":"unix"}"#,
                "3 processes, TLS over Unix sockets",
            ),
            (
                TransportName::Tcp,
                r#"{"transport":"tls","sockets":"tcp"}"#,
                "3 processes, TLS over loopback TCP",
            ),
            (TransportName::Memory, r#"{"transport":"memory"}"#, "3 threads in memory"),
        ] {
            let joined = Joined::from(name);
            assert_eq!(serde_json::to_string(&joined).unwrap(), json);
            assert_eq!(serde_json::from_str::<Joined>(json).unwrap(), joined);
            assert_eq!(joined.of_training(), words);
        }
        // Reports from before there was a choice.
        let older: Joined = serde_json::from_str(r#"{"transport":"tls"}"#).unwrap();
        assert_eq!((older.transport, older.sockets), (Channel::Tls, None));
    }

    #[test]
    fn ports_are_a_list() {
        assert_eq!("1,2,3".parse(), Ok(Ports([1, 2, 3])));
        for wrong in ["1,2", "1,1,2", "0,1,2", "1,2,70000"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
    }
}
