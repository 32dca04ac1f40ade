//! What a party tells about its work: JSON lines on its standard output.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use shamisen_data::DataError;
use shamisen_mpc::MpcError;
use shamisen_net::{Counters, NetError};
use shamisen_nn::NnError;
use shamisen_nn::metrics::Metrics;

use crate::message::Message;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "the launcher has to handle all of them")]
pub enum Event {
    /// Both peers are there.
    Connected,
    /// Rows of several owners are rescaled before the training begins.
    Rescaled {
        /// The part of them that is done, from 0 to 1.
        part: f64,
    },
    /// Some mini-batches are done.
    Progress(Step),
    /// Something that the user should know, and that keeps nobody from going on: one sentence.
    Warning {
        /// The sentence.
        message: String,
    },
    /// The three have stopped where one of them was asked to, and kept a checkpoint.
    Stopped {
        /// Epoch, from 1.
        epoch: usize,
        /// Mini-batches of this epoch that are done.
        batch: usize,
    },
    /// All is done, and what this party hands over lies in its directory.
    Finished(Box<Outcome>),
    /// The party gives up.
    Failed(Failed),
}

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Current epoch, from 1.
    pub epoch: usize,
    /// Mini-batches of this epoch that are done.
    pub batch: usize,
    /// Mini-batches of an epoch.
    pub batches: usize,
    /// Mean loss since it was last opened, if it was opened in this mini-batch.
    pub loss: Option<f64>,
    /// Bytes that this party has sent so far.
    pub bytes_sent: u64,
}

/// What a party's work gave that is public.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Mean training loss of each epoch.
    pub loss: Vec<f64>,
    /// Mini-batches that were done before: the number of the checkpoint from which this training went on.
    #[serde(default)]
    pub resumed_from: Option<u64>,
    /// Wall time of the training, or of the prediction.
    pub seconds: f64,
    /// Of the evaluation, in the units of the shared targets.
    pub metrics: Option<Metrics>,
    /// Cost of the training, or of the prediction.
    pub cost: Cost,
    /// The part of a training after its first mini-batches, if there are more.
    pub steady: Option<Steady>,
}

/// A training from its 17th mini-batch on: before, ranges are checked and losses opened more often than later.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Steady {
    /// Mini-batches.
    pub batches: usize,
    /// Wall time.
    pub seconds: f64,
    /// What they cost.
    pub cost: Cost,
}

/// What it cost this party.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// By phase.
    pub by_phase: BTreeMap<String, PhaseCost>,
    /// Largest memory of the process so far.
    pub peak_rss_bytes: u64,
}

/// What a phase cost; amounts are whole numbers until they are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseCost {
    /// Wall time in seconds.
    pub seconds: f64,
    /// The part of it spent sending and waiting for peers.
    pub waiting: f64,
    /// The part of that spent encrypting and decrypting.
    pub encryption: f64,
    /// Rounds.
    pub rounds: f64,
    /// Bytes sent to both peers.
    pub bytes_sent: f64,
    /// Words drawn from the pseudo-random generator.
    pub random_words: f64,
    /// Multiply-adds of ring elements in matrix products.
    pub multiply_adds: f64,
}

impl Cost {
    /// What was spent between two states of a session's counters.
    pub(crate) fn between(before: &Counters, now: &Counters) -> Self {
        let mut by_phase = BTreeMap::new();
        for (phase, cost) in &now.by_phase {
            let earlier = before.by_phase.get(phase).copied().unwrap_or_default();
            let traffic = cost.traffic - earlier.traffic;
            let spent = PhaseCost {
                seconds: cost.seconds - earlier.seconds,
                waiting: cost.waiting - earlier.waiting,
                encryption: cost.encryption - earlier.encryption,
                rounds: traffic.rounds as f64,
                bytes_sent: traffic.sent() as f64,
                random_words: (cost.work.random_words - earlier.work.random_words) as f64,
                multiply_adds: (cost.work.multiply_adds - earlier.work.multiply_adds) as f64,
            };
            if spent.seconds > 0.0 {
                by_phase.insert((*phase).to_owned(), spent);
            }
        }
        Self { by_phase, peak_rss_bytes: 0 }
    }

    /// All phases together.
    pub fn total(&self) -> PhaseCost {
        let mut total = PhaseCost::default();
        self.by_phase.values().for_each(|cost| total += *cost);
        total
    }
}

impl PhaseCost {
    /// Each part times `factor`.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            seconds: self.seconds * factor,
            waiting: self.waiting * factor,
            encryption: self.encryption * factor,
            rounds: self.rounds * factor,
            bytes_sent: self.bytes_sent * factor,
            random_words: self.random_words * factor,
            multiply_adds: self.multiply_adds * factor,
        }
    }
}

