//! The program `shamisen`: secure deep learning among three parties, from the command line.
//!
//! `share` is the data owner's part: it deals the shares of a table to three directories. `train` and `predict` are the data
//! owner and the launcher in one: they deal the shares of a table, or take those that are there, to three
//! [work directories](workdir), start a [party] in each ([processes](launch) over TLS, or [threads](local) in memory),
//! [watch](supervise) them and put together what they hand back. A party sees its own directory and nothing else, so
//! that three operators on three machines can start it by hand with `shamisen party --dir DIR`.
//!
//! Exit status: 0 for success, 2 for bad input or configuration, 1 for a run that failed, 130 after Ctrl-C.

pub mod args;
pub mod assignment;
pub mod bench;
mod checkpoint;
pub mod choices;
pub mod config;
mod demo;
mod doctor;
pub mod event;
pub mod failure;
mod generate;
mod inspect;
mod interrupt;
pub mod job;
mod keygen;
pub mod launch;
pub mod link;
pub mod local;
mod meter;
pub mod party;
mod predict;
mod progress;
pub mod report;
mod resume;
mod rows;
mod serve;
mod share;
mod store;
pub mod summary;
pub mod supervise;
mod train;
pub mod workdir;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command, PartyArguments};
use crate::failure::{Failure, Result};
use crate::party::End;

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
        Command::Party(party) => run_party(party),
        Command::Keygen(keygen) => keygen::run(keygen),
        Command::Serve(serve) => serve::run(serve),
        Command::Doctor(doctor) => doctor::run(doctor),
    }
}

fn run_party(party: &PartyArguments) -> Result<()> {
    match party::run_process(&party.dir).map_err(|failed| failed.into_failure(party.launched))? {
        End::Finished => Ok(()),
        End::Stopped { .. } if party.launched => Err(Failure::Reported { status: 130 }),
        End::Stopped { epoch, batch } => Err(Failure::Paused(format!(
            "interrupted after epoch {epoch}, mini-batch {batch}; start all three parties again to go on"
        ))),
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
