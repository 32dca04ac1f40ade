//! What somebody is to a server.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the holder of a key is to a server, and may ask of it.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// One of the three servers.
    Server,
    /// Has data, and sets terms for it.
    Owner,
    /// Orders trainings and predictions.
    Analyst,
    /// Runs a server.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Server, Self::Owner, Self::Analyst, Self::Operator];

    /// Its name in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Owner => "owner",
            Self::Analyst => "analyst",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is the name of no [`Role`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no role: the roles are server, owner, analyst and operator")]
pub struct NoRole {
    name: String,
}

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| NoRole { name: text.to_owned() })
    }
}
