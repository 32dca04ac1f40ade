//! Uploads with all that can go wrong: clients and servers that die, and owners who do not do as they should.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use shamisen_service::api::Received;
use shamisen_service::api::data::{DataSetInfo, UploadState, UploadStatus};
use shamisen_service::client::CallError;
use shamisen_service::manifest::Manifest;

use crate::data_sets::{by, put, share_files, started, terms, verify};
use crate::support::{LIMIT, output, shamisen, succeed, table, text, wait};
use crate::three::Three;

/// Waits until a server has so many bytes of share files.
pub(crate) fn wait_for_bytes(three: &Three, party: usize, bytes: u64, child: &mut Child) {
    let start = Instant::now();
    while share_files(three, party).iter().map(|(_, size)| size).sum::<u64>() < bytes {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it had sent {bytes} bytes");
        assert!(start.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(1));
    }
}

/// A table that takes a while to upload: 60 columns.
pub(crate) fn large(rows: usize) -> String {
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
pub(crate) fn staged(three: &Three, name: &str) -> (Manifest, PathBuf) {
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
    let (own, mut owners) = (format!("/v1/uploads/{}", manifest.id), Vec::new());
    for party in 0..3 {
        let mut told = manifest.clone();
        if party == 2 {
            told.terms.max_jobs = 1000;
        }
        let mut owner = three.client(party, Some("owner")).await;
        let _: UploadStatus = owner.post_json("/v1/uploads", &told).await.unwrap();
        for file in &manifest.files[party] {
            let content = fs::read(dir.join(format!("shares/party{party}/{}.share", file.name))).unwrap();
            let _: Received = owner.put(&format!("{own}/{}/0", file.name), content.into()).await.unwrap();
        }
        owners.push(owner);
    }
    // The first server that is ready asks the others, which may then give the upload up at once.
    for owner in &mut owners {
        let _: UploadStatus = owner.post(&format!("{own}/finish"), "".into()).await.unwrap();
    }
    for (party, owner) in owners.iter_mut().enumerate() {
        let start = Instant::now();
        let seen = loop {
            let seen: UploadStatus = owner.get(&own).await.unwrap();
            if seen.state == UploadState::Aborted {
                break seen;
            }
            assert!(seen.state != UploadState::Complete && start.elapsed() < LIMIT, "{seen:?}");
        };
        let problem = seen.problem.unwrap();
        assert!(problem.contains("another description") || problem.contains("given it up"), "{problem}");
        assert_eq!(owner.get::<Vec<DataSetInfo>>("/v1/datasets").await.unwrap(), []);
        // Nothing more is taken, and the refusal says why.
        let path = format!("{own}/{}/0", manifest.files[party][0].name);
        match owner.put::<Received>(&path, vec![1].into()).await {
            Err(CallError::Refused { status: 409, problem: said, .. }) => {
                assert_eq!(said.error, format!("the upload is over: {problem}"));
            }
            other => panic!("{other:?} is no refusal"),
        }
    }
}
