//! Choices of a job by the names that people write on the command line and in job files.

use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::{Deserialize, Serialize};
use shamisen_local::transport::TransportName;

/// Widths of the hidden layers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Vec<usize>);

/// The size of images, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSize {
    /// Of a row.
    pub width: u32,
    /// Of a column.
    pub height: u32,
}

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sizes = text
            .split_once('x')
            .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
        match sizes {
            Some((width, height)) if width > 0 && height > 0 => Ok(Self { width, height }),
            _ => Err(format!("`{text}` is no size: give width and height such as 28x28")),
        }
    }
}

impl TryFrom<String> for ImageSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ImageSize> for String {
    fn from(ImageSize { width, height }: ImageSize) -> Self {
        format!("{width}x{height}")
    }
}

/// Reads how the parties are joined.
pub fn transport_parser() -> impl TypedValueParser<Value = TransportName> {
    let value = |name: TransportName| PossibleValue::new(name.name()).help(name.help());
    PossibleValuesParser::new(TransportName::ALL.map(value)).try_map(|name| name.parse())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_two_numbers() {
        assert_eq!("28x30".parse(), Ok(ImageSize { width: 28, height: 30 }));
        for text in ["28", "0x3", "28x", "axb", "-1x2"] {
            assert!(text.parse::<ImageSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn widths_are_a_list() {
        assert_eq!("".parse(), Ok(Hidden(vec![])));
        assert_eq!("128, 64".parse(), Ok(Hidden(vec![128, 64])));
        assert!("128,x".parse::<Hidden>().is_err());
    }
}
