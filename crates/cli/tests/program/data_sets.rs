//! Data sets at three servers: who sees what of them, terms, statistics, and audit logs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use shamisen_service::api::data::AuditPage;
use shamisen_service::keys;

use crate::support::{names, output, shamisen, succeed, table, text};
use crate::three::Three;

/// Three servers that know a second owner, too.
fn three() -> Three {
    let three = Three::new();
    let neighbour = keys::create(&three.place.path("neighbour"), "neighbour").unwrap().fingerprint();
    let stranger =
        format!("[[person]]\nname = \"the neighbour\"\nrole = \"owner\"\nfingerprint = \"{neighbour}\"\n");
    for party in 0..3 {
        let config = fs::read_to_string(three.config(party)).unwrap();
        fs::write(three.config(party), format!("{config}{stranger}")).unwrap();
    }
    three
}

pub(crate) fn started() -> Three {
    let mut three = three();
    (0..3).for_each(|party| three.start(party));
    three
}

/// Terms for the analyst, with more lines.
pub(crate) fn terms(three: &Three, more: &str) -> PathBuf {
    let analyst = keys::read(&three.place.path("analyst")).unwrap().fingerprint();
    let text =
        format!("trainers = [\"{analyst}\"]\nmax_epochs = 5\nmax_jobs = 2\nexpires = 2100-01-01\n{more}");
    three.place.write("terms.toml", text)
}

/// A command with somebody's key.
pub(crate) fn by(three: &Three, key: &str, words: &[&str]) -> Command {
    let mut command = shamisen();
    command.args(words).arg("--cluster").arg(three.cluster(None)).arg("--key").arg(three.place.path(key));
    command
}

/// The owner puts a table.
pub(crate) fn put(three: &Three, table: &Path, name: &str) -> Command {
    let table = table.to_str().unwrap();
    let terms = three.place.path("terms.toml");
    let words = ["put", table, "--name", name, "--target", "kind", "--task", "classification", "--terms"];
    let mut command = by(three, "owner", &[&words[..], &[terms.to_str().unwrap()]].concat());
    command.args(["--patience", "60"]);
    command
}

/// The share files that a server has, with their sizes.
pub(crate) fn share_files(three: &Three, party: usize) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for dir in fs::read_dir(three.place.path(&format!("data{party}/shares"))).into_iter().flatten().flatten()
    {
        for file in fs::read_dir(dir.path()).into_iter().flatten().flatten() {
            found.push((file.path(), file.metadata().map_or(0, |metadata| metadata.len())));
        }
    }
    found
}

pub(crate) fn verify(three: &Three, key: &str) -> String {
    succeed(&mut by(three, key, &["audit", "verify"]))
}

