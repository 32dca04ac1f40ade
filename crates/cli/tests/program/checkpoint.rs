//! Trainings that are killed or interrupted go on as if nothing had happened, bit for bit.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bad_input::refused;
use crate::support::{
    LIMIT, Place, children, classify, names, output, shamisen, signal, succeed, table, text, wait,
};

/// Flags of a training of 120 mini-batches with a checkpoint every 16 and at the end of each epoch.
const FLAGS: &str = "--hidden 8 --epochs 10 --batch-size 8 --learning-rate 0.01 --checkpoint-every 1";

const SHARES: [&str; 3] = ["party0.share", "party1.share", "party2.share"];

/// A training with checkpoints in `run`, and model and report beside it.
fn train(place: &Place, flags: &str) -> Command {
    let data = place.write("table.csv", table(120));
    let mut command = shamisen();
    command.args(classify(&data)).args(flags.split(' ')).arg("--checkpoint").arg(place.path("run"));
    command.arg("--model").arg(place.path("model")).arg("--report").arg(place.path("report.json"));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Goes on in a directory, with the model of this name.
fn resume(place: &Place, run: &str, model: &str) -> Command {
    let mut command = shamisen();
    command.args(["train", "--resume"]).arg(place.path(run)).arg("--model").arg(place.path(model));
    command.arg("--report").arg(place.path("report.json"));
    command
}

fn party(place: &Place, run: &str, party: usize) -> PathBuf {
    place.path(run).join(format!("party{party}"))
}

/// The numbers of a party's checkpoints, in ascending order.
fn numbers(dir: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
    let number = |name: String| name.strip_prefix("checkpoint-")?.parse().ok();
    let mut numbers: Vec<u64> = entries.flatten().filter_map(|entry| number(name(entry)?)).collect();
    numbers.sort_unstable();
    numbers
}

/// Waits until each party has kept a checkpoint of at least this number; the process may have ended meanwhile.
fn wait_for(place: &Place, run: &str, number: u64, child: &mut Child) {
    let start = Instant::now();
    let there = |at: usize| numbers(&party(place, run, at)).last().is_some_and(|last| *last >= number);
    while !(0..3).all(there) {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        assert!(start.elapsed() < LIMIT, "checkpoint {number} did not appear");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn error_of(child: &mut Child) -> String {
    let mut stderr = Vec::new();
    std::io::Read::read_to_end(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    text(&stderr)
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn model(place: &Place, name: &str) -> [Vec<u8>; 3] {
    SHARES.map(|share| fs::read(place.path(name).join(share)).unwrap())
}

fn report(place: &Place) -> Value {
    serde_json::from_slice(&fs::read(place.path("report.json")).unwrap()).unwrap()
}

fn losses(report: &Value) -> Vec<f64> {
    report["training"]["loss"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
}

/// A training that was killed early, and what it would have come to: its shares of the model and its losses.
///
/// Its directory is `begun`.
fn begun(place: &Place, flags: &str) -> ([Vec<u8>; 3], Vec<f64>) {
    let mut child = train(place, flags).spawn().unwrap();
    wait_for(place, "run", 0, &mut child);
    let parties = children(child.id());
    child.kill().unwrap();
    parties
        .into_iter()
        .for_each(|party| drop(Command::new("kill").arg("-9").arg(party.to_string()).status()));
    child.wait().unwrap();
    copy(&place.path("run"), &place.path("begun"));
    succeed(&mut resume(place, "run", "whole"));
    assert!(!place.path("run").exists());
    (model(place, "whole"), losses(&report(place)))
}

/// Small random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn a_training_that_is_killed_anywhere_ends_with_the_same_weights() {
    let place = Place::new();
    let (whole, loss) = begun(&place, FLAGS);
    let seed = u64::from(std::process::id());
    let mut random = Random(seed);
    for round in 0..20 {
        copy(&place.path("begun"), &place.path("run"));
        // Sometimes a second time on the way.
        let mut story = Vec::new();
        for _ in 0..1 + random.below(2) {
            let mut child =
                resume(&place, "run", "model").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            let at = random.below(110);
            wait_for(&place, "run", at, &mut child);
            std::thread::sleep(Duration::from_micros(random.below(20_000)));
            let parties = children(child.id());
            // One party, all three, or the launcher.
            let victims = match random.below(5) {
                who @ 0..3 => parties.get(who as usize).copied().into_iter().collect(),
                3 => parties.clone(),
                _ => vec![child.id()],
            };
            story.push(format!("{victims:?} of {} and {parties:?} after {at}", child.id()));
            for victim in victims {
                drop(Command::new("kill").args(["-9", &victim.to_string()]).stderr(Stdio::null()).status());
            }
            wait(&mut child);
            if !place.path("run").exists() {
                break;
            }
        }
        if place.path("run").exists() {
            succeed(&mut resume(&place, "run", "model"));
        }
        let context = format!("round {round}, seed {seed}: {story:?}");
        assert!(model(&place, "model") == whole, "{context}: other weights");
        assert!(losses(&report(&place)) == loss, "{context}: other losses");
        fs::remove_dir_all(place.path("model")).unwrap();
    }
}
