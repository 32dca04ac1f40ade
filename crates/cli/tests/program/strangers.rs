//! Whoever asks for what is not allowed: each is refused with a sentence, and written down where the audit log is for it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use shamisen_net::tls::{Fingerprint, Identity, https_client};
use shamisen_service::api::data::{UploadState, UploadStatus};
use shamisen_service::client::{CallError, Client};
use shamisen_service::job::{JobDocument, JobState, JobStatus, Submission};
use shamisen_service::manifest::Manifest;
use shamisen_service::{KeyId, keys};

use crate::data_sets::{put, terms};
use crate::support::{LIMIT, output, succeed, table, text};
use crate::three::Three;
use crate::uploads::staged;

/// What somebody asks for.
enum Ask {
    Get(String),
    Post(String, serde_json::Value),
    Put(String, Vec<u8>),
    Delete(String),
}

use Ask::{Delete, Get, Post, Put};

impl Ask {
    /// Asks with this connection, which must end in a refusal.
    async fn of(&self, client: &mut Client) -> (u16, String) {
        let refused = match self {
            Get(path) => client.get_bytes(path).await.map(drop),
            Post(path, body) => client.post_json::<_, serde_json::Value>(path, body).await.map(drop),
            Put(path, body) => client.put::<serde_json::Value>(path, body.clone().into()).await.map(drop),
            Delete(path) => client.delete::<serde_json::Value>(path).await.map(drop),
        };
        match refused {
            Err(CallError::Refused { status, problem, .. }) => (status, problem.error),
            other => panic!("{other:?} is no refusal"),
        }
    }
}

/// Three servers that know a second owner and a second analyst, too, and give up early on jobs that one of them does not have.
fn started() -> Three {
    let mut three = Three::new();
    let mut more = String::new();
    for (name, role) in [("neighbour", "owner"), ("rival", "analyst")] {
        let key = keys::create(&three.place.path(name), name).unwrap().fingerprint();
        let person =
            format!("[[person]]\nname = \"the {name}\"\nrole = \"{role}\"\nfingerprint = \"{key}\"\n");
        more.push_str(&person);
    }
    keys::create(&three.place.path("stranger"), "stranger").unwrap();
    for party in 0..3 {
        let config = fs::read_to_string(three.config(party)).unwrap();
        fs::write(three.config(party), format!("{config}acceptance_seconds = 5\n{more}")).unwrap();
        three.start(party);
    }
    three
}

/// A job of somebody on a data set, which is valid unless it is changed.
fn document(three: &Three, analyst: &Identity, id: &str, dataset: &str) -> JobDocument {
    let servers = three.identities.each_ref().map(|identity| KeyId(identity.fingerprint()));
    let work = serde_json::json!({"name": "train", "checkpoint_every": 16, "settings": [{
        "hidden": [4], "epochs": 1, "batch_size": 32, "learning_rate": 0.01, "weight_decay": 0.0, "seed": 1,
        "optimizer": {"name": "sgd", "momentum": 0.0}}]});
    let work = serde_json::from_value(work).unwrap();
    JobDocument::new(
        id.into(),
        "odd".into(),
        servers,
        KeyId(analyst.fingerprint()),
        vec![dataset.into()],
        work,
    )
}

fn signed(document: &JobDocument, by: &Identity) -> serde_json::Value {
    serde_json::to_value(Submission::sign(document, by).unwrap()).unwrap()
}

/// What the audit log of a server has from a byte on.
fn audited(three: &Three, party: usize, from: usize) -> String {
    let log = fs::read_to_string(three.place.path(&format!("data{party}/audit.log"))).unwrap();
    // Texts are JSON within JSON.
    log[from..].replace("\\\"", "\"").replace("\\\\", "\\")
}