#[test]
fn a_table_is_put_seen_by_those_whom_it_concerns_and_taken_back() {
    let three = started();
    let csv = three.place.write("table.csv", table(400));
    terms(&three, "columns = [\"height\", \"depth, cm\"]\noutputs = [\"metrics\", \"predictions\"]\n");
    let out = succeed(&mut put(&three, &csv, "hospital-a"));
    assert!(out.contains("320 training rows, 80 test rows, 4 features"), "{out}");
    // Nothing of the shares stays on the owner's machine.
    assert!(!three.place.names().iter().any(|name| name.contains("put")), "{:?}", three.place.names());

    for key in ["owner", "analyst", "operator"] {
        let list = succeed(&mut by(&three, key, &["list"]));
        assert!(
            list.contains("hospital-a") && list.contains("320 + 80 rows") && list.lines().count() == 1,
            "{list}"
        );
    }
    let list = succeed(&mut by(&three, "neighbour", &["list"]));
    assert_eq!(list, "there are no data sets that you may know of\n");
    let shown = succeed(&mut by(&three, "analyst", &["terms", "hospital-a"]));
    for part in [
        "max_epochs     5",
        "2, of which 0",
        "2 of 4: height, depth, cm",
        "metrics, predictions",
        "the owner (",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let refused = output(&mut by(&three, "neighbour", &["terms", "hospital-a"]));
    assert!(text(&refused.stderr).contains("no data set \"hospital-a\" that you may know of"));

    for party in 0..3 {
        let files = share_files(&three, party);
        assert_eq!(files.len(), 5, "{files:?}");
        for (path, _) in files {
            let content = fs::read(&path).unwrap();
            assert!(content.starts_with(b"shamisen-cipher"));
            assert!(!content.windows(10).any(|part| part == b"\"dataset\":"), "{}", path.display());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let found = verify(&three, "operator");
    assert!(found.ends_with("the three logs are whole, and agree\n"), "{found}");
    assert!(verify(&three, "neighbour").contains("of which you may see a part"));
    let log = three.place.path("data1/audit.log");
    assert!(succeed(shamisen().args(["audit", "verify", "--log"]).arg(&log)).contains("each follows"));
    let log = fs::read_to_string(&log).unwrap();
    for part in ["upload.begin", "upload.ready", "dataset.created", "audit.peer"] {
        assert!(log.contains(part), "{part} is not in {log}");
    }

    let second = output(&mut put(&three, &csv, "hospital-a"));
    assert!(
        text(&second.stderr).contains("you have a data set hospital-a already"),
        "{}",
        text(&second.stderr)
    );
    let refused = output(&mut by(&three, "neighbour", &["revoke", "hospital-a"]));
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    let out = succeed(&mut by(&three, "owner", &["revoke", "hospital-a"]));
    assert!(out.contains("deleted at all three servers"), "{out}");
    for party in 0..3 {
        assert_eq!(names(&three.place.path(&format!("data{party}/shares"))), Vec::<String>::new());
    }
    assert!(succeed(&mut three.analyst("list")).starts_with("there are no data sets"));
    // What was staged when the name was taken goes on.
    succeed(&mut put(&three, &csv, "hospital-a"));
    assert!(succeed(&mut three.analyst("list")).contains("hospital-a"));
    assert!(verify(&three, "operator").contains("agree"));
}

#[tokio::test]
async fn logs_and_audit_have_no_data_and_do_not_depend_on_them() {
    let mut seen = Vec::new();
    for shift in [0, 1] {
        let three = started();
        let content = table(200).replace("big", if shift == 0 { "big" } else { "gib" });
        let csv = three.place.write("table.csv", content);
        terms(&three, "");
        succeed(&mut put(&three, &csv, "same"));
        let mut operator = three.client(1, Some("operator")).await;
        let page: AuditPage = operator.get("/v1/audit?from=1").await.unwrap();
        let whats: Vec<String> = page
            .entries
            .iter()
            .map(|entry| {
                let text: shamisen_service::audit::Text =
                    serde_json::from_str(entry.text.as_ref().unwrap().get()).unwrap();
                text.what
            })
            .collect();
        let log = three.log(1) + &fs::read_to_string(three.place.path("data1/audit.log")).unwrap();
        assert!(!log.contains("big") && !log.contains("gib") && !log.contains("height"), "{log}");
        let mut whats: Vec<String> = whats.into_iter().filter(|what| what != "audit.peer").collect();
        whats.sort();
        seen.push(whats);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], ["dataset.created", "upload.begin", "upload.ready"]);
}

#[test]
fn a_server_does_not_start_with_a_changed_log_or_without_its_storage_key() {
    let mut three = started();
    let csv = three.place.write("table.csv", table(200));
    terms(&three, "");
    succeed(&mut put(&three, &csv, "kept"));
    three.stop(0);
    let log = three.place.path("data0/audit.log");
    let good = fs::read_to_string(&log).unwrap();
    fs::write(&log, good.replacen("upload.begin", "upload.begun", 1)).unwrap();
    let changed = 1 + good.lines().position(|line| line.contains("upload.begin")).unwrap();
    let changed = format!("entry {changed} was changed");
    let fails = |part: &str| {
        let output = output(shamisen().args(["serve", "--config"]).arg(three.config(0)));
        assert_eq!(output.status.code(), Some(2));
        let message = text(&output.stderr);
        assert!(message.contains(part) && message.contains("hint: "), "{message}");
    };
    fails(&changed);
    let found = output(shamisen().args(["audit", "verify", "--log"]).arg(&log));
    assert!(text(&found.stderr).contains(&changed), "{}", text(&found.stderr));
    fs::write(&log, good).unwrap();

    let key = three.place.path("server0/storage.key");
    fs::rename(&key, three.place.path("safe")).unwrap();
    fails("the key under which this server's share files are encrypted is not there");
    fs::copy(three.place.path("server1/storage.key"), &key).unwrap();
    fails("under another key");
    fs::rename(three.place.path("safe"), &key).unwrap();
    three.start(0);
    assert!(succeed(&mut three.analyst("list")).contains("kept"));
}

#[test]
fn bad_terms_and_names_are_said_before_anything_is_read() {
    let three = three();
    let csv = three.place.write("table.csv", table(50));
    terms(&three, "least_row = 3\n");
    let fails = |command: &mut Command, part: &str| {
        let output = output(command);
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(part), "{message}");
    };
    fails(&mut put(&three, &csv, "a"), "terms.toml, line 5: unknown field `least_row`");
    terms(&three, "columns = [\"income\"]\n");
    fails(&mut put(&three, &csv, "a/b"), "\"a/b\" is no name");
    fails(&mut put(&three, &csv, "a"), "the column \"income\", which is no feature");
}
