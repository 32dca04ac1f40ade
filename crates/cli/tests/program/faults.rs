//! What may happen to servers while they work: they are killed, stand still, are cut off, have no room or a wrong clock.
//!
//! `SHAMISEN_FAULTS=N` lets the servers be killed N times as often, and peers stand still until their deadlines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use shamisen_service::job::{JobState, JobStatus};

use crate::data_sets::{by, put, share_files, terms, verify};
use crate::jobs::{give, id_of, is_beyond, status, submit, wait_until};
use crate::proxy::{Network, Traffic};
use crate::support::{LIMIT, children, names, output, shamisen, signal, succeed, table, text, wait};
use crate::three::Three;
use crate::uploads::{large, wait_for_bytes};

/// How often every server is killed in every phase.
fn rounds() -> usize {
    std::env::var("SHAMISEN_FAULTS").map_or(1, |rounds| rounds.parse().unwrap())
}

/// Kills a server at once, and starts it again.
fn kill(three: &mut Three, party: usize, kills: &mut usize) {
    three.kill(party);
    *kills += 1;
    three.start(party);
}

/// The job ends well at all three.
async fn ends_well(three: &Three, id: &str) -> JobStatus {
    let mut seen = Vec::new();
    for party in 0..3 {
        let end = wait_until(three, party, id, |status| status.state.is_over()).await;
        assert_eq!(end.state, JobState::Done, "{end:?}\n{}", three.log(party));
        seen.push(end);
    }
    assert!(seen.iter().all(|end| end.results[0].loss == seen[0].results[0].loss));
    seen.swap_remove(0)
}

/// Waits for a file in a directory that the condition takes.
fn wait_for_file(dir: &Path, expected: impl Fn(&str) -> bool) {
    let start = Instant::now();
    loop {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        if entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(&expected)) {
            return;
        }
        assert!(start.elapsed() < LIMIT, "nothing comes in {}", dir.display());
        // A file that is being written is there for a moment only.
        std::hint::spin_loop();
    }
}

/// A job with a model, which keeps a checkpoint after each report.
fn submit_model(three: &Three, name: &str, epochs: usize) -> Command {
    let mut submit = submit(three, name, epochs);
    submit.args(["--checkpoint-every", "1", "--outputs", "metrics,loss,predictions,model"]);
    submit
}

#[tokio::test]
async fn servers_that_are_killed_in_any_phase_lose_nothing() {
    let mut three = Three::started();
    give(&three, 400, "");
    let big = three.place.write("big.csv", large(4_000));
    let rows = three.place.write("rows.csv", table(50));
    let (mut kills, mut data_sets) = (0, 1);
    succeed(submit_model(&three, "model", 2).arg("--watch"));
    for round in 0..rounds() {
        for party in 0..3 {
            let name = format!("{round}-{party}");
            let jobs = three.place.path(&format!("data{party}/jobs"));

            // Uploading.
            terms(&three, "");
            let mut child =
                put(&three, &big, &name).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let there: u64 = share_files(&three, party).iter().map(|(_, size)| size).sum();
            wait_for_bytes(&three, party, there + 1000, &mut child);
            kill(&mut three, party, &mut kills);
            assert!(wait(&mut child).success(), "{}", three.log(party));
            data_sets += 1;

            // Training, while another job waits; checkpointing; at the end.
            let first = id_of(&succeed(&mut submit_model(&three, &format!("first-{name}"), 40)));
            let second = id_of(&succeed(&mut submit_model(&three, &format!("second-{name}"), 2)));
            wait_until(&three, (party + 1) % 3, &first, |status| is_beyond(status, 1)).await;
            kill(&mut three, party, &mut kills);
            assert_eq!(status(&three, party, &second).await.state, JobState::Queued);
            wait_until(&three, party, &first, |status| is_beyond(status, 3)).await;
            let dir = jobs.join(&first).join("0");
            wait_for_file(&dir, |name| name.starts_with('.') && name.contains("checkpoint"));
            kill(&mut three, party, &mut kills);
            wait_until(&three, 0, &first, |status| status.state == JobState::Done).await;
            kill(&mut three, party, &mut kills);
            for id in [&first, &second] {
                ends_well(&three, id).await;
            }

            // Predicting. Whoever asks hears why it came to nothing, and asks again.
            let before = names(&jobs).len();
            let answer = three.place.path(&format!("answer-{name}.csv"));
            let mut predict = three_predict(&three, &rows, &answer);
            let mut child = predict.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let start = Instant::now();
            while names(&jobs).len() == before && child.try_wait().unwrap().is_none() {
                assert!(start.elapsed() < LIMIT);
                std::hint::spin_loop();
            }
            kill(&mut three, party, &mut kills);
            let result = child.wait_with_output().unwrap();
            if !result.status.success() {
                let message = text(&result.stderr);
                assert!(message.contains("server ") && !answer.exists(), "{message}");
                succeed(&mut predict);
            }
            assert_eq!(fs::read_to_string(&answer).unwrap().lines().count(), 51);
        }
    }
    // Nothing is there twice, by halves, or at one server alone.
    let list = succeed(&mut three.client_command("list", "owner"));
    assert_eq!(list.lines().count(), data_sets, "{list}");
    assert!(!list.contains("not at server") && !list.contains("under way"), "{list}");
    let models = succeed(&mut three.analyst("models"));
    assert_eq!(models.matches("4-8-2").count(), 1 + 6 * rounds(), "{models}");
    let start = Instant::now();
    let is_over = |job: &str| ["done", "failed", "cancelled"].iter().any(|state| job.contains(state));
    loop {
        let jobs = succeed(&mut three.analyst("jobs"));
        if jobs.lines().skip(1).all(is_over) {
            break;
        }
        assert!(start.elapsed() < LIMIT, "{jobs}");
    }
    for party in 0..3 {
        kill(&mut three, party, &mut kills);
        for job in names(&three.place.path(&format!("data{party}/jobs"))) {
            let left = names(&three.place.path(&format!("data{party}/jobs/{job}")));
            assert!(
                left.iter()
                    .all(|name| ["log.jsonl", "losses.jsonl", "predictions.share"].contains(&name.as_str())),
                "{left:?}"
            );
        }
    }
    assert!(verify(&three, "operator").contains("the three logs are whole, and agree"));
    assert!(kills >= 15 * rounds(), "{kills}");
    eprintln!("{kills} kills");
}

