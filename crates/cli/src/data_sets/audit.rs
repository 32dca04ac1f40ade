//! `audit verify`: whether the servers' audit logs are what they were, and agree.

use std::fmt::Write;

use shamisen_service::consult::{self, Audit};

use crate::data_sets::args::{AuditArguments, AuditCommand, ClusterArguments, VerifyArguments};
use crate::data_sets::{Asker, printable};
use crate::failure::{Failure, Result};
use crate::interrupt;

/// Carries out `audit`.
pub(crate) fn run(arguments: &AuditArguments) -> Result<()> {
    interrupt::install();
    match &arguments.command {
        AuditCommand::Verify(VerifyArguments { log: Some(log), .. }) => {
            let account = consult::audit_file(log)?;
            crate::print(&format!("{} entries, and each follows the one before\n", account.len()))
        }
        AuditCommand::Verify(VerifyArguments { cluster: Some(cluster), key: Some(key), .. }) => {
            let asker = Asker::read(&ClusterArguments { cluster: cluster.clone(), key: key.clone() })?;
            let audit = consult::audit(&asker.cluster, &asker.identity)?;
            crate::print(&text(&audit))?;
            // What is wrong is in the text.
            if audit.is_well() { Ok(()) } else { Err(Failure::Reported { status: 2 }) }
        }
        AuditCommand::Verify(_) => {
            Err(Failure::input("give --log, or --cluster with --key: see shamisen audit verify --help"))
        }
    }
}

fn text(audit: &Audit) -> String {
    let mut text = String::new();
    for (party, log) in audit.logs.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = match log {
            Ok(account) => {
                let seen = if account.is_partial() { ", of which you may see a part" } else { "" };
                let entries = account.len();
                let others = audit.logs.iter().flatten();
                let witnessed = match others.filter_map(|other| other.witness_of(party)).max() {
                    Some(seq) => format!("the others have noted it up to entry {seq}"),
                    None => "the others have not noted it yet".to_owned(),
                };
                writeln!(
                    text,
                    "ok     server {party}  {entries} entries{seen}; each follows the one before; {witnessed}"
                )
            }
            Err(problem) => writeln!(text, "wrong  server {party}  {}", printable(problem)),
        };
    }
    for contradiction in &audit.contradictions {
        let _ = writeln!(text, "wrong  {}", printable(contradiction));
    }
    let whole = audit.logs.iter().all(core::result::Result::is_ok);
    text.push_str(if audit.is_well() {
        "the three logs are whole, and agree\n"
    } else if whole {
        "the logs contradict each other\n"
    } else {
        "a log cannot be read or is not what it was\n"
    });
    text
}
