//! Whether three servers are as they should be, and what to do if they are not.
//!
//! A client looks at all three servers, and asks each to look at its two peers, so that all connections are tried in both
//! directions. A server looks at its peers, and asks them to look back. Measuring and judging are apart: what is
//! said about a server depends on what was found there and on nothing else.

use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Instant;

use hyper::body::Bytes;
use shamisen_net::Party;
use shamisen_net::tls::Identity;
use tokio::io::AsyncReadExt;

use crate::Result;
use crate::api::{Check, Health, Received, SECURITY, SPEED_BYTES, ServerInfo, VERSION, Verdict, WhoAmI};
use crate::client::{CallError, Client, broken, secured, told, within};
use crate::cluster::{Cluster, Server};
use crate::config::{PeerServer, ServerConfig};
use crate::consult::runtime;
use crate::server::now;

/// Longest wait for a small answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for what a server finds about its two peers.
const LOOKING: Duration = Duration::from_mins(2);

/// Largest difference of two clocks in seconds that is no fault.
const CLOCK: f64 = 5.0;

/// Longest time in seconds for a message there and back without a note.
const ROUND_TRIP: f64 = 0.05;

/// Least bandwidth in bytes a second without a note: 100 Mbit/s.
const BANDWIDTH: f64 = 12.5e6;

/// Bytes of the first test of the bandwidth, and the time in seconds below which a longer one follows.
const FIRST: (usize, f64) = (1 << 18, 0.25);

/// How often the round trip is measured; the shortest counts.
const ROUND_TRIPS: usize = 5;

/// What was found at a server.
#[derive(Clone, Debug)]
struct Seen {
    who: WhoAmI,
    info: ServerInfo,
    /// Seconds for a small request.
    round_trip: f64,
    /// The server's clock less the own one, in seconds.
    clock: f64,
    /// Bytes a second from the server and to it.
    bandwidth: [f64; 2],
}

/// Looks at the three servers of a cluster, with the key of a person.
///
/// # Errors
///
/// If it cannot begin. What is wrong with the servers is no error, but a check that says so.
pub fn look_at_cluster(cluster: &Cluster, identity: &Identity) -> Result<Vec<Check>> {
    runtime()?.block_on(async {
        let mut checks = Vec::new();
        let mut lanes = Vec::new();
        for server in &cluster.servers {
            let seen = look(identity, server).await;
            if let Ok(seen) = &seen {
                lanes.push((server.party, seen.info.lanes));
            }
            checks.extend(judge(None, server, &seen));
            if seen.is_ok() {
                match ask_about_peers(identity, server).await {
                    Ok(found) => checks.extend(found),
                    Err(error) => checks.push(check(None, server.party, "peers", Err(told(&error)))),
                }
            }
        }
        checks.extend(judge_lanes(&lanes));
        Ok(checks)
    })
}

/// Looks at a server's own machine and at its two peers, with the server's key.
///
/// # Errors
///
/// As [`look_at_cluster`].
pub fn look_from_server(config: &ServerConfig) -> Result<Vec<Check>> {
    runtime()?.block_on(async {
        let identity = &config.identity;
        let mut lanes = vec![(config.party, config.limits.lanes.get())];
        let mut checks = vec![check(None, config.party, "directory", data_directory(&config.data))];
        let own = config.own_server();
        let seen = look(identity, &own).await;
        match &seen {
            Ok(_) => checks.extend(judge(None, &own, &seen)),
            Err(error) => {
                let advice = "start it with `shamisen serve --config` and this file: the peers cannot call back otherwise";
                checks.push(check(None, own.party, "reached", Err((error.to_string(), advice.to_owned()))));
            }
        }
        for peer in peers(config) {
            let seen = look(identity, &peer.server).await;
            if let Ok(seen) = &seen {
                lanes.push((peer.server.party, seen.info.lanes));
            }
            checks.extend(judge(None, &peer.server, &seen));
            if seen.is_err() {
                continue;
            }
            if config.party > peer.server.party {
                checks.push(check(None, peer.server.party, "data", call_data(identity, peer).await));
            }
            match ask_about_peers(identity, &peer.server).await {
                Ok(found) => {
                    let own = config.party.index() as u8;
                    checks.extend(found.into_iter().filter(|check| check.server == own));
                }
                Err(error) => checks.push(check(None, peer.server.party, "peers", Err(told(&error)))),
            }
        }
        checks.extend(judge_lanes(&lanes));
        Ok(checks)
    })
}

