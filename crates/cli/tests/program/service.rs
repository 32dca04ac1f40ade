//! Keys, and three servers as a service.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shamisen_service::api::{Health, ServerInfo, WhoAmI};
use shamisen_service::client::CallError;
use shamisen_service::{Role, keys};

use crate::support::{Place, free_ports, output, shamisen, signal, succeed, text, wait, wait_for_line};
use crate::three::Three;

#[test]
fn keygen_shows_what_to_give_to_whom() {
    let place = Place::new();
    let dir = place.path("north");
    let out = succeed(
        shamisen().args(["keygen", "--role", "owner", "--name", "North \"hospital\"", "--out"]).arg(&dir),
    );
    let block = &out[out.find("[[person]]").unwrap()..];
    let person: toml::Table = toml::from_str(block).unwrap();
    let person = &person["person"][0];
    assert_eq!(person["name"].as_str(), Some("North \"hospital\""));
    assert_eq!(person["role"].as_str(), Some("owner"));
    assert!(out.contains(&format!("fingerprint  {}", person["fingerprint"].as_str().unwrap())), "{out}");
    let key = dir.join("key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    let before = fs::read(&key).unwrap();
    let again = output(shamisen().args(["keygen", "--role", "server", "--name", "x", "--out"]).arg(&dir));
    assert_eq!(again.status.code(), Some(2));
    let message = text(&again.stderr);
    assert!(message.contains("never overwritten") && message.contains("hint: "), "{message}");
    assert_eq!(fs::read(&key).unwrap(), before);

    let out = succeed(
        shamisen().args(["keygen", "--role", "server", "--name", "first", "--out"]).arg(place.path("s")),
    );
    assert!(out.contains("[[peer]]") && out.contains("address = \"HOST:7443\""), "{out}");
}

#[tokio::test]
async fn servers_answer_those_whom_they_know() {
    let mut three = Three::started();
    keys::create(&three.place.path("stranger"), "stranger").unwrap();
    for party in 0..3 {
        for key in [None, Some("stranger"), Some("owner")] {
            let health: Health = three.client(party, key).await.get("/health").await.unwrap();
            assert_eq!(health.status, "ok");
        }
        for (key, part) in [(None, "a key that it knows"), (Some("stranger"), "does not know the key")] {
            let refused = three.client(party, key).await.get::<WhoAmI>("/v1/whoami").await.unwrap_err();
            assert!(matches!(refused, CallError::Refused { status: 401, .. }), "{refused}");
            assert!(refused.to_string().contains(part), "{refused}");
        }
        let mut client = three.client(party, Some("owner")).await;
        let me: WhoAmI = client.get("/v1/whoami").await.unwrap();
        assert_eq!((me.name.as_str(), me.role), ("the owner", Role::Owner));
        let server: ServerInfo = client.get("/v1/server").await.unwrap();
        assert_eq!((usize::from(server.party), server.lanes), (party, 1));
        let peer = format!("server{}", (party + 1) % 3);
        let me: WhoAmI = three.client(party, Some(&peer)).await.get("/v1/whoami").await.unwrap();
        assert_eq!((me.name, me.role), (peer.replace("server", "server "), Role::Server));
    }
    let wrong = three.identities[1].fingerprint();
    let error = three.connect(0, None, wrong).await.unwrap_err();
    assert!(matches!(error, CallError::WrongKey { .. }), "{error}");
    (0..3).for_each(|party| three.stop(party));
    let log = three.log(0);
    let line =
        log.lines().find(|line| line.contains("person=\"the owner\"") && line.contains("whoami")).unwrap();
    for part in ["request=", "method=GET", "route=\"/v1/whoami\"", "status=200"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(log.contains("person=\"a stranger\"") && !log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn a_server_ends_when_it_is_asked_to() {
    let mut three = Three::new();
    three.start(0);
    // Somebody who connects and says nothing does not keep it.
    let silent = TcpStream::connect(("127.0.0.1", three.ports[0])).unwrap();
    three.stop(0);
    drop(silent);
    assert!(three.log(0).contains("asked to stop"), "{}", three.log(0));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let mut three = Three::new();
    three.start(0);
    let fails = |config: &PathBuf| {
        let output = output(shamisen().args(["serve", "--config"]).arg(config));
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    let message = fails(&three.config(0));
    assert!(message.contains("another server works in"), "{message}");
    let other = fs::read_to_string(three.config(0)).unwrap().replace("\"data0\"", "\"other\"");
    let message = fails(&three.place.write("other.toml", &other));
    assert!(message.contains(&format!("cannot listen at 127.0.0.1:{}", three.ports[0])), "{message}");
    let message = fails(&three.place.write("odd.toml", other.replace("party = 0", "party = 9")));
    assert!(message.contains("odd.toml, line 1: there is no party 9"), "{message}");
    let message = fails(&three.place.path("none.toml"));
    assert!(message.contains("cannot read") && message.contains("none.toml"), "{message}");
}

/// The line about something, and whether it is as it should be; what to do is on the next one.
#[track_caller]
fn finds(found: &str, verdict: &str, subject: &str, topic: &str, parts: &[&str]) {
    let start = format!("{verdict:<6} {subject:<21} {topic:<9} ");
    let mut lines = found.lines().skip_while(|line| !line.starts_with(&start));
    let line = lines.next().unwrap_or_else(|| panic!("no line begins with {start:?} in\n{found}"));
    let both = format!("{line} {}", lines.next().unwrap_or_default());
    for part in parts {
        assert!(both.contains(part), "{part:?} is not in {both}");
    }
}

#[test]
fn the_doctor_finds_nothing_where_all_is_well() {
    let three = Three::started();
    let report = three.doctor(&three.cluster(None), "owner", 0);
    assert!(report.ends_with("all is well\n") && !report.contains("wrong"), "{report}");
    for party in 0..3 {
        let subject = format!("server {party}");
        finds(&report, "ok", &subject, "identity", &["the owner (owner)"]);
        for peer in (0..3).filter(|peer| *peer != party) {
            let subject = format!("server {party} to server {peer}");
            finds(&report, "ok", &subject, "identity", &[&format!("server {party} (server)")]);
            finds(&report, "ok", &subject, "disk", &["GB free"]);
            if peer < party {
                finds(&report, "ok", &subject, "data", &[&three.ports[3 + peer].to_string()]);
            }
        }
        let own = three.doctor_at(party, 0);
        assert!(own.ends_with("all is well\n"), "{own}");
        finds(&own, "ok", &format!("server {} to server {party}", (party + 1) % 3), "reached", &[]);
    }
}

#[test]
fn the_doctor_says_which_server_is_down_and_who_is_a_stranger() {
    let mut three = Three::started();
    keys::create(&three.place.path("stranger"), "stranger").unwrap();
    let cluster = three.cluster(None);
    let report = three.doctor(&cluster, "stranger", 2);
    finds(&report, "wrong", "server 0", "reached", &["does not know the key", "-> ask its operator"]);
    assert!(report.ends_with("3 things are wrong\n"), "{report}");

    three.stop(2);
    let address = format!("127.0.0.1:{}", three.ports[2]);
    let report = three.doctor(&cluster, "owner", 2);
    for subject in ["server 2", "server 0 to server 2", "server 1 to server 2"] {
        finds(&report, "wrong", subject, "reached", &[&address, "refused", "-> check that the server runs"]);
    }
    finds(&report, "ok", "server 1 to server 0", "data", &[]);
    let report = three.doctor_at(2, 2);
    finds(&report, "wrong", "server 2", "reached", &["-> start it with `shamisen serve --config`"]);
    finds(&report, "ok", "server 1", "identity", &["server 2 (server)"]);
    finds(&report, "wrong", "server 1 to server 2", "reached", &[&address]);
}

#[test]
fn the_doctor_says_where_a_fingerprint_is_wrong() {
    let mut three = Three::new();
    let odd = keys::create(&three.place.path("odd"), "odd").unwrap().fingerprint();
    let right = three.identities[0].fingerprint();
    let text = fs::read_to_string(three.config(1)).unwrap();
    fs::write(three.config(1), text.replace(&right.to_string(), &odd.to_string())).unwrap();
    (0..3).for_each(|party| three.start(party));
    let report = three.doctor(&three.cluster(None), "owner", 2);
    let keys = [right.to_string(), odd.to_string()];
    let advice = "-> ask the operator of that server for its fingerprint";
    finds(&report, "wrong", "server 1 to server 0", "reached", &[&keys[0], &keys[1], advice]);
    finds(&report, "wrong", "server 0 to server 1", "reached", &["does not know the key", &keys[0]]);
    assert!(report.ends_with("2 things are wrong\n"), "{report}");

    let report = three.doctor(&three.cluster(Some((2, odd))), "owner", 2);
    finds(&report, "wrong", "server 2", "reached", &[&keys[1], advice]);
}

#[test]
fn the_doctor_tries_the_port_of_the_data_plane() {
    let mut three = Three::new();
    (0..3).for_each(|party| three.start(party));
    let blocked = TcpListener::bind(("127.0.0.1", three.ports[3])).unwrap();
    let report = three.doctor(&three.cluster(None), "owner", 2);
    let address = blocked.local_addr().unwrap().to_string();
    for subject in ["server 1 to server 0", "server 2 to server 0"] {
        finds(&report, "wrong", subject, "data", &["cannot listen", &address, "-> end the program"]);
    }
    finds(&report, "ok", "server 2 to server 1", "data", &[]);
}

#[test]
fn the_example_brings_up_three_servers() {
    let place = Place::new();
    let [port, ..] = free_ports::<6>();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/three-servers/up.sh");
    let dir = place.path("try");
    let log = place.path("log");
    // The second time with the keys that are there.
    for _ in 0..2 {
        let mut up = Command::new(&script)
            .arg(&dir)
            .arg(port.to_string())
            .env("SHAMISEN", env!("CARGO_BIN_EXE_shamisen"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let seen = wait_for_line(up.stdout.take().unwrap(), "three servers run");
        assert!(seen.contains("all is well"), "{seen}");
        signal("TERM", up.id());
        assert_eq!(wait(&mut up).code(), Some(0), "{}", fs::read_to_string(&log).unwrap());
        for party in 0..3 {
            let log = fs::read_to_string(dir.join(format!("server{party}.log"))).unwrap();
            assert!(log.contains("asked to stop"), "{log}");
        }
    }
}