/// The analyst asks for predictions of the first model.
fn three_predict(three: &Three, rows: &Path, answer: &Path) -> Command {
    let mut predict = three.analyst("predict");
    predict.args(["--model", "model", "--data"]).arg(rows).arg("--output").arg(answer);
    predict
}

/// Copies a directory with all that is in it.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_model_is_bit_for_bit_the_same_whatever_happened() {
    let mut three = Three::started();
    give(&three, 400, "");
    let id = id_of(&succeed(&mut submit_model(&three, "same", 60)));
    wait_until(&three, 1, &id, |status| is_beyond(status, 3)).await;
    // Each run of the protocols draws its own keys. Those of this one are in its checkpoints: it goes on twice from here.
    (0..3).for_each(|party| three.stop(party));
    let dir = |three: &Three, name: &str, party: usize| three.place.path(&format!("{name}{party}"));
    (0..3).for_each(|party| copy(&dir(&three, "data", party), &dir(&three, "kept", party)));
    let mut outcomes: Vec<(Vec<f64>, Vec<Vec<u8>>)> = Vec::new();
    for faults in [false, true] {
        (0..3).for_each(|party| three.start(party));
        if faults {
            for (round, party) in [0, 1, 2, 0].into_iter().enumerate() {
                wait_until(&three, party, &id, |status| is_beyond(status, 10 + 5 * round)).await;
                three.kill(party);
                three.start(party);
            }
        }
        let end = ends_well(&three, &id).await;
        let exported = three.place.path(&format!("exported-{faults}"));
        succeed(three.analyst("export").args(["--model", &id, "--to"]).arg(&exported));
        let share = |party: usize| fs::read(exported.join(format!("party{party}.share"))).unwrap();
        outcomes.push((end.results[0].loss.clone(), (0..3).map(share).collect()));
        (0..3).for_each(|party| three.stop(party));
        for party in 0..3 {
            fs::remove_dir_all(dir(&three, "data", party)).unwrap();
            copy(&dir(&three, "kept", party), &dir(&three, "data", party));
        }
    }
    assert_eq!(outcomes[0].0, outcomes[1].0);
    assert!(outcomes[0] == outcomes[1], "the shares of the model differ");
}

/// A server with its party.
fn processes(three: &Three, party: usize) -> Vec<u32> {
    let server = three.running[party].as_ref().unwrap().id();
    children(server).into_iter().chain([server]).collect()
}