#[tokio::test]
async fn whoever_asks_for_what_is_not_allowed_is_refused_and_written_down() {
    let three = started();
    let identity = |name: &str| keys::read(&three.place.path(name)).unwrap();
    let (analyst, rival, stranger) = (identity("analyst"), identity("rival"), identity("stranger"));

    // An upload of the owner that is under way, at server 0 alone; a data set that was taken back; one that is there.
    let (manifest, _) = staged(&three, "early");
    let mut owner = three.client(0, Some("owner")).await;
    let _: serde_json::Value = owner.post_json("/v1/uploads", &manifest).await.unwrap();
    let upload = format!("/v1/uploads/{}", manifest.id);
    let csv = three.place.write("table.csv", table(200));
    terms(&three, "least_rows = 10\noutputs = [\"metrics\", \"predictions\", \"model\"]\n");
    succeed(&mut put(&three, &csv, "hospital-a"));
    let mut again = manifest.clone();
    (again.id, again.name) = ("e".repeat(32), "again".into());
    again.description.id.clone_from(&again.id);
    let _: serde_json::Value = owner.post_json("/v1/uploads", &again).await.unwrap();
    let _: serde_json::Value = owner.delete(&format!("/v1/datasets/{}", again.id)).await.unwrap();
    let sets: Vec<serde_json::Value> = owner.get("/v1/datasets").await.unwrap();
    let dataset = sets[0]["id"].as_str().unwrap().to_owned();

    // A job of the analyst that is done, with a model.
    let mut submit = three.analyst("submit");
    submit.args(["--data", "hospital-a", "--hidden", "4", "--name", "first", "--outputs"]);
    let out = succeed(submit.args(["metrics,predictions,model", "--watch"]));
    let job = out.split_whitespace().nth(1).unwrap().to_owned();
    let unused = "a".repeat(32);

    let good = || document(&three, &analyst, &unused, &dataset);
    let changed = |change: fn(&mut JobDocument)| {
        let mut document = good();
        change(&mut document);
        Post("/v1/jobs".into(), signed(&document, &analyst))
    };
    let altered = |from: &str, to: &str| {
        let mut json = signed(&good(), &analyst);
        json["document"] = json["document"].as_str().unwrap().replacen(from, to, 1).into();
        Post("/v1/jobs".into(), json)
    };
    let replayed = signed(&document(&three, &analyst, &job, &dataset), &analyst);
    let begin = |change: fn(&mut Manifest)| {
        let mut odd = manifest.clone();
        (odd.id, odd.name) = ("b".repeat(32), "odd".into());
        odd.description.id.clone_from(&odd.id);
        change(&mut odd);
        Post("/v1/uploads".into(), serde_json::to_value(odd).unwrap())
    };
    let again = serde_json::to_value(again).unwrap();
    let order = |what: &str| serde_json::json!({"digest": "0".repeat(64), "what": {"name": what}});
    let get = |path: &str| Get(path.into());
    let piece = |offset: u64| Put(format!("{upload}/train-features/{offset}"), vec![1; 8]);
    let empty = serde_json::json!({});
    let cases = [
        // Who it is.
        (None, get("/v1/whoami"), 401, "answers only to people with a key that it knows"),
        (None, Post("/v1/jobs".into(), replayed.clone()), 401, "with a key that it knows"),
        (Some("stranger"), get("/v1/datasets"), 401, "does not know the key"),
        (Some("stranger"), get(&format!("/v1/models/{job}/share/0")), 401, "does not know the key"),
        (Some("stranger"), Post("/v1/uploads".into(), again.clone()), 401, "does not know the key"),
        // Roles.
        (
            Some("owner"),
            Post(
                "/v1/jobs".into(),
                signed(&document(&three, &identity("owner"), &unused, &dataset), &identity("owner")),
            ),
            403,
            "trainings are for the role analyst",
        ),
        (
            Some("operator"),
            Post("/v1/jobs".into(), replayed.clone()),
            403,
            "for the role analyst or owner alone",
        ),
        (Some("analyst"), Post("/v1/uploads".into(), again.clone()), 403, "for the role owner alone"),
        (Some("analyst"), piece(0), 403, "for the role owner alone"),
        (Some("analyst"), Delete(format!("/v1/datasets/{dataset}")), 403, "for the role owner alone"),
        (Some("analyst"), get("/metrics"), 403, "for the role operator or server alone"),
        (Some("analyst"), Post("/v1/peer/uploads".into(), empty.clone()), 403, "for the role server alone"),
        (Some("analyst"), Post("/v1/data-listen".into(), empty.clone()), 403, "for the role server alone"),
        (
            Some("operator"),
            Post(format!("/v1/jobs/{job}/order"), order("look")),
            403,
            "for the role server alone",
        ),
        // A server's key is not a person's.
        (
            Some("server1"),
            Post(
                "/v1/jobs".into(),
                signed(&document(&three, &three.identities[1], &unused, &dataset), &three.identities[1]),
            ),
            403,
            "for the role analyst or owner alone",
        ),
        (Some("server1"), Post("/v1/uploads".into(), again.clone()), 403, "for the role owner alone"),
        (Some("server2"), get(&format!("/v1/models/{job}/share/0")), 403, "is not for server 2"),
        (Some("server2"), get(&format!("/v1/jobs/{job}/predictions/0")), 403, "for its analyst alone"),
        (
            Some("server1"),
            Post(format!("/v1/jobs/{job}/cancel"), empty.clone()),
            403,
            "by its analyst or an operator",
        ),
        (Some("server1"), Post(format!("/v1/jobs/{job}/order"), order("halt")), 422, "missing field"),
        (Some("server1"), Post(format!("/v1/jobs/{job}/order"), order("look")), 403, "by server 0 alone"),
        // What is somebody else's is as good as not there.
        (Some("rival"), get(&format!("/v1/jobs/{job}")), 404, "there is no job"),
        (Some("rival"), get(&format!("/v1/jobs/{job}/log/0")), 404, "there is no job"),
        (Some("rival"), Post(format!("/v1/jobs/{job}/cancel"), empty.clone()), 404, "there is no job"),
        (Some("rival"), get(&format!("/v1/jobs/{job}/predictions/0")), 404, "there is no job"),
        (Some("rival"), Put(format!("/v1/jobs/{job}/rows"), vec![1]), 404, "there is no job"),
        (Some("rival"), Delete(format!("/v1/jobs/{job}/predictions")), 404, "there is no job"),
        (Some("rival"), get(&format!("/v1/models/{job}/share/0")), 404, "there is no model"),
        (Some("rival"), get("/v1/datasets/hospital-a"), 404, "no data set"),
        (Some("rival"), get(&format!("/v1/models/{job}/statistics/0")), 404, "there is no model"),
        (
            Some("rival"),
            Post("/v1/jobs".into(), signed(&document(&three, &rival, &unused, &dataset), &rival)),
            404,
            "no data set",
        ),
        (Some("owner"), get(&format!("/v1/jobs/{job}")), 404, "there is no job"),
        (Some("operator"), get(&format!("/v1/models/{job}/share/0")), 403, "is not for the operator"),
        (Some("neighbour"), piece(0), 404, "there is no upload"),
        (Some("neighbour"), Delete(format!("/v1/datasets/{dataset}")), 404, "there is no upload"),
        (Some("neighbour"), begin(|_| {}), 403, "the upload is of the owner"),
        // Documents.
        (Some("rival"), Post("/v1/jobs".into(), signed(&good(), &analyst)), 403, "hands it in"),
        (Some("analyst"), Post("/v1/jobs".into(), signed(&good(), &rival)), 400, "has signed it"),
        (Some("analyst"), Post("/v1/jobs".into(), signed(&good(), &stranger)), 400, "has signed it"),
        (Some("analyst"), altered("\"epochs\":1", "\"epochs\":2"), 400, "not signed as it has to be"),
        (Some("analyst"), altered("{", "{ "), 400, "not the canonical one"),
        (Some("analyst"), Post("/v1/jobs".into(), replayed), 409, "was used before"),
        (Some("analyst"), changed(|d| d.software = "0.0.9".into()), 409, "the job is for version 0.0.9"),
        (Some("analyst"), changed(|d| d.servers.swap(0, 2)), 409, "other servers"),
        (Some("analyst"), changed(|d| d.id = "../../state.redb".into()), 400, "32 hexadecimal digits"),
        (Some("analyst"), changed(|d| d.datasets[0] = "../x".into()), 400, "once by its id"),
        (Some("analyst"), changed(|d| d.datasets[0] = "f".repeat(32)), 404, "no data set"),
        // Uploads.
        (Some("owner"), Post("/v1/uploads".into(), again), 409, "was used before"),
        (
            Some("owner"),
            Post("/v1/uploads".into(), serde_json::to_value(&manifest).unwrap()),
            409,
            "is under way",
        ),
        (
            Some("owner"),
            begin(|m| m.terms.expires = "2020-01-01".parse().unwrap()),
            400,
            "their last day was 2020-01-01",
        ),
        (Some("owner"), begin(|m| m.name = "../../etc".into()), 400, "is no name"),
        (Some("owner"), begin(|m| m.id = "../x".into()), 400, "32 hexadecimal digits"),
        (Some("owner"), begin(|m| m.files[0][0].name = "../../key".into()), 400, "have to be"),
        (Some("owner"), begin(|m| m.files[0][0].bytes = 1 << 60), 400, "cannot have"),
        (Some("owner"), piece(64), 409, "begins at 64"),
        (Some("owner"), Put(format!("{upload}/..%2F..%2Faudit.log/0"), vec![1]), 404, "no share file"),
        (Some("owner"), Put("/v1/uploads/..%2F..%2Fjobs/train-features/0".into(), vec![1]), 404, "no upload"),
        (Some("owner"), Post(format!("{upload}/finish"), empty.clone()), 409, "0 of "),
        // Shapes.
        (
            Some("owner"),
            Put(format!("{upload}/train-features/0"), vec![1; 100_000]),
            400,
            "more bytes than the share file has",
        ),
        (
            Some("analyst"),
            Post("/v1/jobs".into(), "x".repeat(1 << 24).into()),
            413,
            "longer than this server takes",
        ),
        (Some("analyst"), Post("/v1/jobs".into(), empty.clone()), 422, "missing field"),
        (Some("analyst"), Put("/v1/jobs".into(), vec![]), 405, "has another method"),
        (Some("analyst"), Post("/v2/jobs".into(), empty), 404, "nothing at this path"),
    ];
    for (key, ask, expected, part) in &cases {
        let from = fs::metadata(three.place.path("data0/audit.log")).unwrap().len() as usize;
        let (status, error) = ask.of(&mut three.client(0, *key).await).await;
        assert!(
            status == *expected && error.contains(part),
            "{key:?}: {status} {error:?}, not {expected} {part:?}"
        );
        let entries = audited(&three, 0, from);
        let start: String = error.chars().take(60).collect();
        assert!(
            entries.contains("\"decision\":\"refused\"") && entries.contains(&start),
            "{key:?}: {error:?} is not in {entries}"
        );
        assert!(!entries.contains("PRIVATE KEY"));
    }
    assert!(cases.len() >= 25);
    // Nothing was changed by any of them.
    let status: JobStatus =
        three.client(0, Some("analyst")).await.get(&format!("/v1/jobs/{job}")).await.unwrap();
    assert_eq!(status.state, JobState::Done);
    let status: UploadStatus = owner.get(&upload).await.unwrap();
    assert_eq!(status.state, UploadState::Receiving);
    assert!(status.files.iter().all(|file| file.received == 0), "{status:?}");
    let audit = succeed(&mut three.client_command("audit verify", "operator"));
    assert!(audit.contains("agree"), "{audit}");
}

