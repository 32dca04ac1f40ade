//! Choices of a job by the names that people write on the command line and in job files.

use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Widths of the hidden layers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Vec<usize>);

/// Ports of the three parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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
#[expect(clippy::exhaustive_enums, reason = "the command line offers these two")]
pub enum TransportName {
    /// Three processes over TLS.
    Tls,
    /// Three threads in memory.
    Memory,
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
