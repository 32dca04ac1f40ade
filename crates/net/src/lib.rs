//! Bytes between the three parties: transports in memory and over mutual TLS, with counters and deadlines.
//!
//! A [`Transport`] moves opaque messages between one [`Party`] and its two [`Peers`], one round at a time.
//! There are two of them: [`memory`] for three threads of one process, and [`tls`] for three machines. Two
//! more wrap any transport: [`throttled`] imitates a slower network and [`recording`] keeps what a party
//! received. Protocols hold a [`Network`], which sends words instead of bytes and counts [rounds and
//! bytes](Counters).

mod counters;
mod error;
mod frame;
pub mod memory;
mod network;
mod party;
pub mod recording;
pub mod throttled;
pub mod tls;
mod transport;

pub use counters::{Counters, PhaseCost, Traffic, Work};
pub use error::NetError;
#[cfg(fuzzing)]
pub use frame::fuzz as fuzz_frame;
pub use network::Network;
pub use party::{Party, Peers};
pub use transport::Transport;