#[tokio::test]
async fn servers_that_were_given_different_jobs_under_one_id_carry_out_none() {
    let three = started();
    let analyst = keys::read(&three.place.path("analyst")).unwrap();
    let csv = three.place.write("table.csv", table(200));
    let terms = terms(&three, "least_rows = 10\n");
    let more = fs::read_to_string(&terms).unwrap().replace("max_jobs = 2", "max_jobs = 20");
    fs::write(&terms, more).unwrap();
    succeed(&mut put(&three, &csv, "hospital-a"));
    let sets: Vec<serde_json::Value> =
        three.client(0, Some("analyst")).await.get("/v1/datasets").await.unwrap();
    let dataset = sets[0]["id"].as_str().unwrap();
    for (odd, id) in ["c".repeat(32), "d".repeat(32)].iter().enumerate() {
        for party in 0..3 {
            let mut job = document(&three, &analyst, id, dataset);
            job.name = if party == odd { "another".into() } else { "odd".into() };
            let mut client = three.client(party, Some("analyst")).await;
            let _: JobStatus = client.post_json("/v1/jobs", &signed(&job, &analyst)).await.unwrap();
        }
        for party in 0..3 {
            let reason = failure(&three, party, id).await;
            assert!(reason.contains("was given another job under this id"), "{reason}");
            assert!(audited(&three, party, 0).contains("\"reason\":\"failed\""));
        }
    }
    // A job that some of the three never heard of ends, too.
    for missing in [0, 2] {
        let id = missing.to_string().repeat(32);
        for party in (0..3).filter(|party| *party != missing) {
            let job = document(&three, &analyst, &id, dataset);
            let mut client = three.client(party, Some("analyst")).await;
            let _: JobStatus = client.post_json("/v1/jobs", &signed(&job, &analyst)).await.unwrap();
        }
        for party in (0..3).filter(|party| *party != missing) {
            let reason = failure(&three, party, &id).await;
            assert!(
                reason.contains(&format!("server {missing} did not accept the job within 5 seconds")),
                "{reason}"
            );
        }
    }
}

