//! The whole program: its command line, three processes over TLS, and everything that can go wrong around them.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod bad_input;
mod bench;
mod checkpoint;
mod columns;
mod data_sets;
mod demo;
mod faults;
mod garbage;
mod jobs;
mod live;
mod lost;
mod model;
mod owners;
mod parquet;
mod proxy;
mod sameness;
mod service;
mod share;
mod strangers;
mod support;
mod three;
mod train;
mod uploads;
