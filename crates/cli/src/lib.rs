//! The program `shamisen`: secure deep learning among three parties, from the command line.
//!
//! The commands read their arguments, let the crates `local` and `service` do the work, show how far it is, and print what came of
//! it. What the program alone has is the [benchmarks](mod@bench).
//!
//! Exit status: 0 for success, 2 for bad input or configuration, 1 for a run that failed, 130 after Ctrl-C.

pub mod args;
pub mod bench;
pub mod choices;
pub mod columns;
pub mod data_sets;
mod demo;
mod doctor;
pub mod failure;
mod generate;
mod inspect;
mod interrupt;
pub mod job;
mod keygen;
mod models;
mod page;
mod party;
mod predict;
mod progress;
mod serve;
mod share;
mod submit;
pub mod summary;
mod train;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command};
use crate::failure::{Failure, Result};

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging(&arguments);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.status())
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        Command::Demo(demo) => demo::run(demo, arguments.verbose),
        Command::Train(train) => train::run(train, arguments.verbose),
        Command::Share(share) => share::run(share),
        Command::Predict(predict) => predict::run(predict, arguments.verbose),
        Command::Inspect(inspect) => inspect::run(inspect),
        Command::Generate(generate) => generate::run(generate),
        Command::Bench(bench) => bench::run(&bench.command, arguments.verbose),
        Command::Party(party) => party::run(party),
        Command::Keygen(keygen) => keygen::run(keygen),
        Command::Serve(serve) => serve::run(serve),
        Command::Doctor(doctor) => doctor::run(doctor),
        Command::Page(page) => page::run(page),
        Command::Put(put) => data_sets::put(put),
        Command::List(list) => data_sets::list(list),
        Command::Terms(set) => data_sets::terms(set),
        Command::Revoke(set) => data_sets::revoke(set),
        Command::Audit(audit) => data_sets::audit(audit),
        Command::Submit(submit) => submit::run(submit),
        Command::Jobs(jobs) => watch::list(jobs),
        Command::Watch(job) => watch::run(job),
        Command::Cancel(job) => watch::cancel(job),
        Command::Logs(job) => watch::logs(job),
        Command::Models(arguments) => models::list(arguments),
        Command::Export(export) => models::export(export),
    }
}

/// Logs go to the standard error: as much as `RUST_LOG` says, otherwise as much as the flags say.
fn start_logging(arguments: &Arguments) {
    let launched = matches!(&arguments.command, Command::Party(party) if party.launched);
    // What a server does is read when something happened, not while it is done.
    let serves = matches!(&arguments.command, Command::Serve(_));
    let level = match arguments.verbose.saturating_add(u8::from(serves)) {
        0 if launched => "error",
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}

/// Writes to the standard output. A reader that went away, such as `head`, is no error.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::run(format!("cannot write to the standard output: {error}")))
        }
        _ => Ok(()),
    }
}
