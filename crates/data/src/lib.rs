//! Tables in and out: CSV, NPY, NPZ, Parquet and IDX files, scaling, share files and model files.
//!
//! Nothing here talks to a network. Whoever owns data reads it (`csv`, [`npy`], [`npz`], `parquet`, `arrow`, `idx`, [`images`], [`sql`]), makes inputs of its
//! [`columns`], scales and splits it ([`survey`], [`prepare`]), and deals share files to three directories ([`dataset`],
//! [`shares`]). A server opens its own share file and
//! gathers rows from it; whoever orders a training keeps the outcome in a model directory ([`model`]).
//! A model that was revealed is an [`open_model`], in formats that others read.
//! What a server must keep to go on with a training is a [`checkpoint`]. Share files of others are [`encrypted`] on its disk.
//!
//! Every error is a [`DataError`], whose message says what is wrong, where, why, and what to do.

pub mod checkpoint;
pub mod columns;
pub mod dataset;
pub mod encrypted;
mod error;
pub mod generate;
pub mod images;
pub mod model;
pub mod npy;
pub mod npz;
pub mod open_model;
pub mod output;
pub mod prepare;
pub mod scaling;
pub mod sealed;
pub mod shared_scaling;
pub mod shares;
pub mod sql;
pub mod survey;
pub mod table;

mod arrow;
mod atomic;
#[cfg(feature = "_columnar")]
mod cells;
mod classes;
mod container;
mod csv;
#[cfg(test)]
mod damage;
mod dates;
mod found;
mod idx;
mod numbers;
mod parquet;
mod pipeline;
mod source;
mod split;
mod statistics;

pub use error::{DataError, Place, Result};
