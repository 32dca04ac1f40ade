//! Data sets at three servers: uploads with all that can go wrong, terms, and audit logs.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use shamisen_service::api::Received;
use shamisen_service::api::data::{AuditPage, DataSetInfo, UploadState, UploadStatus};
use shamisen_service::client::CallError;
use shamisen_service::keys;
use shamisen_service::manifest::Manifest;

use crate::support::{LIMIT, names, output, shamisen, succeed, table, text, wait};
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

fn started() -> Three {
    let mut three = three();
    (0..3).for_each(|party| three.start(party));
    three
}

/// Terms for the analyst, with more lines.
fn terms(three: &Three, more: &str) -> PathBuf {
    let analyst = keys::read(&three.place.path("analyst")).unwrap().fingerprint();
    let text =
        format!("trainers = [\"{analyst}\"]\nmax_epochs = 5\nmax_jobs = 2\nexpires = 2100-01-01\n{more}");
    three.place.write("terms.toml", text)
}

/// A command with somebody's key.
fn by(three: &Three, key: &str, words: &[&str]) -> Command {
    let mut command = shamisen();
    command.args(words).arg("--cluster").arg(three.cluster(None)).arg("--key").arg(three.place.path(key));
    command
}

/// The owner puts a table.
fn put(three: &Three, table: &Path, name: &str) -> Command {
    let table = table.to_str().unwrap();
    let terms = three.place.path("terms.toml");
    let words = ["put", table, "--name", name, "--target", "kind", "--task", "classification", "--terms"];
    let mut command = by(three, "owner", &[&words[..], &[terms.to_str().unwrap()]].concat());
    command.args(["--patience", "60"]);
    command
}

/// The share files that a server has, with their sizes.
fn share_files(three: &Three, party: usize) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for dir in fs::read_dir(three.place.path(&format!("data{party}/shares"))).into_iter().flatten().flatten()
    {
        for file in fs::read_dir(dir.path()).into_iter().flatten().flatten() {
            found.push((file.path(), file.metadata().map_or(0, |metadata| metadata.len())));
        }
    }
    found
}

/// Waits until a server has so many bytes of share files.
fn wait_for_bytes(three: &Three, party: usize, bytes: u64, child: &mut Child) {
    let start = Instant::now();
    while share_files(three, party).iter().map(|(_, size)| size).sum::<u64>() < bytes {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it had sent {bytes} bytes");
        assert!(start.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(1));
    }
}

fn verify(three: &Three, key: &str) -> String {
    succeed(&mut by(three, key, &["audit", "verify"]))
}

