//! What two parties tell each other first, to see whether they want the same.
//!
//! Each sends a hello, then a verdict on the other's hello, so that both know why it did not work.
//!
//! | bytes of a hello | content |
//! |---|---|
//! | 0..8 | `SHAMISEN` |
//! | 8..12 | version of the protocol, little-endian |
//! | 12 | number of the sender |
//! | 13 | number of the party that the sender takes the receiver for |
//! | 14 | number of the connection between the two, from 0; 0 from the party that was called |
//! | 15 | number of connections between the two |
//! | 16..48 | hash of the job |
//!
//! A verdict is one byte: 0 for agreement, otherwise the number of the [`Objection`]. The first 12 bytes of a
//! hello, its length and the verdict never change, so that versions can tell each other apart.

use core::num::NonZeroU8;

use crate::{NetError, Party};

/// Version of everything that is sent between the parties below the protocols themselves.
const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"SHAMISEN";

/// What a party says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    magic: [u8; 8],
    version: u32,
    sender: u8,
    receiver: u8,
    lane: u8,
    lanes: u8,
    job: [u8; 32],
}

impl Hello {
    /// Length of an encoded hello in bytes.
    pub(super) const LEN: usize = 48;

    /// The hello of `sender` to `receiver`, about a job with this hash, on the first of so many connections.
    pub(super) fn new(sender: Party, receiver: Party, lanes: NonZeroU8, job: [u8; 32]) -> Self {
        Self {
            magic: MAGIC,
            version: VERSION,
            sender: sender.index() as u8,
            receiver: receiver.index() as u8,
            lane: 0,
            lanes: lanes.get(),
            job,
        }
    }

    /// The same on the connection of this number.
    pub(super) fn on_lane(self, lane: u8) -> Self {
        Self { lane, ..self }
    }

    /// Number of the connection that the sender asks for.
    pub(super) fn lane(&self) -> u8 {
        self.lane
    }

    /// Decodes a hello; any content is possible.
    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let (mut magic, mut version, mut job) = ([0; 8], [0; 4], [0; 32]);
        magic.copy_from_slice(&bytes[..8]);
        version.copy_from_slice(&bytes[8..12]);
        job.copy_from_slice(&bytes[16..]);
        let [sender, receiver, lane, lanes] = [12, 13, 14, 15].map(|at| bytes[at]);
        Self { magic, version: u32::from_le_bytes(version), sender, receiver, lane, lanes, job }
    }

    /// Encodes the hello.
    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.magic);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12] = self.sender;
        bytes[13] = self.receiver;
        bytes[14] = self.lane;
        bytes[15] = self.lanes;
        bytes[16..].copy_from_slice(&self.job);
        bytes
    }

    /// What the sender of this hello has to object to the answer of the other end.
    pub(super) fn objection(&self, answer: &Self) -> Option<Objection> {
        if answer.magic != self.magic {
            Some(Objection::Magic)
        } else if answer.version != self.version {
            Some(Objection::Version)
        } else if answer.sender != self.receiver {
            Some(Objection::Sender)
        } else if answer.receiver != self.sender {
            Some(Objection::Receiver)
        } else if answer.lanes != self.lanes || answer.lane >= self.lanes {
            Some(Objection::Lanes)
        } else if answer.job != self.job {
            Some(Objection::Job)
        } else {
            None
        }
    }
}

/// Why a party does not want to work with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// The peer is something else altogether.
    Magic,
    /// The peer has another version.
    Version,
    /// The peer is, by its own account, another party than its certificate says.
    Sender,
    /// The peer takes this party for another.
    Receiver,
    /// The peer runs another job.
    Job,
    /// The peer wants another number of connections.
    Lanes,
}

impl Objection {
    const ALL: [Self; 6] = [Self::Magic, Self::Version, Self::Sender, Self::Receiver, Self::Job, Self::Lanes];

    /// Encodes a verdict.
    pub(super) fn to_verdict(objection: Option<Self>) -> u8 {
        let number = Self::ALL.iter().position(|known| Some(*known) == objection);
        number.map_or(0, |number| number as u8 + 1)
    }

