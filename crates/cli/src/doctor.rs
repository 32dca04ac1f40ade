//! `doctor`: whether three servers are as they should be.

use std::fmt::Write;

use shamisen_service::api::{Check, Verdict};
use shamisen_service::cluster::Cluster;
use shamisen_service::config::ServerConfig;
use shamisen_service::{doctor, keys};

use crate::args::DoctorArguments;
use crate::failure::{Failure, Result};
use crate::interrupt;

/// Carries out `doctor`.
pub(crate) fn run(arguments: &DoctorArguments) -> Result<()> {
    interrupt::install();
    let checks = match (&arguments.config, &arguments.cluster, &arguments.key) {
        (Some(config), _, _) => doctor::look_from_server(&ServerConfig::read(config)?)?,
        (None, Some(cluster), Some(key)) => {
            doctor::look_at_cluster(&Cluster::read(cluster)?, &keys::read(key)?)?
        }
        _ => {
            return Err(Failure::input("give --config, or --cluster with --key: see shamisen doctor --help"));
        }
    };
    crate::print(&text(&checks))?;
    // What is wrong is in the table.
    if doctor::is_well(&checks) { Ok(()) } else { Err(Failure::Reported { status: 2 }) }
}

/// A table of what was looked at, with a sentence what to do below what is not as it should be.
fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Wrong => "wrong",
        };
        let subject = match check.from {
            Some(from) => format!("server {from} to server {}", check.server),
            None => format!("server {}", check.server),
        };
        let (topic, finding) = (printable(&check.topic), printable(&check.finding));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{verdict:<6} {subject:<21} {topic:<9} {finding}");
        if let Some(advice) = &check.advice {
            let _ = writeln!(text, "{:38} -> {}", "", printable(advice));
        }
    }
    let wrong = checks.iter().filter(|check| check.verdict == Verdict::Wrong).count();
    let _ = match wrong {
        0 => writeln!(text, "all is well"),
        1 => writeln!(text, "1 thing is wrong"),
        more => writeln!(text, "{more} things are wrong"),
    };
    text
}

/// A server's words, without what a terminal would take for a command.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, verdict: &str, advice: &str) -> Check {
        let text = format!(
            r#"{{{from} "server": 1, "topic": "clock", "verdict": "{verdict}", "finding": "found\u001b[2J"{advice}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_is_wrong_has_a_line_that_says_what_to_do() {
        let checks = [check("", "ok", ""), check(r#""from": 0,"#, "wrong", r#", "advice": "set it""#)];
        assert_eq!(
            text(&checks),
            "ok     server 1              clock     found [2J\n\
             wrong  server 0 to server 1  clock     found [2J\n\
             \u{20}                                      -> set it\n\
             1 thing is wrong\n"
        );
        assert!(text(&checks[..1]).ends_with("all is well\n"));
    }
}
