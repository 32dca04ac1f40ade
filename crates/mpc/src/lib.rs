//! Replicated secret sharing among three parties and its protocols.
//!
//! A value `x` of `Z_2^64` is split into three components, `x = x_0 + x_1 + x_2`; party `i` holds `(x_i, x_{i+1})`.
//! Every protocol is a blocking function on whole vectors: data first, the [`Session`] last, a fixed number of
//! rounds. Module [`protocol`] has one file per family; each function says who holds what, what it costs and why it
//! is secure against one semi-honest party.

mod error;
pub mod lanes;
pub mod protocol;
mod roles;
mod session;
mod share;

pub use error::{MpcError, Result};
pub use lanes::Lanes;
pub use session::{Session, SessionKeys};
pub use share::{Additive, Bits, Rep, RepMut};
