//! The whole program: its command line, three processes over TLS, and everything that can go wrong around them.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod bad_input;
mod bench;
mod checkpoint;
mod columns;
mod data_sets;
mod demo;
mod jobs;
mod live;
mod lost;
mod model;
mod owners;
mod parquet;
mod service;
mod share;
mod support;
mod three;
mod train;
mod uploads;