    /// The error of a party that objects to the hello of `peer`.
    pub(super) fn error(self, peer: Party, own: &Hello, answer: &Hello) -> NetError {
        let reason = match self {
            Self::Magic => "it is no party of Shamisen: check its address".into(),
            Self::Version => format!(
                "it speaks version {} of the protocol, this party version {}: install the same release on both",
                answer.version, own.version
            ),
            Self::Sender => format!(
                "its certificate is pinned for {peer}, but it says that it is party {}: check the party numbers on both sides",
                answer.sender
            ),
            Self::Receiver => format!(
                "it takes this party for party {}, but this is party {}: check the party numbers on both sides",
                answer.receiver, own.sender
            ),
            Self::Job => format!(
                "it runs another job ({}, this party {}): start the same job on both",
                short_hex(&answer.job),
                short_hex(&own.job)
            ),
            Self::Lanes => format!(
                "it works with {}, this party with {}: give the same number at all three",
                threads(answer.lanes),
                threads(own.lanes)
            ),
        };
        NetError::Handshake { peer, reason }
    }

    /// The error of a party that has nothing to object to, but whose peer has.
    pub(super) fn error_of_verdict(verdict: u8, peer: Party) -> Option<NetError> {
        let objection = usize::from(verdict).checked_sub(1)?;
        let reason = match Self::ALL.get(objection) {
            Some(Self::Magic | Self::Version) => "it has another version: install the same release on both",
            Some(Self::Sender | Self::Receiver) => {
                "it expects another party here: check the party numbers on both sides"
            }
            Some(Self::Job) => "it runs another job: start the same job on both",
            Some(Self::Lanes) => "it works with another number of threads: give the same number at all three",
            None => {
                "it refused for a reason that this version does not know: install the same release on both"
            }
        };
        Some(NetError::Handshake { peer, reason: reason.into() })
    }
}

/// A number of connections in the words of the user, who chooses how many threads use one each.
fn threads(lanes: u8) -> String {
    format!("{lanes} thread{}", if lanes == 1 { "" } else { "s" })
}

/// The first bytes of a hash, enough to tell two apart.
fn short_hex(hash: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = hash;
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// Judges a hello, and the verdict that comes with it.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    if let Some((head, rest)) = bytes.split_first_chunk() {
        let [own, peer] = [Party::ALL[0], Party::ALL[2]];
        let (hello, answer) = (Hello::new(own, peer, NonZeroU8::MIN, [7; 32]), Hello::from_bytes(head));
        assert_eq!(answer.to_bytes(), *head);
        if let Some(objection) = hello.objection(&answer) {
            drop(objection.error(peer, &hello, &answer).to_string());
        }
        drop(Objection::error_of_verdict(rest.first().copied().unwrap_or(0), peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Party = Party::ALL[0];
    const PEER: Party = Party::ALL[2];

    const LANES: NonZeroU8 = NonZeroU8::MIN.saturating_add(1);

    fn own() -> Hello {
        Hello::new(OWN, PEER, LANES, [7; 32])
    }

    fn answer() -> Hello {
        Hello::new(PEER, OWN, LANES, [7; 32]).on_lane(1)
    }

    #[test]
    fn bytes_round_trip() {
        let hello = Hello { version: 0x0102_0304, job: core::array::from_fn(|i| i as u8), ..own() };
        assert_eq!(Hello::from_bytes(&hello.to_bytes()), hello);
    }

    #[test]
    fn agreeing_parties_object_to_nothing() {
        assert_eq!(own().objection(&answer()), None);
        assert_eq!(answer().objection(&own()), None);
        assert!(Objection::error_of_verdict(Objection::to_verdict(None), PEER).is_none());
    }

    #[test]
    fn every_difference_is_named_on_both_sides() {
        let cases = [
            (
                Hello { magic: *b"HTTP/1.1", ..answer() },
                "it is no party of Shamisen",
                "it has another version",
            ),
            (Hello { version: 3, ..answer() }, "it speaks version 3", "it has another version"),
            (Hello { sender: 1, ..answer() }, "it says that it is party 1", "it expects another party"),
            (
                Hello { receiver: 1, ..answer() },
                "it takes this party for party 1",
                "it expects another party",
            ),
            (
                Hello { lanes: 1, ..answer() },
                "it works with 1 thread, this party with 2 threads",
                "it works with another number of threads",
            ),
            (
                answer().on_lane(2),
                "it works with 2 threads, this party with 2 threads",
                "it works with another number of threads",
            ),
            (Hello { job: [9; 32], ..answer() }, "(09090909, this party 07070707)", "it runs another job"),
        ];
        for (answer, here, there) in cases {
            let objection = own().objection(&answer).expect("differs");
            let error = objection.error(PEER, &own(), &answer).to_string();
            assert!(error.contains(here) && error.contains("party 2"), "{error}");
            let verdict = Objection::to_verdict(Some(objection));
            let error = Objection::error_of_verdict(verdict, OWN).expect("an error").to_string();
            assert!(error.contains(there) && error.contains("party 0"), "{error}");
        }
        assert!(Objection::error_of_verdict(200, OWN).is_some());
    }
}