#[tokio::test]
async fn a_server_that_stands_still_holds_the_others_up_and_is_named() {
    let three = Three::started();
    give(&three, 400, "");
    let id = id_of(&succeed(&mut submit_model(&three, "model", 60)));
    for party in 0..3 {
        let seen = wait_until(&three, party, &id, |status| is_beyond(status, 2 + 4 * party)).await;
        let still = processes(&three, party);
        for process in &still {
            signal("STOP", *process);
        }
        let other = (party + 1) % 3;
        if rounds() > 1 {
            let waits = wait_until(&three, other, &id, |status| status.state == JobState::Interrupted).await;
            // Whom a party waits for may wait itself, or have given up first; which server it is, the doctor finds.
            let reason = waits.reason.unwrap();
            let told = ["was silent for", "closed the connection", "met"];
            assert!(told.iter().any(|part| reason.contains(part)), "{reason}");
            let found = three.doctor(&three.cluster(None), "analyst", 2);
            let is_named = |line: &str| {
                line.starts_with(&format!("wrong  server {party} "))
                    && line.contains("did not answer within 10 seconds")
            };
            assert!(found.lines().any(is_named), "{found}");
        } else {
            // The others answer all the while.
            for _ in 0..20 {
                assert!(!status(&three, other, &id).await.state.is_over());
            }
            sleep(Duration::from_secs(1));
        }
        for process in &still {
            signal("CONT", *process);
        }
        wait_until(&three, party, &id, |status| {
            status.state.is_over() || (status.progress.is_some() && status.progress != seen.progress)
        })
        .await;
    }
    ends_well(&three, &id).await;
}

#[tokio::test]
async fn a_network_that_was_cut_and_restored_costs_nothing() {
    let mut three = Three::new();
    let network = Network::new();
    let through = three.ports.map(|port| network.to(port));
    for party in 0..3 {
        let mut config = fs::read_to_string(three.config(party)).unwrap();
        for peer in (0..3).filter(|peer| *peer != party) {
            for at in [peer, 3 + peer] {
                let [from, to] =
                    [three.ports[at], through[at]].map(|port| format!("address = \"127.0.0.1:{port}\""));
                assert!(config.contains(&from));
                config = config.replace(&from, &to);
            }
        }
        fs::write(three.config(party), config).unwrap();
        three.start(party);
    }
    // Cut off from each other, the servers have all of a table and no data set.
    network.set(Traffic::Cut);
    let csv = three.place.write("big.csv", large(2_000));
    terms(&three, "");
    let mut child = put(&three, &csv, "cut").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_bytes(&three, 0, 1000, &mut child);
    let ready = |party: usize| {
        let log = fs::read_to_string(three.place.path(&format!("data{party}/audit.log"))).unwrap();
        log.contains("upload.ready")
    };
    let start = Instant::now();
    while !(0..3).all(ready) {
        assert!(start.elapsed() < LIMIT);
        sleep(Duration::from_millis(20));
    }
    assert!(succeed(&mut three.analyst("list")).starts_with("there are no data sets"));
    network.set(Traffic::Flows);
    assert!(wait(&mut child).success());
    assert!(succeed(&mut three.analyst("list")).contains("cut"));

    give(&three, 400, "");
    let id = id_of(&succeed(&mut submit_model(&three, "model", 60)));
    for round in 0..2 {
        let seen = wait_until(&three, round, &id, |status| is_beyond(status, 2 + 4 * round)).await;
        network.set(Traffic::Cut);
        for party in 0..3 {
            let waits = wait_until(&three, party, &id, |status| status.state == JobState::Interrupted).await;
            assert!(waits.reason.is_some(), "{waits:?}");
        }
        network.set(Traffic::Flows);
        let beyond = |status: &JobStatus| {
            status.state.is_over() || (status.progress.is_some() && status.progress != seen.progress)
        };
        wait_until(&three, round, &id, beyond).await;
        network.set(Traffic::Stands);
        sleep(Duration::from_secs(1));
        network.set(Traffic::Flows);
    }
    ends_well(&three, &id).await;
    assert!(verify(&three, "operator").contains("agree"));
}

