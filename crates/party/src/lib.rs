//! One of the three parties: it reads its own directory, meets its two peers, and does its part of a job.
//!
//! A party's [directory](PartyDir) holds the public [job](assignment), the same at all three, the [addresses](config) and pinned
//! keys of its peers, and its own share files. It sees nothing else. While it works it tells [events](event), which are
//! public; what it hands over afterwards, its shares of a model or of predictions, lies in its directory. A training can
//! keep [checkpoints](checkpoint), from which the three go on after one of them was lost.
//!
//! Whoever runs parties, three on one machine or one as a service, decides when they stop and who reads their events.

pub mod assignment;
pub mod checkpoint;
pub mod config;
pub mod event;
pub mod handover;
mod message;
mod meter;
mod pool;
pub mod process;
mod rows;
mod source;
pub mod tables;
mod work;

pub use message::Message;
pub use pool::STATISTICS_FILE;
pub use rows::Part;
pub use work::{End, MODEL_SHARE_FILE, PREDICTIONS_FILE, PartyDir, START_SHARE_FILE, boxed, work};