/// Why a server says that a job failed, once it does.
async fn failure(three: &Three, party: usize, id: &str) -> String {
    let mut client = three.client(party, Some("analyst")).await;
    let start = Instant::now();
    loop {
        let status: JobStatus = client.get(&format!("/v1/jobs/{id}")).await.unwrap();
        if status.state == JobState::Failed {
            return status.reason.unwrap();
        }
        assert!(!status.state.is_over() && start.elapsed() < LIMIT, "{status:?}\n{}", three.log(party));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection to a port with a key, or none, as soon as somebody listens there; none if the handshake comes to nothing.
pub(crate) fn call(port: u16, identity: Option<&Identity>, pinned: Fingerprint) -> Option<Stream> {
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < LIMIT, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let config = Arc::new(https_client(identity, pinned).unwrap());
    let name = ServerName::try_from("server.invalid").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).ok()?;
    }
    Some(stream)
}

/// What the other end of the data plane says first.
pub(crate) fn first_words(stream: &mut Stream) -> Option<[u8; 48]> {
    let mut words = [0; 48];
    stream.read_exact(&mut words).ok()?;
    Some(words)
}

/// Its verdict on this hello; nothing if it breaks off.
pub(crate) fn verdict(stream: &mut Stream, hello: &[u8; 48]) -> Option<u8> {
    stream.write_all(hello).ok()?;
    stream.write_all(&[0]).ok()?;
    let mut verdict = [0];
    stream.read_exact(&mut verdict).ok()?;
    Some(verdict[0])
}

