//! Learning on secret shares: layers, losses, optimisers, metrics, training, and the float twin that checks them.

pub mod plan;