impl AddAssign for PhaseCost {
    fn add_assign(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.waiting += other.waiting;
        self.encryption += other.encryption;
        self.rounds += other.rounds;
        self.bytes_sent += other.bytes_sent;
        self.random_words += other.random_words;
        self.multiply_adds += other.multiply_adds;
    }
}

/// Why a party gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The kind of reason.
    pub cause: Cause,
    /// One sentence.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of reasons, the most telling first: later ones are often the consequence of an earlier one elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "the launcher has to handle all of them")]
pub enum Cause {
    /// The process ended without a word; only a launcher says this.
    Died,
    /// Files or configuration.
    Input,
    /// The disk is full.
    Disk,
    /// The party's own port is taken.
    PortInUse,
    /// A value left the range of the fixed-point numbers, as all three parties see.
    Range,
    /// The operating system failed the party.
    System,
    /// A peer is not the pinned one, or wants something else.
    Refused,
    /// A peer sent something else than the protocol says.
    Misbehaved,
    /// A peer is gone.
    Disconnected,
    /// A peer is silent, or was never there.
    Silent,
}

impl Cause {
    /// Whether the reason probably lies with another party, which will say more.
    pub fn is_consequence(self) -> bool {
        self >= Self::Refused
    }

    /// Whether the user can mend it.
    pub fn is_input(self) -> bool {
        matches!(self, Self::Input | Self::Disk | Self::PortInUse)
    }
}

impl Failed {
    /// A failure from a text that may have a line `hint: ...`.
    pub fn new(cause: Cause, text: impl Into<String>) -> Self {
        let Message { text: message, hint } = Message::new(text);
        Self { cause, message, hint }
    }

    /// What the user is told.
    pub fn into_message(self) -> Message {
        Message { text: self.message, hint: self.hint }
    }
}

impl From<DataError> for Failed {
    fn from(error: DataError) -> Self {
        Self::new(cause_of(&error), error.to_string())
    }
}

fn cause_of(error: &DataError) -> Cause {
    match error {
        DataError::Randomness { .. } => Cause::System,
        DataError::DiskFull { .. } => Cause::Disk,
        _ => Cause::Input,
    }
}

impl From<NetError> for Failed {
    fn from(error: NetError) -> Self {
        let cause = match &error {
            NetError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Cause::PortInUse
            }
            NetError::Listen { .. } | NetError::Identity { .. } => Cause::Input,
            NetError::WrongKey { .. } | NetError::Handshake { .. } => Cause::Refused,
            NetError::Disconnected { .. } | NetError::BothDisconnected { .. } | NetError::Io { .. } => {
                Cause::Disconnected
            }
            NetError::Timeout { .. } | NetError::Connect { .. } | NetError::NoCall { .. } => Cause::Silent,
            _ => Cause::Misbehaved,
        };
        Self::new(cause, error.to_string())
    }
}

impl From<MpcError> for Failed {
    fn from(error: MpcError) -> Self {
        match error {
            MpcError::Network(error) => error.into(),
            other => Self::new(Cause::System, other.to_string()),
        }
    }
}

impl From<NnError> for Failed {
    fn from(error: NnError) -> Self {
        if let NnError::Protocol(error) = error {
            return error.into();
        }
        let cause = match &error {
            NnError::Rows(source) | NnError::Checkpoint(source) => {
                source.downcast_ref().map_or(Cause::Input, cause_of)
            }
            NnError::Plan(_) => Cause::Input,
            NnError::Range { .. } | NnError::PredictionRange(_) => Cause::Range,
            _ => Cause::System,
        };
        Self::new(cause, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_one_line_and_come_back() {
        let outcome = Outcome { loss: vec![0.5, f64::NAN], seconds: 1.25, ..Outcome::default() };
        for event in [
            Event::Connected,
            Event::Warning { message: "damaged".to_owned() },
            Event::Rescaled { part: 0.25 },
            Event::Stopped { epoch: 2, batch: 16 },
            Event::Progress(Step { epoch: 1, batch: 2, batches: 3, loss: None, bytes_sent: 4 }),
            Event::Failed(Failed::new(Cause::Range, "too large\nhint: scale")),
        ] {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'), "{line}");
            let back: Event = serde_json::from_str(&line).unwrap();
            assert_eq!(format!("{event:?}"), format!("{back:?}"));
        }
        // JSON has no NaN: the line is an error, and not a wrong number.
        let line = serde_json::to_string(&Event::Finished(Box::new(outcome))).unwrap();
        assert!(serde_json::from_str::<Event>(&line).is_err());
    }

    #[test]
    fn a_hint_is_split_off() {
        let failed = Failed::new(Cause::Range, "too large\nhint: scale");
        assert_eq!((failed.message.as_str(), failed.hint.as_deref()), ("too large", Some("scale")));
        assert_eq!(failed.into_message(), Message::new("too large\nhint: scale"));
    }
}