#[test]
fn the_data_plane_answers_its_two_peers_alone_and_in_this_version() {
    let mut three = Three::new();
    // Server 2 looks for the data plane of server 0 where nobody is, so that server 0 waits for it.
    let config = fs::read_to_string(three.config(2)).unwrap();
    let [right, wrong] = [three.ports[3], 9].map(|port| format!("data_address = \"127.0.0.1:{port}\""));
    fs::write(three.config(2), config.replace(&right, &wrong)).unwrap();
    (0..3).for_each(|party| three.start(party));
    keys::create(&three.place.path("stranger"), "stranger").unwrap();
    let csv = three.place.write("table.csv", table(200));
    terms(&three, "least_rows = 10\n");
    succeed(&mut put(&three, &csv, "hospital-a"));
    let mut submit = three.analyst("submit");
    let out = succeed(submit.args(["--data", "hospital-a", "--hidden", "4", "--name", "waits"]));
    let job = out.split_whitespace().nth(1).unwrap().to_owned();

    let pinned = three.identities[0].fingerprint();
    for key in [None, Some("stranger"), Some("owner"), Some("operator"), Some("server0")] {
        let identity = key.map(|key| keys::read(&three.place.path(key)).unwrap());
        // Its certificate is refused by what comes after the handshake, as TLS 1.3 has it.
        let answer =
            call(three.ports[3], identity.as_ref(), pinned).and_then(|mut stream| first_words(&mut stream));
        assert_eq!(answer, None, "{key:?}");
    }
    let hello = |version: u32, sender: u8, receiver: u8| {
        let mut hello = [0; 48];
        hello[..8].copy_from_slice(b"SHAMISEN");
        hello[8..12].copy_from_slice(&version.to_le_bytes());
        (hello[12], hello[13], hello[15]) = (sender, receiver, 1);
        hello
    };
    // The numbers of the verdicts, and what the job's log says.
    for (hello, expected, part) in [
        (hello(1, 2, 0), 2, "it speaks version 1 of the protocol"),
        (hello(u32::MAX, 2, 0), 2, "it speaks version 4294967295"),
        (hello(2, 1, 0), 3, "it says that it is party 1"),
        (hello(2, 2, 1), 4, "it takes this party for party 1"),
        (hello(2, 2, 0), 5, "it runs another job"),
        ([7; 48], 1, "it is no party of Shamisen"),
    ] {
        let start = Instant::now();
        // The port is closed between two tries.
        let found = loop {
            let found = call(three.ports[3], Some(&three.identities[2]), pinned).and_then(|mut stream| {
                let words = first_words(&mut stream)?;
                assert_eq!(&words[..8], b"SHAMISEN");
                let mut hello = hello;
                // On as many lanes as the other end.
                hello[15] = words[15];
                verdict(&mut stream, &hello)
            });
            match found {
                Some(found) => break found,
                None => assert!(start.elapsed() < LIMIT),
            }
        };
        assert_eq!(found, expected, "{part}");
        loop {
            let log = succeed(three.analyst("logs").arg(&job));
            if log.contains(part) {
                break;
            }
            assert!(start.elapsed() < LIMIT, "{part:?} is not in {log}");
        }
    }
    let log = three.log(0);
    assert!(log.contains("turned away a caller from 127.0.0.1"), "{log}");
    let cancelled = output(three.analyst("cancel").arg(&job));
    assert!(cancelled.status.success(), "{}", text(&cancelled.stderr));
}

#[test]
fn the_control_plane_speaks_one_version_of_tls() {
    let mut three = Three::new();
    three.start(0);
    // A hello of TLS 1.2 with one cipher suite, and one that says it is TLS 1.0.
    for version in [3, 1] {
        let mut hello = vec![3, version];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0]);
        let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
        record.extend(&hello);
        let mut stream = TcpStream::connect(("127.0.0.1", three.ports[0])).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(&record).unwrap();
        let mut answer = Vec::new();
        // It may be reset, since the server has not read to the end.
        drop(stream.read_to_end(&mut answer));
        // An alert that is fatal, and nothing after it.
        assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "{answer:?}");
    }
}
