//! Learning on secret shares: layers, losses, optimisers, metrics, training, and the float twin that checks them.

pub mod checkpoint;
mod error;
pub mod estimate;
pub mod evaluate;
pub mod examples;
pub mod formats;
pub mod init;
pub mod metrics;
mod optimizer;
pub mod order;
pub mod perceptron;
pub mod plan;
pub mod train;
pub mod twin;

pub use error::{NnError, Result};
