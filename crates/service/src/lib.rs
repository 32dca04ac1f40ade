//! Three servers as a service: who may speak to a server, and how.
//!
//! People and servers know each other by the fingerprints of their [keys]. A server is [configured](config) by a file
//! that names its two peers and the people it knows; a client by a file that names the [three servers](cluster).
//! [`server::serve`] runs a server; a [client] calls it, over HTTPS with certificates on both sides; [api] is what they say
//! to each other; the [doctor] says whether all is well.
//!
//! An owner [puts](put) a table, described by a [manifest], on [terms] that every server enforces; people [ask all three
//! servers](consult) for the same. What was decided is in each server's [audit] log. People see all this on a [page].

pub mod analyst;
pub mod api;
pub mod audit;
pub mod client;
pub mod cluster;
pub mod config;
pub mod consult;
pub mod doctor;
mod document;
mod error;
pub mod job;
mod key_id;
pub mod keys;
pub mod manifest;
pub mod page;
mod place;
mod predict;
pub mod put;
mod receive;
mod role;
pub mod server;
mod signature;
pub mod terms;
pub mod terms_change;

pub use error::{Cause, Result, ServiceError, Stop};
pub use key_id::KeyId;
pub use place::{NoPlace, Place};
pub use role::{NoRole, Role};