/// What a running server finds at its two peers.
pub(crate) async fn look_at_peers(config: &ServerConfig) -> Vec<Check> {
    let mut checks = Vec::new();
    for peer in peers(config) {
        let seen = look(&config.identity, &peer.server).await;
        checks.extend(judge(Some(config.party), &peer.server, &seen));
        // In the data plane the higher number calls.
        if seen.is_ok() && config.party > peer.server.party {
            let outcome = call_data(&config.identity, peer).await;
            checks.push(check(Some(config.party), peer.server.party, "data", outcome));
        }
    }
    checks
}

/// Whether nothing is wrong.
pub fn is_well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Wrong)
}

/// Both peers of a server, in the order of their numbers.
fn peers(config: &ServerConfig) -> [&PeerServer; 2] {
    let mut peers = [&config.peers.next, &config.peers.prev];
    peers.sort_by_key(|peer| peer.server.party);
    peers
}

async fn look(identity: &Identity, server: &Server) -> core::result::Result<Seen, CallError> {
    let mut client = Client::connect(Some(identity), &server.address, server.fingerprint, DEADLINE).await?;
    let who: WhoAmI = client.get("/v1/whoami").await?;
    let mut info: ServerInfo = client.get("/v1/server").await?;
    let (mut round_trip, mut clock) = (f64::INFINITY, 0.0);
    for _ in 0..ROUND_TRIPS {
        let (start, before) = (Instant::now(), now());
        info = client.get("/v1/server").await?;
        let seconds = start.elapsed().as_secs_f64();
        if seconds < round_trip {
            // The server looked at its clock about half way.
            (round_trip, clock) = (seconds, info.clock - before - seconds / 2.0);
        }
    }
    let mut bandwidth = [0.0; 2];
    for (direction, bandwidth) in bandwidth.iter_mut().enumerate() {
        let mut length = FIRST.0;
        let mut seconds = transfer(&mut client, direction, length).await?;
        if seconds < FIRST.1 {
            length = SPEED_BYTES;
            seconds = transfer(&mut client, direction, length).await?;
        }
        *bandwidth = length as f64 / seconds.max(1e-9);
    }
    Ok(Seen { who, info, round_trip, clock, bandwidth })
}

/// Moves bytes from the server (0) or to it (1), and returns the seconds that it took.
async fn transfer(
    client: &mut Client,
    direction: usize,
    length: usize,
) -> core::result::Result<f64, CallError> {
    let start = Instant::now();
    if direction == 0 {
        client.get_bytes(&format!("/v1/speed/{length}")).await?;
    } else {
        client.post::<Received>("/v1/speed", Bytes::from(vec![0; length])).await?;
    }
    Ok(start.elapsed().as_secs_f64())
}

async fn ask_about_peers(
    identity: &Identity,
    server: &Server,
) -> core::result::Result<Vec<Check>, CallError> {
    Client::connect(Some(identity), &server.address, server.fingerprint, LOOKING)
        .await?
        .get("/v1/peers")
        .await
}

/// What was found, and if it is wrong, what to do.
type Finding = core::result::Result<String, (String, String)>;

/// Asks a peer to listen at its port of the data plane, and calls it there.
async fn call_data(identity: &Identity, peer: &PeerServer) -> Finding {
    let PeerServer { server, data_address } = peer;
    let asked = async {
        let mut client =
            Client::connect(Some(identity), &server.address, server.fingerprint, 2 * DEADLINE).await?;
        client.post::<Health>("/v1/data-listen", Bytes::new()).await
    };
    asked.await.map_err(|error: CallError| told(&error))?;
    let called = async {
        let mut stream = secured(Some(identity), data_address, server.fingerprint, DEADLINE).await?;
        let place = data_address.to_string();
        let read = async { stream.read_u8().await.map_err(|error| broken(&place, error)) };
        within(DEADLINE, &place, read).await
    };
    match called.await {
        Ok(_) => Ok(format!("{data_address} answers")),
        Err(error @ (CallError::Unreachable { .. } | CallError::Silent { .. })) => Err((
            error.to_string(),
            "the control plane answers, the data plane does not: let its port through the firewall of that server, and compare data_address here with data_listen there".to_owned(),
        )),
        Err(error) => Err(told(&error)),
    }
}

/// Whether a server can keep things, which is looked at on its own machine.
fn data_directory(dir: &Path) -> Finding {
    if let Err(error) = writable(dir) {
        if error.kind() == ErrorKind::NotFound {
            return Ok(format!("{} is not there yet: the server makes it", dir.display()));
        }
        return Err((
            format!("cannot write to {}: {error}", dir.display()),
            "give the user of the server the right to write there, or name another directory as data in its configuration".to_owned(),
        ));
    }
    Ok(format!("{} can be written to", dir.display()))
}

/// Fails if no file can be made in a directory.
fn writable(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)
}

