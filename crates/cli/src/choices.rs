//! Choices of a job by the names that people write on the command line and in job files.

use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Widths of the hidden layers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Vec<usize>);

/// Ports of the three parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ports(pub [u16; 3]);

/// The tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the tasks of a plan")]
pub enum TaskName {
    /// Classes.
    Classification,
    /// Numbers.
    Regression,
}

/// The optimisers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerName {
    /// Adam.
    Adam,
    /// Stochastic gradient descent.
    Sgd,
}

/// The scalings of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScalingName {
    /// Mean 0 and standard deviation 1.
    Standard,
    /// From 0 to 1.
    #[value(name = "minmax")]
    MinMax,
    /// As they are.
    None,
}

/// The scalings of a regression target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TargetScalingName {
    /// As it is.
    None,
    /// Mean 0 and standard deviation 1.
    Standard,
}

/// How the parties are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the command line offers these three")]
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
    pub(crate) fn processes(self) -> usize {
        match self.transport {
            Channel::Tls => 3,
            Channel::Memory => 1,
        }
    }

    /// How the parties of a training are joined, such as `3 processes, TLS over Unix sockets`.
    pub(crate) fn of_training(self) -> String {
        self.phrase(if self.processes() == 3 { "3 processes" } else { "3 threads" })
    }

    /// The same of parties that always are threads.
    pub(crate) fn of_threads(self) -> String {
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

impl FromStr for Hidden {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let width = |part: &str| {
            part.trim()
                .parse()
                .map_err(|_| format!("`{}` is no width: give numbers such as 128,128", part.trim()))
        };
        text.split(',').map(width).collect::<Result<_, _>>().map(Self)
    }
}

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
    fn widths_and_ports_are_lists() {
        assert_eq!("".parse(), Ok(Hidden(vec![])));
        assert_eq!("128, 64".parse(), Ok(Hidden(vec![128, 64])));
        assert!("128,x".parse::<Hidden>().is_err());
        assert_eq!("1,2,3".parse(), Ok(Ports([1, 2, 3])));
        for wrong in ["1,2", "1,1,2", "0,1,2", "1,2,70000"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
    }
}
