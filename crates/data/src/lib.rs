//! Tables in and out: CSV and IDX files, scaling, share files and model files.
//!
//! Nothing here talks to a network. Whoever owns data reads it ([`csv`], [`idx`]), scales and splits it
//! ([`prepare`]), and deals share files to three directories ([`shares`]). A server opens its own share file and
//! gathers rows from it; whoever orders a training keeps the outcome in a model directory ([`model`]).
//!
//! Every error is a [`DataError`], whose message says what is wrong, where, why, and what to do.

pub mod csv;
mod error;
pub mod idx;
pub mod model;
pub mod output;
pub mod prepare;
pub mod scaling;
pub mod shares;
pub mod table;

mod atomic;
mod container;
#[cfg(test)]
mod damage;
mod sealed;
mod split;

pub use error::{DataError, Place, Result};
