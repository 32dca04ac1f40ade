//! Trainings that are killed or interrupted go on as if nothing had happened, bit for bit.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

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

/// Signal 9; some may have ended before.
fn kill_hard(processes: &[u32]) {
    for process in processes {
        drop(Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status());
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
    kill_hard(&[&[child.id()], &children(child.id())[..]].concat());
    wait(&mut child);
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
    const KILLS: u64 = 5;
    let place = Place::new();
    let (whole, loss) = begun(&place, FLAGS);
    let seed = u64::from(std::process::id());
    let mut random = Random(seed);
    for round in 0..4 {
        copy(&place.path("begun"), &place.path("run"));
        let mut story = Vec::new();
        for kill in 0..KILLS {
            let mut child =
                resume(&place, "run", "model").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            let at = kill * 110 / KILLS + random.below(110 / KILLS);
            wait_for(&place, "run", at, &mut child);
            std::thread::sleep(Duration::from_micros(random.below(20_000)));
            let parties = children(child.id());
            // One party, all three, or the launcher.
            let victims = match random.below(5) {
                who @ 0..3 => parties.get(who as usize).copied().into_iter().collect(),
                3 => parties.clone(),
                _ => vec![child.id()],
            };
            story.push(format!("after {at}: {victims:?} of {parties:?} by {}", child.id()));
            kill_hard(&victims);
            wait(&mut child);
            if !place.path("run").exists() {
                break;
            }
        }
        if place.path("run").exists() {
            succeed(&mut resume(&place, "run", "model"));
        }
        let context = format!("round {round}, seed {seed}: {story:#?}");
        assert!(model(&place, "model") == whole, "{context}: other weights");
        assert!(losses(&report(&place)) == loss, "{context}: other losses");
        fs::remove_dir_all(place.path("model")).unwrap();
    }
}

#[test]
fn damaged_checkpoints_are_passed_over() {
    let place = Place::new();
    let (whole, loss) = begun(&place, FLAGS);
    copy(&place.path("begun"), &place.path("run"));
    let mut child =
        resume(&place, "run", "model").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(&place, "run", 40, &mut child);
    kill_hard(&children(child.id()));
    wait(&mut child);
    copy(&place.path("run"), &place.path("middle"));
    let last = |run: &str, at: usize| {
        let dir = party(&place, run, at);
        dir.join(format!("checkpoint-{}", numbers(&dir).pop().unwrap()))
    };
    let open = |path: &Path| fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let flip = |path: &Path, from_end: u64| {
        let file = open(path);
        let at = file.metadata().unwrap().len() - from_end;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    };
    let cut = |path: &Path| {
        let file = open(path);
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    let spoils: [&dyn Fn(); 3] = [
        &|| cut(&last("run", 0)),
        &|| flip(&last("run", 1), 1),
        // The last one of each party, in different ways, and a file that was left unfinished.
        &|| {
            cut(&last("run", 0));
            flip(&last("run", 1), 1000);
            fs::write(last("run", 2), "").unwrap();
            fs::write(party(&place, "run", 2).join(".checkpoint-99.0123456789abcdef.tmp"), "half").unwrap();
        },
    ];
    for spoil in spoils {
        drop(fs::remove_dir_all(place.path("run")));
        copy(&place.path("middle"), &place.path("run"));
        spoil();
        let inspected = succeed(shamisen().args(["inspect", "--checkpoint"]).arg(place.path("run")));
        assert!(inspected.contains("is whole") && inspected.contains("is not ("), "{inspected}");
        let output = output(&mut resume(&place, "run", "model"));
        let log = text(&output.stderr);
        assert!(output.status.success() && log.contains("a checkpoint is passed over"), "{log}");
        assert!(model(&place, "model") == whole && losses(&report(&place)) == loss);
        fs::remove_dir_all(place.path("model")).unwrap();
    }
    // If one party has none that is whole, there is nothing to go on from.
    copy(&place.path("middle"), &place.path("run"));
    let dir = party(&place, "run", 1);
    for number in numbers(&dir) {
        flip(&dir.join(format!("checkpoint-{number}")), 100);
    }
    let run = place.path("run");
    let parts = ["party1 has no checkpoint that is whole", "is damaged"];
    refused_here(&["train", "--resume", run.to_str().unwrap()], &parts);
    // Nor if the parties' numbers are too far apart.
    fs::remove_dir_all(&dir).unwrap();
    copy(&party(&place, "middle", 1), &dir);
    for number in numbers(&dir) {
        fs::remove_file(dir.join(format!("checkpoint-{number}"))).unwrap();
    }
    let parts = ["no checkpoint in common", "party 1 has none"];
    refused_here(&["train", "--resume", run.to_str().unwrap()], &parts);
}

/// Fails with status 2 and one sentence.
fn refused_here(arguments: &[&str], parts: &[&str]) {
    let output = output(shamisen().args(arguments));
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    let errors: Vec<&str> = message.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{message}");
    for part in parts {
        assert!(errors[0].contains(part), "no {part:?} in {message}");
    }
}

#[test]
fn ctrl_c_keeps_a_checkpoint_and_the_training_goes_on_as_if_nothing_had_happened() {
    for (transport, name) in [("tls", "INT"), ("memory", "TERM")] {
        let place = Place::new();
        let flags = format!("{FLAGS} --transport {transport}");
        let (whole, loss) = begun(&place, &flags);
        copy(&place.path("begun"), &place.path("run"));
        let mut child =
            resume(&place, "run", "model").stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        wait_for(&place, "run", 30, &mut child);
        signal(name, child.id());
        let status = wait(&mut child);
        let message = error_of(&mut child);
        assert_eq!(status.code(), Some(130), "{message}");
        let run = place.path("run");
        let dir = run.to_str().unwrap();
        let sentence = message.lines().find(|line| line.starts_with("interrupted after epoch ")).unwrap();
        assert!(sentence.ends_with(&format!("; go on with: shamisen train --resume {dir}")), "{sentence}");
        let words: Vec<&str> = sentence.split([' ', ',', ';']).collect();
        let number = |after: &str| {
            let at = words.iter().position(|word| *word == after).unwrap();
            words[at + 1].parse::<u64>().unwrap()
        };
        let stopped = (number("epoch") - 1) * 12 + number("mini-batch");
        for at in 0..3 {
            assert_eq!(numbers(&party(&place, "run", at)).last(), Some(&stopped), "{sentence}");
        }
        assert!(!place.path("model").exists());
        succeed(&mut resume(&place, "run", "model"));
        let report = report(&place);
        assert_eq!(report["training"]["resumed_from"], stopped);
        assert!(model(&place, "model") == whole && losses(&report) == loss);
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let place = Place::new();
    // 16 mini-batches take a minute.
    let errors = place.path("errors");
    let mut command = train(&place, &format!("{FLAGS} --latency 100 -vv"));
    let mut child = command.stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
    let launcher = child.id();
    let mut wait_for_lines = |part: &str, count: usize| {
        let start = Instant::now();
        let log = || fs::read_to_string(&errors).unwrap();
        while log().matches(part).count() < count {
            assert!(start.elapsed() < LIMIT && child.try_wait().unwrap().is_none(), "{}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for_lines("is connected\n", 3);
    signal("INT", launcher);
    wait_for_lines("Ctrl-C again ends them at once", 1);
    let parties = children(launcher);
    let start = Instant::now();
    signal("INT", launcher);
    assert_eq!(wait(&mut child).code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(5) && parties.len() == 3);
    let mut again = resume(&place, "run", "model");
    again.args(["--latency", "0"]);
    succeed(&mut again);
    assert_eq!(report(&place)["training"]["resumed_from"], 0);
}

#[test]
fn a_full_disk_ends_the_run_and_the_last_checkpoint_stays() {
    let place = Place::new();
    let data = place.write("table.csv", table(120));
    // Files of at most so many blocks of 512 bytes: a write beyond fails as it does on a full disk.
    let limited = |blocks: usize, tail: &str| {
        let program = env!("CARGO_BIN_EXE_shamisen");
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec {program} {tail}"));
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    };
    let run = place.path("run");
    let tail = format!(
        "train --data {} --target kind --task classification --hidden 64 --epochs 10 --batch-size 8 --optimizer sgd \
         --momentum 0.9 --checkpoint-every 16 --checkpoint {}",
        data.display(),
        run.display()
    );
    // While sharing: nothing is left.
    let output_of = |command: &mut Command| {
        let output = output(command);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert_eq!(message.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{message}");
        message
    };
    let message = output_of(&mut limited(1, &tail));
    assert!(message.contains("cannot write"), "{message}");
    assert_eq!(place.names(), ["table.csv"]);

    // A checkpoint grows by the losses of epochs that are done: here from the third one on it is too large.
    let mut child = shamisen();
    child.args(tail.split_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    wait_for(&place, "run", 32, &mut child);
    kill_hard(&children(child.id()));
    wait(&mut child);
    assert!(run.exists(), "the training was too fast for this test");
    let before: Vec<Vec<u64>> = (0..3).map(|at| numbers(&party(&place, "run", at))).collect();
    let message = output_of(&mut limited(24, &format!("train --resume {}", run.display())));
    assert!(message.contains("/checkpoint-") && message.contains("cannot write"), "{message}");
    assert!(
        message.contains(&format!("hint: go on with: shamisen train --resume {}", run.display())),
        "{message}"
    );
    let after: Vec<Vec<u64>> = (0..3).map(|at| numbers(&party(&place, "run", at))).collect();
    assert_eq!(after, before);
    for at in 0..3 {
        assert!(names(&party(&place, "run", at)).iter().all(|name| !name.starts_with('.')));
    }
    succeed(&mut resume(&place, "run", "model"));
}

#[test]
fn what_does_not_belong_to_the_run_is_refused() {
    let place = Place::new();
    begun(&place, FLAGS);
    let begun = place.path("begun");
    fs::rename(&begun, place.path("other")).unwrap();
    fs::remove_dir_all(place.path("whole")).unwrap();
    self::begun(&place, FLAGS);
    let (run, other) = (place.path("run"), place.path("other"));
    let dir = run.to_str().unwrap();
    let check = |spoil: &dyn Fn(), parts: &[&str]| {
        drop(fs::remove_dir_all(&run));
        copy(&begun, &run);
        spoil();
        refused_here(&["train", "--resume", dir], parts);
    };
    let first = numbers(&party(&place, "begun", 1))[0];
    let name = format!("checkpoint-{first}");
    let put = |from: &Path, to: usize| {
        fs::copy(from, party(&place, "run", to).join(&name)).unwrap();
    };
    check(&|| put(&other.join("party1").join(&name), 1), &["party1/checkpoint-", "is of another run"]);
    check(&|| put(&begun.join("party2").join(&name), 1), &["is one of party 2", "give each party its own"]);
    check(
        &|| {
            let job = party(&place, "run", 2).join("job.json");
            let text = fs::read_to_string(&job).unwrap().replace("\"epochs\": 10", "\"epochs\": 11");
            fs::write(job, text).unwrap();
        },
        &["party2/checkpoint-", "is of another run"],
    );
    let damage = |name: &str| {
        let path = run.join(name);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    for name in ["run.json", "preprocessing.json"] {
        check(&|| damage(name), &[name]);
    }
    check(&|| damage("party1/train-features.share"), &["train-features.share is damaged"]);
    check(&|| fs::remove_dir_all(party(&place, "run", 1)).unwrap(), &["party1"]);

    drop(fs::remove_dir_all(&run));
    copy(&begun, &run);
    let new = place.path("new");
    let new = new.to_str().unwrap();
    for (flags, parts) in [
        (&["--resume", dir, "--epochs", "3"][..], &["--epochs was decided when the training began"][..]),
        (&["--resume", dir, "--twin"], &["--twin was decided"]),
        (&["--resume", dir, "--job", "job.toml"], &["leave --job out"]),
        (&["--resume", "no/run"], &["no/run holds no training that can go on"]),
        (&["--checkpoint-every", "16"], &["--checkpoint-every needs a directory"]),
        (&["--checkpoint", dir], &["holds a training that is not complete", "--resume"]),
        (&["--checkpoint", place.path("").to_str().unwrap()], &["exists already"]),
        (&["--checkpoint", new, "--model", new], &["cannot hold model and checkpoints"]),
    ] {
        let table = place.path("table.csv");
        let data = ["--data", table.to_str().unwrap(), "--target", "kind", "--task", "classification"];
        let data = if flags[0] == "--resume" { &[][..] } else { &data };
        refused_here(&[&["train"], flags, data].concat(), parts);
    }
    assert!(run.exists(), "what was refused is still there");
}

#[test]
fn a_run_goes_on_once_and_is_gone_when_it_is_complete() {
    let place = Place::new();
    let mut first = train(&place, &format!("{FLAGS} --latency 20")).spawn().unwrap();
    wait_for(&place, "run", 1, &mut first);
    let run = place.path("run");
    let dir = run.to_str().unwrap();
    assert_eq!(fs::metadata(&run).unwrap().permissions().mode() & 0o777, 0o700);
    for at in 0..3 {
        let dir = party(&place, "run", at);
        let path = dir.join(format!("checkpoint-{}", numbers(&dir)[0]));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    refused_here(&["train", "--resume", dir], &["is in use by another process"]);
    let inspected = succeed(shamisen().args(["inspect", "--checkpoint"]).arg(&run));
    for part in
        ["classification of `kind`", "4-8-2", "10 epochs, each of 12 mini-batches", "is whole", "progress"]
    {
        assert!(inspected.contains(part), "no {part:?} in {inspected}");
    }
    // A launcher that was killed leaves parties for a moment; the next ones wait for them.
    first.kill().unwrap();
    wait(&mut first);
    let mut again = resume(&place, "run", "model");
    let out = succeed(again.args(["--transport", "memory", "--latency", "0"]));
    assert!(out.contains("run is removed") && out.contains("resumed after"), "{out}");
    assert!(!run.exists());
    refused_here(&["train", "--resume", dir], &["holds no training that can go on"]);
    assert!(report(&place)["training"]["resumed_from"].as_u64().unwrap() > 0);
    fs::remove_dir_all(place.path("model")).unwrap();
    assert!(succeed(&mut train(&place, FLAGS)).contains("run is removed"));
    assert!(report(&place)["training"]["resumed_from"].is_null());
}
