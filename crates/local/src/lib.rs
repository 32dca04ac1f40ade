//! Three parties on one machine, and the owner of the data in one: it shares a table, starts the parties, watches them and puts
//! together what they hand back.
//!
//! [`train`](train::train) and [`predict`](predict::SharedModel::predict) deal the shares of a table, or take those that are there, to
//! three [work directories](workdir), start a party in each ([processes](launch) over TLS, or threads in memory) and
//! [watch](supervise) them. [`share`] only deals, and [`estimate`](mod@estimate) tells beforehand what a training will cost. Whoever calls is told how far they are ([`Progress`]), and can ask them to stop
//! ([`interrupt`]).

pub mod dataset;
pub mod estimate;
mod failure;
pub mod interrupt;
pub mod job;
pub mod launch;
pub mod link;
pub mod open;
pub mod parties;
pub mod predict;
mod progress;
pub mod report;
pub mod resume;
pub mod share;
pub mod store;
pub mod supervise;
mod threads;
pub mod train;
pub mod transport;
pub mod workdir;

pub use failure::{Failure, Result};
pub use progress::Progress;
