//! A party in a process of its own, as whoever starts it sees it.
//!
//! The program `shamisen party --dir DIR --launched` writes the party's events to its standard output, a JSON object a line, and
//! ends when its standard input does: it does not outlive the one who started it.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{env, io};

use crate::event::{Cause, Event, Failed};

/// How to start the party of a directory by the program `shamisen`, which must be this file.
///
/// Standard input and output are pipes. A signal that the terminal sends to the caller does not reach the party.
pub fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("party")
        .arg("--dir")
        .arg(dir)
        .arg("--launched")
        .envs(allocator_settings())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
    command
}

/// The file of the program that runs. If it was replaced or removed meanwhile, the one that runs all the same, where the system has
/// `/proc`.
///
/// # Errors
///
/// If the system does not tell.
pub fn own_program() -> io::Result<PathBuf> {
    let path = env::current_exe()?;
    Ok(if path.exists() { path } else { PathBuf::from("/proc/self/exe") })
}

/// What tells the C library of a party to put its vectors on huge pages, unless the user tells it something else.
///
/// A mini-batch works on vectors of a megabyte all over, more than the processor has addresses of small pages for: it takes 4 to 8 %
/// less time with huge ones (2026-11-26, Intel Xeon, the standard case). Other C libraries and older versions of this one ignore it.
fn allocator_settings() -> Option<(&'static str, &'static str)> {
    const SETTINGS: &str = "GLIBC_TUNABLES";
    env::var_os(SETTINGS).is_none().then_some((SETTINGS, "glibc.malloc.hugetlb=1"))
}

/// The event in a line of a party's standard output; a failure if there is none.
pub fn event(party: usize, line: &str) -> Event {
    serde_json::from_str(line).unwrap_or_else(|error| {
        let text = format!("party {party} reported something that makes no sense ({error})");
        Event::Failed(Failed::new(Cause::Died, text))
    })
}

/// What is known of a party whose process ended without success.
pub fn end(party: usize, status: ExitStatus) -> Option<Failed> {
    let text = match (status.signal(), status.code()) {
        (None, Some(0)) => return None,
        (Some(signal), _) => format!("party {party} was killed by signal {signal}{}", signal_name(signal)),
        (None, Some(101)) => format!("party {party} panicked, which is a bug of shamisen: please report it"),
        (None, code) => format!("party {party} ended with status {}", code.unwrap_or_default()),
    };
    Some(Failed::new(Cause::Died, text))
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (abort)",
        7 => " (bus error)",
        9 => " (SIGKILL: by hand, or because memory ran out)",
        11 => " (segmentation fault)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