/// A table that takes a while to upload: 60 columns.
fn large(rows: usize) -> String {
    let names: Vec<String> = (0..60).map(|column| format!("x{column}")).collect();
    let mut text = names.join(",") + ",kind\n";
    for row in 0..rows {
        for column in 0..60 {
            write!(text, "{},", (row * 7919 + column * 104_729) % 1009).unwrap();
        }
        writeln!(text, "{}", if row % 3 == 0 { "a" } else { "b" }).unwrap();
    }
    text
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
    assert!(verify(&three, "owner").contains("of which you may see a part"));
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

#[test]
fn an_upload_goes_on_after_its_client_was_killed() {
    let three = started();
    let csv = three.place.write("table.csv", large(20_000));
    terms(&three, "");
    let mut child = put(&three, &csv, "big").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_bytes(&three, 1, 1 << 22, &mut child);
    child.kill().unwrap();
    wait(&mut child);
    // Nobody sees half a data set.
    assert!(succeed(&mut three.analyst("list")).starts_with("there are no data sets"));
    let list = succeed(&mut by(&three, "owner", &["list"]));
    assert!(list.contains("upload under way: server 0 "), "{list}");

    // Another table under way is no reason to send other shares.
    fs::write(&csv, large(19_000)).unwrap();
    let refused = output(&mut put(&three, &csv, "big"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("before the table was changed"), "{}", text(&refused.stderr));
    fs::remove_dir_all(three.place.path(".shamisen-put-big")).unwrap();
    let refused = output(&mut put(&three, &csv, "big"));
    assert!(text(&refused.stderr).contains("is under way, which is to be big"), "{}", text(&refused.stderr));
    succeed(&mut by(&three, "owner", &["revoke", "big"]));
    succeed(&mut put(&three, &csv, "big"));
    assert!(succeed(&mut three.analyst("list")).contains("15,200 + 3,800 rows"));
}

#[test]
fn an_upload_survives_the_death_of_each_server() {
    let mut three = started();
    let csv = three.place.write("table.csv", large(20_000));
    terms(&three, "");
    for party in 0..3 {
        let name = format!("big-{party}");
        let mut child =
            put(&three, &csv, &name).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // Two data sets more are there each time.
        let there: u64 = share_files(&three, party).iter().map(|(_, size)| size).sum();
        wait_for_bytes(&three, party, there + 1000, &mut child);
        three.kill(party);
        assert!(!succeed(&mut by(&three, "owner", &["--version"])).is_empty());
        three.start(party);
        let status = wait(&mut child);
        assert!(status.success(), "{}", three.log(party));
    }
    let list = succeed(&mut three.analyst("list"));
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(!list.contains("not at server"), "{list}");

    // All three die: what was confirmed is there, and nothing else.
    (0..3).for_each(|party| three.kill(party));
    (0..3).for_each(|party| three.start(party));
    assert_eq!(succeed(&mut three.analyst("list")), list);
    assert!(verify(&three, "operator").contains("agree"));
}

#[test]
fn a_server_that_is_down_keeps_an_upload_from_becoming_a_data_set() {
    let mut three = started();
    let csv = three.place.write("table.csv", table(300));
    terms(&three, "");
    three.stop(2);
    let mut command =
        by(&three, "owner", &["put", csv.to_str().unwrap(), "--name", "early", "--target", "kind"]);
    command
        .args(["--task", "classification", "--patience", "1", "--terms"])
        .arg(three.place.path("terms.toml"));
    let failed = output(&mut command);
    let message = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{message}");
    assert!(message.contains("server 2: ") && message.contains("run the same command again"), "{message}");
    three.start(2);
    assert!(succeed(&mut three.analyst("list")).starts_with("there are no data sets"));
    succeed(&mut command);
    assert!(succeed(&mut three.analyst("list")).contains("early"));

    // A data set is not taken back before all three have deleted it.
    three.stop(1);
    let failed = output(&mut by(&three, "owner", &["revoke", "early"]));
    let message = text(&failed.stderr);
    assert!(
        message.contains("2 of three servers have deleted early") && message.contains("server 1: "),
        "{message}"
    );
    three.start(1);
    let list = succeed(&mut by(&three, "owner", &["list"]));
    assert!(list.contains("(not at server 0 and 2)"), "{list}");
    succeed(&mut by(&three, "owner", &["revoke", "early"]));
    assert_eq!(share_files(&three, 1), []);
}

/// The description of an upload that was staged and not sent, with the directory of its shares.
fn staged(three: &Three, name: &str) -> (Manifest, PathBuf) {
    let csv = three.place.write("table.csv", table(200));
    terms(three, "");
    let dir = three.place.path("staging");
    let cluster = three.place.write(
        "nobody.toml",
        fs::read_to_string(three.cluster(None)).unwrap().replace("127.0.0.1", "127.0.0.2"),
    );
    let mut command = shamisen();
    command.arg("put").arg(&csv).args([
        "--name",
        name,
        "--target",
        "kind",
        "--task",
        "classification",
        "--patience",
        "1",
    ]);
    command.arg("--staging").arg(&dir).arg("--terms").arg(three.place.path("terms.toml"));
    command.arg("--cluster").arg(cluster).arg("--key").arg(three.place.path("owner"));
    assert_eq!(output(&mut command).status.code(), Some(1));
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("upload.json")).unwrap()).unwrap();
    (serde_json::from_value(json["content"]["manifest"].clone()).unwrap(), dir)
}