/// A small disk, if the system lets the test have one; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: PathBuf) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs"]).arg(&place).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(place))
    }

    fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }

    /// Leaves no byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut fill = Command::new("dd");
        fill.arg("if=/dev/zero").arg(format!("of={}", path.display())).arg("bs=4k").stderr(Stdio::null());
        assert!(!fill.status().unwrap().success(), "the disk has no end");
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server may use it still.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_is_lost_by_it() {
    let mut three = Three::new();
    let Some(disk) = SmallDisk::mount(three.place.path("data1")) else {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    };
    (0..3).for_each(|party| three.start(party));
    terms(&three, "");
    let big = three.place.write("big.csv", large(20_000));
    let mut first = by(&three, "owner", &["put", big.to_str().unwrap(), "--name", "big", "--target", "kind"]);
    first.args(["--task", "classification", "--patience", "2", "--terms"]);
    let failed = output(first.arg(three.place.path("terms.toml")));
    let message = text(&failed.stderr);
    assert!(!failed.status.success() && message.contains("the disk of this server is full"), "{message}");
    assert!(succeed(&mut three.analyst("list")).starts_with("there are no data sets"));
    // With more room it goes on, without a new start.
    disk.resize("64m");
    succeed(&mut put(&three, &big, "big"));
    assert!(succeed(&mut three.analyst("list")).contains("big"));

    give(&three, 400, "");
    let id = id_of(&succeed(&mut submit_model(&three, "model", 120)));
    wait_until(&three, 1, &id, |status| is_beyond(status, 2)).await;
    let filler = disk.fill();
    let told = |status: &JobStatus| {
        matches!(status.state, JobState::Interrupted | JobState::Failed) && status.reason.is_some()
    };
    let waits = wait_until(&three, 1, &id, told).await;
    let reason = waits.reason.unwrap();
    assert!(reason.contains("is full") || reason.contains("no room"), "{reason}");
    fs::remove_file(filler).unwrap();
    let end = wait_until(&three, 1, &id, |status| status.state.is_over()).await;
    // It had only to wait.
    assert_eq!(end.state, JobState::Done, "{end:?}");
    let out = succeed(submit_model(&three, "after", 2).arg("--watch"));
    ends_well(&three, &id_of(&out)).await;
    assert!(verify(&three, "operator").contains("agree"));
}

/// A library that lets the clock of a program be off.
fn clock_library(three: &Three) -> PathBuf {
    let source = three.place.write(
        "clock.c",
        "
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdlib.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *now) {
            static int (*real)(clockid_t, struct timespec *);
            if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");
            int result = real(clock, now);
            const char *offset = getenv(\"CLOCK_OFFSET\");
            if (clock == CLOCK_REALTIME && offset) now->tv_sec += atol(offset);
            return result;
        }",
    );
    let library = three.place.path("clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(cc.status().unwrap().success());
    library
}

#[tokio::test]
async fn a_clock_that_is_off_is_found_and_binds_its_own_server_alone() {
    let mut three = Three::new();
    let library = clock_library(&three);
    let off = |seconds: i64| {
        let library = library.clone();
        move |command: &mut Command| {
            command.env("LD_PRELOAD", &library).env("CLOCK_OFFSET", seconds.to_string());
        }
    };
    three.start(0);
    three.start_with(1, off(3600));
    three.start_with(2, off(-3600));
    let found = three.doctor(&three.cluster(None), "analyst", 2);
    for part in ["its clock is 3600 s ahead", "its clock is 3600 s behind", "timedatectl set-ntp true"] {
        assert!(found.contains(part), "{part} is not in {found}");
    }
    // Nothing that the three agree on depends on their clocks.
    give(&three, 400, "");
    let id = id_of(&succeed(submit_model(&three, "model", 8).arg("--watch")));
    ends_well(&three, &id).await;
    let rows = three.place.write("rows.csv", table(20));
    succeed(&mut three_predict(&three, &rows, &three.place.path("answer.csv")));
    assert!(verify(&three, "operator").contains("agree"));
    three.kill(1);
    // Terms are checked by each server's own clock: one that is past their last day refuses, and so no training is.
    three.start_with(1, off(100 * 365 * 86_400));
    let refused = output(&mut submit(&three, "late", 1));
    let message = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("server 1: ") && message.contains("`expires`"), "{message}");
    let jobs = succeed(&mut three.analyst("jobs"));
    assert!(jobs.lines().all(|job| !job.contains("late") || job.contains("cancelled")), "{jobs}");
    let found = output(shamisen().args(["doctor", "--config"]).arg(three.config(0)));
    assert!(text(&found.stdout).contains("ahead of the one here"), "{}", text(&found.stdout));
}
