//! What is no request and no message, at every port: servers answer or hang up, stay up, and stay small.
//!
//! `SHAMISEN_GARBAGE=N` sends N pieces of it instead of a few thousand.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use shamisen_net::tls::https_client;
use shamisen_service::keys;

use crate::data_sets::{put, terms};
use crate::jobs::{give, id_of, submit};
use crate::strangers::{call, first_words, verdict};
use crate::support::{LIMIT, children, output, succeed, table, text};
use crate::three::Three;
use crate::uploads::staged;

/// How much is sent.
fn amount() -> usize {
    std::env::var("SHAMISEN_GARBAGE").map_or(4_000, |amount| amount.parse().unwrap())
}

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    /// A text that was changed in a few places.
    fn mutated(&mut self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(text.len());
            let end = at + self.below((text.len() - at).min(40));
            match self.below(6) {
                0 if !text.is_empty() => text[at] ^= 1 << self.below(8),
                1 if !text.is_empty() => text[at] = self.below(256) as u8,
                2 => text.truncate(at),
                3 => drop(text.splice(at..at, self.bytes(20))),
                4 => drop(text.drain(at..end)),
                _ => {
                    let again = text[at..end].to_vec();
                    drop(text.splice(at..at, again));
                }
            }
        }
        text
    }
}

/// Memory of a process in bytes.
fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// What a client says first.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = ServerName::try_from("server.invalid").unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(Arc::clone(config), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

/// Sends bytes, says that there are no more, and reads until the other end hangs up, which it must.
fn send_raw(port: u16, bytes: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // It may have hung up already.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(Shutdown::Write));
    hangs_up(&mut stream);
    true
}

/// Reads to the end, which has to come in time.
fn hangs_up(stream: &mut impl Read) {
    let mut answer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                let waited =
                    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                assert!(!waited, "nobody hangs up");
                return;
            }
        }
    }
}

/// Sends texts over one connection, as long as it stays, and reads to its end.
fn send_secured(port: u16, config: &Arc<ClientConfig>, texts: &[Vec<u8>]) {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let name = ServerName::try_from("server.invalid").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream);
    for text in texts {
        if stream.write_all(text).is_err() {
            break;
        }
    }
    stream.conn.send_close_notify();
    drop(stream.flush());
    drop(stream.sock.shutdown(Shutdown::Write));
    hangs_up(&mut stream);
}

/// Requests as clients and servers make them.
fn requests(three: &Three) -> Vec<Vec<u8>> {
    let (manifest, _) = staged(three, "garbage");
    let id = &manifest.id;
    let manifest = serde_json::to_string(&manifest).unwrap();
    let submission = serde_json::json!({"document": "{\"format\":1,\"id\":\"0\"}", "signature": "3044", "certificate": "-----BEGIN CERTIFICATE-----\n"});
    let order = serde_json::json!({"digest": "0".repeat(64), "what": {"name": "start", "training": 0, "attempt": "1"}});
    let asks = serde_json::json!({"id": id, "digest": "0".repeat(64), "expired": false, "head": {"party": 1, "seq": 1, "hash": "0"}});
    let [submission, order, asks] = [submission, order, asks].map(|json| json.to_string());
    let json = |method: &str, path: &str, body: &str| {
        let length = body.len();
        format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    };
    let mut requests = vec![
        json("POST", "/v1/uploads", &manifest),
        json("POST", "/v1/jobs", &submission),
        json("POST", &format!("/v1/jobs/{id}/order"), &order),
        json("POST", "/v1/peer/uploads", &asks),
        json("PUT", &format!("/v1/uploads/{id}/train-features/0"), "shamisen-share"),
        json("PUT", &format!("/v1/jobs/{id}/rows"), "shamisen-share"),
        json("POST", &format!("/v1/uploads/{id}/finish"), ""),
        json("DELETE", &format!("/v1/datasets/{id}"), ""),
        json("POST", "/v1/speed", "12345678"),
        b"POST /v1/speed HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
            .to_vec(),
    ];
    for path in [
        "/health",
        "/v1/whoami",
        "/v1/server",
        "/v1/speed/10",
        "/v1/jobs",
        "/v1/jobs/0/log/0",
        "/v1/models/0/share/0",
        "/v1/audit?from=1",
        "/v1/datasets/x",
        "/openapi.json",
        "/metrics",
    ] {
        requests.push(format!("GET {path} HTTP/1.1\r\nhost: a\r\naccept: */*\r\n\r\n").into_bytes());
    }
    requests
}