#[tokio::test]
async fn uploads_that_are_not_as_they_must_be_are_refused_and_written_down() {
    let three = started();
    let (manifest, dir) = staged(&three, "odd");
    let refused = |result: Result<UploadStatus, CallError>, expected: u16, part: &str| match result {
        Err(CallError::Refused { status, problem, .. }) => {
            assert!(status == expected && problem.error.contains(part), "{status} {problem:?}");
        }
        other => panic!("{other:?} is no refusal with {expected}"),
    };
    let mut owner = three.client(0, Some("owner")).await;
    let begin = "/v1/uploads";
    for (key, part) in [
        ("analyst", "for the role owner"),
        ("operator", "for the role owner"),
        ("server1", "for the role owner"),
        ("neighbour", "the upload is of the owner"),
    ] {
        let mut other = three.client(0, Some(key)).await;
        refused(other.post_json(begin, &manifest).await, 403, part);
    }
    for (change, part) in [
        (|m: &mut Manifest| m.name = "../x".into(), "\"../x\" is no name"),
        (|m: &mut Manifest| m.id = "..".into(), "32 hexadecimal digits"),
        (|m: &mut Manifest| m.files[0][0].bytes = u64::MAX, "cannot have"),
        (|m: &mut Manifest| m.files[0][0].name = "../../key".into(), "have to be"),
        (|m: &mut Manifest| m.description.rows = usize::MAX, "cannot have"),
        (|m: &mut Manifest| m.terms.max_jobs = 0, "max_jobs is 0"),
    ] as [(fn(&mut Manifest), &str); 6]
    {
        let mut odd = manifest.clone();
        change(&mut odd);
        refused(owner.post_json(begin, &odd).await, 400, part);
    }
    let _: UploadStatus = owner.post_json(begin, &manifest).await.unwrap();
    refused(owner.post_json(begin, &manifest).await, 409, "is under way, which is to be odd");

    // Others do not even hear that it is there.
    let own = format!("/v1/uploads/{}", manifest.id);
    let mut neighbour = three.client(0, Some("neighbour")).await;
    refused(neighbour.get(&own).await, 404, "there is no upload");
    refused(neighbour.delete(&format!("/v1/datasets/{}", manifest.id)).await, 404, "there is no upload");
    let send = |file: &str, offset: u64| format!("{own}/{file}/{offset}");
    let put = async |client: &mut shamisen_service::client::Client, path: String, body: Vec<u8>| {
        client.put::<Received>(&path, body.into()).await.map(|received| received.bytes)
    };
    let status = |result: Result<u64, CallError>| match result {
        Err(CallError::Refused { status, .. }) => status,
        other => panic!("{other:?} is no refusal"),
    };
    assert_eq!(status(put(&mut neighbour, send("train-features", 0), vec![1]).await), 404);
    assert_eq!(status(put(&mut owner, send("..%2F..%2Fkey", 0), vec![1]).await), 404);
    assert_eq!(status(put(&mut owner, send("train-features", 5), vec![1]).await), 409);
    assert_eq!(status(put(&mut owner, send("train-features", u64::MAX), vec![1]).await), 409);
    let sum = manifest.files[0].iter().find(|file| file.name == "train-features").unwrap().bytes;
    assert_eq!(status(put(&mut owner, send("train-features", 0), vec![1; sum as usize + 1]).await), 400);
    refused(owner.post(&format!("{own}/finish"), "".into()).await, 409, "0 of ");

    // What is there, but not what was described, is sent once more, and not believed.
    for file in &manifest.files[0] {
        let content = if file.name == "train-targets" {
            vec![7; file.bytes as usize]
        } else {
            fs::read(dir.join(format!("shares/party0/{}.share", file.name))).unwrap()
        };
        let received = put(&mut owner, send(&file.name, 0), content).await;
        assert_eq!(received.unwrap(), file.bytes, "{}", file.name);
    }
    let _: UploadStatus = owner.post(&format!("{own}/finish"), "".into()).await.unwrap();
    let seen = loop {
        let seen: UploadStatus = owner.get(&own).await.unwrap();
        if seen.state != UploadState::Checking {
            break seen;
        }
    };
    assert_eq!(seen.state, UploadState::Receiving);
    let problem = seen.problem.unwrap();
    assert!(problem.contains("train-targets did not arrive whole"), "{problem}");
    assert!(!problem.contains(three.place.path("").to_str().unwrap()), "{problem}");

    // Given up, it stays so, and its id is used.
    let _: UploadStatus = owner.delete(&format!("/v1/datasets/{}", manifest.id)).await.unwrap();
    refused(owner.post_json(begin, &manifest).await, 409, "was used before");
    assert_eq!(owner.get::<UploadStatus>(&own).await.unwrap().state, UploadState::Aborted);
    assert_eq!(share_files(&three, 0), []);

    let log = fs::read_to_string(three.place.path("data0/audit.log")).unwrap();
    for part in [
        "was used before",
        "is known as analyst",
        "\\\"../x\\\" is no name",
        "upload.damaged",
        "upload.cancelled",
        "the upload is of the owner",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}

#[tokio::test]
async fn an_owner_who_tells_the_servers_different_terms_has_no_data_set() {
    let three = started();
    let (manifest, dir) = staged(&three, "two-faced");
    for party in 0..3 {
        let mut told = manifest.clone();
        if party == 2 {
            told.terms.max_jobs = 1000;
        }
        let mut owner = three.client(party, Some("owner")).await;
        let _: UploadStatus = owner.post_json("/v1/uploads", &told).await.unwrap();
        for file in &manifest.files[party] {
            let content = fs::read(dir.join(format!("shares/party{party}/{}.share", file.name))).unwrap();
            let path = format!("/v1/uploads/{}/{}/0", manifest.id, file.name);
            let _: Received = owner.put(&path, content.into()).await.unwrap();
        }
        let _: UploadStatus =
            owner.post(&format!("/v1/uploads/{}/finish", manifest.id), "".into()).await.unwrap();
    }
    for party in 0..3 {
        let mut owner = three.client(party, Some("owner")).await;
        let start = Instant::now();
        let seen = loop {
            let seen: UploadStatus = owner.get(&format!("/v1/uploads/{}", manifest.id)).await.unwrap();
            if seen.state == UploadState::Aborted {
                break seen;
            }
            assert!(seen.state != UploadState::Complete && start.elapsed() < LIMIT, "{seen:?}");
        };
        let problem = seen.problem.unwrap();
        assert!(problem.contains("another description") || problem.contains("given it up"), "{problem}");
        assert_eq!(owner.get::<Vec<DataSetInfo>>("/v1/datasets").await.unwrap(), []);
    }
}

#[tokio::test]
async fn statistics_go_to_those_who_may_predict_and_to_nobody_else() {
    let three = started();
    let csv = three.place.write("table.csv", table(300));
    terms(&three, "outputs = [\"metrics\", \"predictions\"]\n");
    succeed(&mut put(&three, &csv, "open"));
    terms(&three, "");
    succeed(&mut put(&three, &csv, "closed"));
    for key in ["owner", "analyst"] {
        let mut files = Vec::new();
        for party in 0..3 {
            let mut client = three.client(party, Some(key)).await;
            let share = client.get_bytes("/v1/datasets/open/preprocessing").await.unwrap();
            // One share says nothing.
            assert!(!share.windows(6).any(|part| part == b"height"));
            files.push(three.place.write(&format!("share{party}"), &share));
        }
        let paths = [files[0].as_path(), files[1].as_path(), files[2].as_path()];
        let statistics = shamisen_data::document::read(paths).unwrap();
        assert!(text(&statistics).contains("\"height\""));
    }
    let mut analyst = three.client(0, Some("analyst")).await;
    let refused = analyst.get_bytes("/v1/datasets/closed/preprocessing").await.unwrap_err();
    assert!(refused.to_string().contains("no predictions and no model"), "{refused}");
    let mut operator = three.client(0, Some("operator")).await;
    assert!(operator.get_bytes("/v1/datasets/open/preprocessing").await.is_err());
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
    let fails = |part: &str| {
        let output = output(shamisen().args(["serve", "--config"]).arg(three.config(0)));
        assert_eq!(output.status.code(), Some(2));
        let message = text(&output.stderr);
        assert!(message.contains(part) && message.contains("hint: "), "{message}");
    };
    fails("entry 1 was changed");
    let found = output(shamisen().args(["audit", "verify", "--log"]).arg(&log));
    assert!(text(&found.stderr).contains("entry 1 was changed"), "{}", text(&found.stderr));
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
