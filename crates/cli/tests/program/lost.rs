//! Parties that are killed, interrupted, or not the right ones.

use std::fs;
use std::num::{NonZeroU8, NonZeroUsize};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use shamisen_data::prepare::Examples;
use shamisen_data::shares::random_id;
use shamisen_data::table::Matrix;
use shamisen_local::link::Link;
use shamisen_local::transport::TransportName;
use shamisen_local::workdir::WorkDir;
use shamisen_nn::plan::{Optimizer, Plan, Task};
use shamisen_party::assignment::{Assignment, Schedule, Score, Work};
use shamisen_party::config::PartyConfig;

use crate::support::{
    Place, children, classify, free_ports, shamisen, signal, table, text, wait, wait_for_line,
};

/// Flags of a training that takes much longer than the tests wait, on two lanes of each party.
const ENDLESS: &str =
    "--hidden 90,90 --threads 2 --epochs 1000000 --batch-size 8 --learning-rate 0.000001 --verbose";

/// Starts a training and waits until it is well under way.
fn launched(place: &Place, temporary: &Place, transport: &str) -> Child {
    let data = place.write("table.csv", table(40));
    let mut child = shamisen()
        .args(classify(&data))
        .args(ENDLESS.split(' '))
        .args(["--transport", transport, "--model"])
        .arg(place.path("model"))
        .env("TMPDIR", temporary.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = child.stderr.take().unwrap();
    wait_for_line(stderr, "epoch 1/");
    child
}

fn is_gone(process: u32) -> bool {
    // A zombie, whose parent has not looked yet, is gone, too.
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

#[test]
fn the_launcher_names_a_killed_party_and_ends_the_others() {
    let (place, temporary) = (Place::new(), Place::new());
    let data = place.write("table.csv", table(40));
    let errors = place.path("errors");
    let mut launcher = shamisen()
        .args(classify(&data))
        .args(ENDLESS.split(' '))
        .args(["--transport", "tls", "--model"])
        .arg(place.path("model"))
        .env("TMPDIR", temporary.path(""))
        .stderr(fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let log = || fs::read_to_string(&errors).unwrap();
    let start = Instant::now();
    while !log().contains("epoch 1/") {
        assert!(
            start.elapsed() < crate::support::LIMIT && launcher.try_wait().unwrap().is_none(),
            "{}",
            log()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let parties = children(launcher.id());
    assert_eq!(parties.len(), 3, "{}", log());
    signal("KILL", parties[1]);
    let status = wait(&mut launcher);
    assert_eq!(status.code(), Some(1), "{}", log());
    let message = log();
    let error = message.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.starts_with("error: party 1 was killed by signal 9"), "{error}");
    assert!(parties.into_iter().all(is_gone));
    assert!(temporary.names().is_empty(), "{:?}", temporary.names());
    assert_eq!(place.names(), ["errors", "table.csv"]);
}

#[test]
fn ctrl_c_leaves_nothing() {
    for (transport, processes, name) in [("tls", 3, "INT"), ("memory", 0, "INT"), ("tls", 3, "TERM")] {
        let (place, temporary) = (Place::new(), Place::new());
        let mut launcher = launched(&place, &temporary, transport);
        let parties = children(launcher.id());
        assert_eq!(parties.len(), processes);
        assert_eq!(temporary.names().len(), 1);
        signal(name, launcher.id());
        assert_eq!(wait(&mut launcher).code(), Some(130));
        assert!(parties.into_iter().all(is_gone));
        assert!(temporary.names().is_empty(), "{:?}", temporary.names());
        assert_eq!(place.names(), ["table.csv"]);
    }
}

/// Threads of each party that is started by hand.
const THREADS: NonZeroU8 = NonZeroU8::MIN.saturating_add(1);

/// Three directories from which parties are started by hand, joined by Unix sockets.
fn by_hand(epochs: usize) -> WorkDir {
    by_hand_at(epochs, None)
}

/// The same, at ports of this machine if they are given.
fn by_hand_at(epochs: usize, ports: Option<[u16; 3]>) -> WorkDir {
    by_hand_with(epochs, ports, None)
}

/// The same, with checkpoints if they are asked for.
fn by_hand_with(epochs: usize, ports: Option<[u16; 3]>, checkpoints: Option<Schedule>) -> WorkDir {
    let plan = Plan {
        task: Task::Regression,
        // Enough parameters for two lanes.
        layers: vec![2, 90, 90, 1],
        optimizer: Optimizer::adam(1),
        learning_rate: 0.001,
        weight_decay: 0.0,
        batch_size: 5,
        epochs,
        seed: 1,
        feature_bits: 9,
        target_bits: 0,
    };
    let matrix =
        |cols: usize| Matrix::new(20, cols, (0..20 * cols).map(|i| (i as f64).sin()).collect()).unwrap();
    let examples = Examples { features: matrix(2), targets: matrix(1) };
    let work = WorkDir::new().unwrap();
    let dataset = random_id().unwrap();
    let task = Work::Train { score: Score::TrainingRows, model: None, start: None, checkpoints };
    let assignment = Assignment::new(plan.clone(), dataset.clone(), task, THREADS);
    work.write_assignment(&assignment).unwrap();
    work.deal(&plan, &dataset, &examples, None).unwrap();
    let link = Link::new(TransportName::Tls, None, None, None, Some(10.0)).unwrap();
    work.write_configs(&link, ports).unwrap();
    for party in 0..3 {
        change(work.party(party), |config| config.connect_timeout = 4.0);
    }
    work
}

fn change(dir: &Path, edit: impl FnOnce(&mut PartyConfig)) {
    let mut config = PartyConfig::read(dir).unwrap();
    edit(&mut config);
    fs::write(dir.join("party.toml"), toml::to_string(&config).unwrap()).unwrap();
}

fn start(work: &WorkDir, party: usize) -> Child {
    let mut command = shamisen();
    command.args(["party", "--dir"]).arg(work.party(party)).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for the end of a party that failed, and returns its status and its message.
fn end(mut party: Child) -> (Option<i32>, String) {
    let status = wait(&mut party);
    let mut stderr = Vec::new();
    std::io::Read::read_to_end(&mut party.stderr.take().unwrap(), &mut stderr).unwrap();
    let message = text(&stderr);
    assert!(!message.contains("panicked"), "{message}");
    (status.code(), message.lines().find(|line| line.starts_with("error: ")).unwrap_or_default().to_owned())
}

/// Starts all three, which must fail, and returns their messages.
fn fail(work: &WorkDir) -> [String; 3] {
    [0, 1, 2].map(|party| start(work, party)).map(|party| {
        let (status, message) = end(party);
        assert_eq!(status, Some(1), "{message}");
        message
    })
}

#[test]
fn parties_by_hand_finish_their_job() {
    for ports in [None, Some(free_ports())] {
        finish(&by_hand_at(1, ports));
    }
}

/// Starts all three, which must succeed.
fn finish(work: &WorkDir) {
    let parties = [0, 1, 2].map(|party| start(work, party));
    for party in parties {
        let output = text(&{
            let output = party.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            output.stdout
        });
        let events: Vec<serde_json::Value> =
            output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.first().unwrap()["event"], "connected");
        assert_eq!(events.last().unwrap()["event"], "finished");
        assert!(events.last().unwrap()["metrics"]["regression"]["mse"].is_number());
    }
}

#[test]
fn a_party_takes_the_place_of_a_killed_one_and_leaves_no_socket() {
    let work = by_hand(1);
    let root = work.party(0).parent().unwrap();
    let socket = root.join("party0.socket");
    let mut alone = start(&work, 0);
    let begun = Instant::now();
    while !socket.exists() {
        assert!(begun.elapsed() < crate::support::LIMIT && alone.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    alone.kill().unwrap();
    alone.wait().unwrap();
    assert!(socket.exists(), "a killed party cannot clean up");
    finish(&work);
    assert_eq!(crate::support::names(root), ["party0", "party1", "party2"]);
}

#[test]
fn an_address_that_is_none_is_refused() {
    let work = by_hand(1);
    let busy = work.party(0).join("busy");
    fs::write(&busy, "no socket").unwrap();
    for (address, part) in [
        ("unix:", "names no file"),
        (&format!("unix:{}", "a".repeat(81)), "at most 80 bytes"),
        ("unix:busy", "or it is another file"),
        ("unix:no/socket", "its directory does not exist"),
    ] {
        change(work.party(0), |config| config.listen = address.to_owned());
        let (status, message) = end(start(&work, 0));
        assert_eq!(status, Some(2), "{message}");
        assert!(message.contains(part) && message.contains(address.trim_start_matches("unix:")), "{message}");
    }
    assert_eq!(fs::read(busy).unwrap(), b"no socket");
}

#[test]
fn the_two_others_name_a_killed_party() {
    let work = by_hand(1_000_000);
    let mut parties = [0, 1, 2].map(|party| start(&work, party));
    for party in &mut parties {
        wait_for_line(party.stdout.take().unwrap(), "progress");
    }
    let [first, mut second, third] = parties;
    let killed = Instant::now();
    second.kill().unwrap();
    for survivor in [first, third] {
        let (status, message) = end(survivor);
        assert_eq!(status, Some(1), "{message}");
        assert!(message.contains("party 1"), "{message}");
    }
    assert!(killed.elapsed() < Duration::from_secs(10));
    second.wait().unwrap();
}

#[test]
fn one_interrupted_party_stops_all_three_at_one_place_from_where_they_go_on() {
    let every = NonZeroUsize::new(64).unwrap();
    let work = by_hand_with(1_000_000, None, Some(Schedule { run: random_id().unwrap(), every }));
    let mut before = 0;
    for victim in [2, 0] {
        let mut parties = [0, 1, 2].map(|party| start(&work, party));
        for party in &mut parties {
            let seen = wait_for_line(party.stdout.take().unwrap(), "progress");
            let event: serde_json::Value = serde_json::from_str(seen.lines().last().unwrap()).unwrap();
            // An epoch has 4 mini-batches.
            let done = 4 * (event["epoch"].as_u64().unwrap() - 1) + event["batch"].as_u64().unwrap();
            assert_eq!(done, before + 1);
        }
        signal("INT", parties[victim].id());
        let ends = parties.map(|mut party| {
            assert_eq!(wait(&mut party).code(), Some(130));
            let mut stderr = String::new();
            std::io::Read::read_to_string(&mut party.stderr.take().unwrap(), &mut stderr).unwrap();
            stderr
        });
        assert!(
            ends[0].starts_with("interrupted after epoch ") && ends.iter().all(|end| *end == ends[0]),
            "{ends:?}"
        );
        let numbers = |party: usize| {
            let names = crate::support::names(work.party(party)).into_iter();
            names.filter_map(|name| name.strip_prefix("checkpoint-")?.parse::<u64>().ok()).max().unwrap()
        };
        assert!(numbers(0) > before && numbers(0) == numbers(1) && numbers(1) == numbers(2));
        before = numbers(0);
    }
}

#[test]
fn a_party_with_another_job_is_refused() {
    let work = by_hand(3);
    let job = work.party(2).join("job.json");
    let text = fs::read_to_string(&job).unwrap().replace("\"epochs\": 3", "\"epochs\": 4");
    fs::write(job, text).unwrap();
    let messages = fail(&work);
    // The two that met know the reason; the third one may have waited in vain.
    let told = messages.iter().filter(|message| message.contains("another job")).count();
    assert!(messages[2].contains("another job") && told >= 2, "{messages:?}");
}

#[test]
fn a_party_with_another_number_of_threads_is_refused() {
    let work = by_hand(3);
    let job = work.party(2).join("job.json");
    let text = fs::read_to_string(&job).unwrap().replace("\"threads\": 2", "\"threads\": 1");
    fs::write(job, text).unwrap();
    let messages = fail(&work);
    // The two that met know the reason; the third one may have waited in vain.
    let told = |message: &&String| message.contains("thread") && message.contains("at all three");
    assert!(told(&&messages[2]) && messages.iter().filter(told).count() >= 2, "{messages:?}");
}

#[test]
fn a_party_with_a_wrong_key_is_refused() {
    let work = by_hand(3);
    // Party 2 has made itself a new key, which the others do not know.
    let stranger = shamisen_net::tls::Identity::generate("stranger").unwrap();
    fs::write(work.party(2).join("certificate.pem"), stranger.certificate_pem()).unwrap();
    fs::write(work.party(2).join("key.pem"), stranger.key_pem().as_bytes()).unwrap();
    let messages = fail(&work);
    // Party 2 gives up as soon as one of the two has refused it; the other one may have waited in vain.
    let refused = |message: &&String| message.contains("party 2") && message.contains("fingerprint");
    assert!(messages[..2].iter().any(|message| refused(&message)), "{messages:?}");
    assert!(messages[2].contains("refused the certificate"), "{messages:?}");
}

#[test]
fn a_party_with_damaged_shares_says_so() {
    let work = by_hand(3);
    let path = work.party(1).join("train-features.share");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    let (status, message) = end(start(&work, 1));
    assert_eq!(status, Some(2), "{message}");
    assert!(message.contains("train-features.share is damaged"), "{message}");
}