/// What is to be said about a server from what was found at it.
fn judge(from: Option<Party>, server: &Server, seen: &core::result::Result<Seen, CallError>) -> Vec<Check> {
    let party = server.party;
    let new = |topic, finding| check(from, party, topic, finding);
    let Seen { who, info, round_trip, clock, bandwidth } = match seen {
        Ok(seen) => seen,
        Err(error) => return vec![new("reached", Err(told(error)))],
    };
    let is_it = usize::from(info.party) == party.index();
    let mut checks = vec![
        new(
            "reached",
            if is_it {
                Ok(format!("{} answers", server.address))
            } else {
                Err((
                    format!("{} says that it is server {}", server.address, info.party),
                    "give each server the number under which the others and the clients know it".to_owned(),
                ))
            },
        ),
        new("identity", Ok(format!("it knows the caller as {} ({})", who.name, who.role))),
        new("version", judge_version(info)),
        new("clock", judge_clock(*clock, *round_trip)),
    ];
    checks.push(judge_network(new("network", Ok(network(*round_trip, *bandwidth))), *round_trip, *bandwidth));
    checks.push(new("disk", judge_disk(info.free_disk, info.free_disk_wanted)));
    checks
}

fn judge_version(info: &ServerInfo) -> Finding {
    let found = format!("Shamisen {}, {}", info.version, info.security);
    if info.version == VERSION && info.security == SECURITY {
        return Ok(found);
    }
    Err((
        format!("{found}, here it is Shamisen {VERSION}, {SECURITY}"),
        "install the same release at all three servers and at their clients".to_owned(),
    ))
}

fn judge_clock(clock: f64, round_trip: f64) -> Finding {
    let ahead = if clock < 0.0 { "behind" } else { "ahead" };
    // Where in the round trip the server looked at its clock is not known.
    if clock.abs() <= CLOCK + round_trip / 2.0 {
        return Ok(format!("{:.1} s {ahead}", clock.abs()));
    }
    Err((
        format!("its clock is {:.0} s {ahead} of the one here", clock.abs()),
        "let both machines set their clocks by the network (NTP): `timedatectl set-ntp true`".to_owned(),
    ))
}

fn network(round_trip: f64, [from, to]: [f64; 2]) -> String {
    let megabits = |bytes: f64| bytes * 8e-6;
    format!(
        "{:.1} ms there and back, {:.0} Mbit/s from it, {:.0} Mbit/s to it",
        round_trip * 1e3,
        megabits(from),
        megabits(to)
    )
}

fn judge_network(mut check: Check, round_trip: f64, bandwidth: [f64; 2]) -> Check {
    let advice = if round_trip > ROUND_TRIP {
        "a mini-batch has tens of rounds, each as long as this: training will wait most of the time; choose machines that are nearer to each other"
    } else if bandwidth.iter().any(|bandwidth| *bandwidth < BANDWIDTH) {
        "a mini-batch moves megabytes: training will wait for the network; use a faster one if it takes too long"
    } else {
        return check;
    };
    check.verdict = Verdict::Note;
    check.advice = Some(advice.to_owned());
    check
}

fn judge_disk(free: Option<u64>, wanted: u64) -> Finding {
    match free {
        None => Ok("free space is not known".to_owned()),
        Some(free) if free >= wanted => Ok(format!("{:.1} GB free", free as f64 * 1e-9)),
        Some(free) => Err((
            format!("{:.1} GB free, {:.1} GB are wanted", free as f64 * 1e-9, wanted as f64 * 1e-9),
            "make room at that server, or lower free_disk_bytes in its [limits]".to_owned(),
        )),
    }
}

/// All servers must compute with the same number of threads.
fn judge_lanes(lanes: &[(Party, u8)]) -> Option<Check> {
    let (first, others) = lanes.split_first()?;
    let odd = others.iter().find(|other| other.1 != first.1)?;
    let finding = format!("it computes with {} threads, server {} with {}", odd.1, first.0.index(), first.1);
    let advice = "give lanes in the [limits] of all three servers, the same number in each".to_owned();
    Some(check(None, odd.0, "threads", Err((finding, advice))))
}

fn check(from: Option<Party>, server: Party, topic: &str, finding: Finding) -> Check {
    let (verdict, finding, advice) = match finding {
        Ok(finding) => (Verdict::Ok, finding, None),
        Err((finding, advice)) => (Verdict::Wrong, finding, Some(advice)),
    };
    Check {
        from: from.map(|party| party.index() as u8),
        server: server.index() as u8,
        topic: topic.to_owned(),
        verdict,
        finding,
        advice,
    }
}

#[cfg(test)]
mod tests {
    use shamisen_net::tls::Fingerprint;