#[test]
fn garbage_at_the_control_plane_does_nothing() {
    let three = Three::started();
    let requests = requests(&three);
    let mut random = Random(1);
    let pinned = three.identities[0].fingerprint();
    let config = |key: &str| {
        let identity = keys::read(&three.place.path(key)).unwrap();
        Arc::new(https_client(Some(&identity), pinned).unwrap())
    };
    let callers = ["owner", "analyst", "operator", "server1"].map(config);
    let stranger = Arc::new(https_client(None, pinned).unwrap());
    let first = hello(&stranger);
    let (port, server) = (three.ports[0], three.running[0].as_ref().unwrap().id());
    let (amount, mut sent, mut before) = (amount(), 0, 0);
    while sent < amount {
        if before == 0 && sent > amount / 4 {
            before = memory(server);
        }
        match random.below(8) {
            0 => assert!(send_raw(port, &random.bytes(300))),
            1 => assert!(send_raw(port, &random.mutated(&first))),
            kind => {
                let config = if kind == 2 { &stranger } else { &callers[random.below(callers.len())] };
                let mut texts = Vec::new();
                for _ in 0..8 {
                    let request = &requests[random.below(requests.len())];
                    texts.push(if random.below(8) == 0 {
                        random.bytes(2000)
                    } else {
                        random.mutated(request)
                    });
                }
                send_secured(port, config, &texts);
                sent += texts.len() - 1;
            }
        }
        sent += 1;
    }
    let after = memory(server);
    assert!(
        after < before + (48 << 20),
        "the server had {before} bytes, and {after} after {sent} pieces of garbage"
    );
    let log = three.log(0);
    assert!(!log.contains("panicked"), "{log}");
    // All is as it was, and works.
    let csv = three.place.write("table.csv", table(200));
    terms(&three, "least_rows = 10\n");
    for upload in succeed(&mut three.client_command("list", "owner")).lines() {
        // A description that was changed in a harmless place is one that an owner may send.
        assert!(upload.contains("under way") || upload.starts_with("there are no"), "{upload}");
    }
    succeed(&mut put(&three, &csv, "after"));
    let mut submit = three.analyst("submit");
    succeed(submit.args(["--data", "after", "--hidden", "4", "--watch"]));
    let audit = succeed(&mut three.client_command("audit verify", "operator"));
    assert!(audit.contains("agree"), "{audit}");
    eprintln!("{sent} pieces; memory {} and {} KiB", before >> 10, after >> 10);
}

#[test]
fn garbage_at_the_data_plane_does_nothing() {
    let mut three = Three::new();
    let right = fs::read_to_string(three.config(2)).unwrap();
    // Server 2 looks for the data plane of server 0 where nobody is, so that server 0 waits for it.
    let [own, nobody] = [three.ports[3], 9].map(|port| format!("data_address = \"127.0.0.1:{port}\""));
    fs::write(three.config(2), right.replace(&own, &nobody)).unwrap();
    (0..3).for_each(|party| three.start(party));
    give(&three, 200, "");
    let id = id_of(&succeed(&mut submit(&three, "waits", 20)));
    let pinned = three.identities[0].fingerprint();
    let config = Arc::new(https_client(Some(&three.identities[2]), pinned).unwrap());
    let (first, port) = (hello(&config), three.ports[3]);
    let server = three.running[0].as_ref().unwrap().id();
    let mut random = Random(2);
    let (amount, mut sent, mut before) = (amount() / 4, 0, None);
    let start = Instant::now();
    while sent < amount {
        let bytes = if random.below(2) == 0 { random.bytes(300) } else { random.mutated(&first) };
        // Between two tries nobody listens.
        if send_raw(port, &bytes) {
            sent += 1;
        } else {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        if sent > amount / 4
            && let [party] = children(server)[..]
        {
            before = before.or(Some((party, memory(party))));
        }
        if sent % 1000 == 0 && succeed(&mut three.analyst("jobs")).contains("failed") {
            // It waits for a server no longer than ten times.
            drop(output(&mut submit(&three, "waits", 20)));
        }
        assert!(amount > 5_000 || start.elapsed() < LIMIT);
    }
    if let Some((party, before)) = before
        && children(server) == [party]
    {
        let after = memory(party);
        assert!(
            after < before + (48 << 20),
            "the party had {before} bytes, and {after} after {sent} pieces of garbage"
        );
    }
    // A peer that has gone mad: it knows the job, and then says anything.
    for _ in 0..2 {
        let start = Instant::now();
        while !rave(&three, &mut random) {
            assert!(start.elapsed() < LIMIT);
        }
    }
    let jobs = succeed(&mut three.analyst("jobs"));
    three.stop(2);
    fs::write(three.config(2), right).unwrap();
    three.start(2);
    let log = three.log(0);
    assert!(!log.contains("panicked"), "{log}");
    if jobs.contains("failed") {
        succeed(submit(&three, "after", 2).arg("--watch"));
    } else {
        let out = output(three.analyst("watch").arg(&id));
        assert!(out.status.success(), "{}{}", text(&out.stderr), three.log(0));
    }
    eprintln!("{sent} pieces at the data plane");
}

/// Greets server 0 as server 2 that works on the same job, and sends noise; whether it came so far.
fn rave(three: &Three, random: &mut Random) -> bool {
    let Some(mut stream) =
        call(three.ports[3], Some(&three.identities[2]), three.identities[0].fingerprint())
    else {
        return false;
    };
    let mut hello = [0; 48];
    hello[..8].copy_from_slice(b"SHAMISEN");
    hello[8] = 2;
    hello[12] = 2;
    // Which job it is, and on how many lanes, the other end says itself.
    let Some(words) = first_words(&mut stream) else { return false };
    hello[15..].copy_from_slice(&words[15..]);
    let Some(found) = verdict(&mut stream, &hello) else { return false };
    assert_eq!(found, 0);
    for _ in 0..20 {
        if stream.write_all(&random.bytes(2000)).is_err() {
            break;
        }
    }
    drop(stream.sock.shutdown(Shutdown::Write));
    hangs_up(&mut stream);
    true
}
