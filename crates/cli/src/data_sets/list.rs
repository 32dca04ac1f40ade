//! `list`: the data sets that somebody may know of, and the own uploads that are under way.

use std::collections::BTreeMap;
use std::fmt::Write;

use shamisen_service::Role;
use shamisen_service::api::WhoAmI;
use shamisen_service::api::data::{DataSetInfo, UploadStatus};

use crate::data_sets::args::ListArguments;
use crate::data_sets::{Asker, printable};
use crate::failure::Result;
use crate::interrupt;
use crate::summary::grouped;

/// Carries out `list`.
pub(crate) fn run(arguments: &ListArguments) -> Result<()> {
    interrupt::install();
    let asker = Asker::read(&arguments.servers)?;
    let at = asker.all::<Vec<DataSetInfo>>("/v1/datasets")?;
    let who = asker.all::<WhoAmI>("/v1/whoami")?;
    let is_owner = who.iter().all(|who| who.role == Role::Owner);
    let under_way = if is_owner { asker.under_way()? } else { Default::default() };
    crate::print(&text(&at, &under_way))
}

fn text(at: &[Vec<DataSetInfo>; 3], under_way: &[Vec<UploadStatus>; 3]) -> String {
    let mut sets: BTreeMap<(&str, &str), Vec<(usize, &DataSetInfo)>> = BTreeMap::new();
    for (party, list) in at.iter().enumerate() {
        for set in list {
            sets.entry((&set.name, &set.id)).or_default().push((party, set));
        }
    }
    let mut text = String::new();
    for ((name, id), found) in &sets {
        let Some((_, set)) = found.first() else { continue };
        let parties: Vec<usize> = found.iter().map(|(party, _)| *party).collect();
        let note = if parties.len() < 3 {
            let missing = (0..3).filter(|party| !parties.contains(party)).map(|party| party.to_string());
            format!("  (not at server {})", missing.collect::<Vec<_>>().join(" and "))
        } else if found.iter().any(|(_, other)| other.digest != set.digest) {
            "  (the servers tell different things about it)".to_owned()
        } else if found.iter().any(|(_, other)| other.terms_digest != set.terms_digest) {
            "  (the servers have different terms of it)".to_owned()
        } else if set.expired {
            "  (expired)".to_owned()
        } else {
            String::new()
        };
        let rows = format!("{} + {} rows", grouped(set.rows), grouped(set.test_rows));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<24} {id}  {:<22} {:>5} features  {:<14}  {}{note}",
            printable(name),
            rows,
            set.schema.features.len(),
            set.task.map_or_else(|| "no target".to_owned(), |task| task.to_string()),
            printable(&set.owner),
        );
    }
    let mut open: BTreeMap<(&str, &str), Vec<(usize, &UploadStatus)>> = BTreeMap::new();
    for (party, list) in under_way.iter().enumerate() {
        for upload in list {
            open.entry((&upload.name, &upload.id)).or_default().push((party, upload));
        }
    }
    for ((name, id), found) in open.iter().filter(|(key, _)| !sets.contains_key(*key)) {
        let far = found.iter().map(|(party, upload)| {
            let sum = |of: fn(&shamisen_service::api::data::FileStatus) -> u64| {
                upload.files.iter().map(of).sum::<u64>()
            };
            let (received, all) = (sum(|file| file.received), sum(|file| file.bytes));
            format!("server {party} {}%", (100 * u128::from(received)) / u128::from(all.max(1)))
        });
        let far = far.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{:<24} {id}  upload under way: {far}", printable(name));
    }
    if text.is_empty() { "there are no data sets that you may know of\n".to_owned() } else { text }
}