    use super::*;
    use crate::Role;

    fn server() -> Server {
        let address = "s1.example.org:7443".parse().unwrap();
        Server { party: Party::ALL[1], address, fingerprint: Fingerprint::from_bytes([1; 32]) }
    }

    fn seen() -> Seen {
        Seen {
            who: WhoAmI { name: "North".into(), role: Role::Owner, fingerprint: String::new() },
            info: ServerInfo {
                version: VERSION.into(),
                party: 1,
                security: SECURITY.into(),
                clock: 0.0,
                free_disk: Some(2_000_000_000),
                free_disk_wanted: 1_000_000_000,
                lanes: 2,
            },
            round_trip: 0.001,
            clock: 0.2,
            bandwidth: [1e8, 1e8],
        }
    }

    #[test]
    fn a_good_server_is_well() {
        let checks = judge(None, &server(), &Ok(seen()));
        assert!(is_well(&checks), "{checks:?}");
        assert!(checks.iter().all(|check| check.verdict == Verdict::Ok && check.advice.is_none()));
        let topics: Vec<&str> = checks.iter().map(|check| check.topic.as_str()).collect();
        assert_eq!(topics, ["reached", "identity", "version", "clock", "network", "disk"]);
    }

    #[test]
    fn each_fault_is_named_with_what_to_do() {
        type Change = fn(&mut Seen);
        let cases: [(Change, &str, &str, &str); 7] = [
            (|seen| seen.info.party = 2, "reached", "says that it is server 2", "number under which"),
            (|seen| seen.info.version = "9.0.0".into(), "version", "Shamisen 9.0.0", "the same release"),
            (|seen| seen.info.security = "none".into(), "version", "none, here it is", "the same release"),
            (|seen| seen.clock = 61.0, "clock", "is 61 s ahead", "NTP"),
            (|seen| seen.clock = -7.0, "clock", "is 7 s behind", "NTP"),
            (|seen| seen.info.free_disk = Some(0), "disk", "0.0 GB free, 1.0 GB are wanted", "make room"),
            (
                |seen| seen.info.free_disk_wanted = 3_000_000_000,
                "disk",
                "2.0 GB free, 3.0",
                "free_disk_bytes",
            ),
        ];
        for (change, topic, finding, advice) in cases {
            let mut seen = seen();
            change(&mut seen);
            let checks = judge(Some(Party::ALL[0]), &server(), &Ok(seen));
            let wrong: Vec<&Check> = checks.iter().filter(|check| check.verdict == Verdict::Wrong).collect();
            let [wrong] = wrong[..] else { panic!("{checks:?}") };
            assert_eq!((wrong.from, wrong.server, wrong.topic.as_str()), (Some(0), 1, topic));
            assert!(wrong.finding.contains(finding), "{wrong:?}");
            assert!(wrong.advice.as_ref().unwrap().contains(advice), "{wrong:?}");
        }
    }

    #[test]
    fn a_clock_may_be_off_by_what_is_not_known() {
        assert!(judge_clock(7.0, 6.0).is_ok());
        assert!(judge_clock(7.0, 0.1).is_err());
    }

    #[test]
    fn a_directory_is_looked_at_and_left_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        assert!(data_directory(place.path()).unwrap().ends_with("can be written to"));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        let missing = place.path().join("data");
        assert!(data_directory(&missing).unwrap().contains("is not there yet"));
        assert!(!missing.exists());
        fs::write(&missing, "a file").unwrap();
        let (finding, advice) = data_directory(&missing).unwrap_err();
        assert!(
            finding.starts_with("cannot write to ") && advice.contains("the right to write"),
            "{finding}"
        );
    }

    #[test]
    fn a_slow_network_is_no_fault() {
        for change in [|seen: &mut Seen| seen.round_trip = 0.2, |seen: &mut Seen| seen.bandwidth[1] = 1e5] {
            let mut seen = seen();
            change(&mut seen);
            let checks = judge(None, &server(), &Ok(seen));
            assert!(is_well(&checks));
            assert!(checks.iter().any(|check| check.verdict == Verdict::Note && check.advice.is_some()));
        }
    }

    #[test]
    fn threads_must_be_the_same_at_all_three() {
        let [p0, p1, p2] = Party::ALL;
        assert!(judge_lanes(&[(p0, 2), (p1, 2), (p2, 2)]).is_none());
        let check = judge_lanes(&[(p0, 2), (p1, 2), (p2, 4)]).unwrap();
        assert_eq!((check.server, check.verdict), (2, Verdict::Wrong));
        assert!(check.finding.contains("4 threads, server 0 with 2"), "{check:?}");
    }
}
