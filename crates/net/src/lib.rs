//! Bytes between the three parties: transports in memory and over mutual TLS, with counters and deadlines.

mod party;

pub use party::{Party, Peers};
