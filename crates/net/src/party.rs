//! The three parties and values that exist once per peer.

use core::fmt;

/// One of the three parties, P0, P1 or P2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party(u8);

impl Party {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self(0), Self(1), Self(2)];

    /// The party of this number, if it is 0, 1 or 2.
    pub fn new(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// Its number: 0, 1 or 2.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The party after this one; P0 follows P2.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1) % 3)
    }

    /// The party before this one; P2 precedes P0.
    #[must_use]
    pub fn prev(self) -> Self {
        Self((self.0 + 2) % 3)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {}", self.0)
    }
}

/// One value for each of the two peers of a party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peers<T> {
    /// For the party after this one.
    pub next: T,
    /// For the party before this one.
    pub prev: T,
}
