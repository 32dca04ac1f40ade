//! `bench`: how fast the program, its protocols and its kernels are on this machine.
//!
//! Each sub-command prints a table and, if asked, writes the same figures as JSON; `docs/benchmarks.md` describes both.

pub mod args;
mod case;
mod document;
mod kernels;
mod network;
mod paper;
mod plot;
mod protocols;
mod rates;
mod service;
mod sklearn;
mod standard;
mod table;

use crate::bench::args::BenchCommand;
use crate::failure::Result;
use crate::interrupt;

/// Carries out `bench`.
pub(crate) fn run(command: &BenchCommand, verbose: u8) -> Result<()> {
    interrupt::install();
    match command {
        BenchCommand::Standard(arguments) => standard::run(arguments, verbose),
        BenchCommand::Kernels(arguments) => kernels::run(arguments),
        BenchCommand::Protocols(arguments) => protocols::run(arguments),
        BenchCommand::Network(arguments) => network::run(arguments, verbose),
        BenchCommand::VersusSklearn(arguments) => sklearn::run(arguments, verbose),
        BenchCommand::Paper(arguments) => paper::run(arguments, verbose),
        BenchCommand::Service(arguments) => service::run(arguments),
    }
}
