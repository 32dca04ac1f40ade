//! `share`, `train --shares` and `inspect --shares`: what they write, that it is trained on, and what they refuse.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::bad_input::refused;
use crate::support::{LIMIT, Place, names, numbers, output, shamisen, signal, succeed, table, text, wait};

/// `share` of files into a new directory of this name.
fn share(place: &Place, name: &str, data: &[&Path], flags: &str) -> Command {
    let mut command = shamisen();
    command.arg("share").arg("--data").args(data).args(flags.split_whitespace());
    command.arg("--output").arg(place.path(name));
    command
}

/// [`table`], shared for a classification into the directory `shares`.
fn shared(place: &Place) -> (PathBuf, PathBuf) {
    let data = place.write("table.csv", table(150));
    let out = succeed(&mut share(place, "shares", &[&data], "--target kind --task classification"));
    assert!(out.contains("120 training rows, 30 test rows, 4 features"), "{out}");
    (data, place.path("shares"))
}

fn train(shares: &Path, report: &Path, flags: &str) -> Value {
    let mut command = shamisen();
    command.args(["train", "--shares"]).arg(shares).args(flags.split_whitespace());
    succeed(command.arg("--report").arg(report));
    serde_json::from_slice(&fs::read(report).unwrap()).unwrap()
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer} in {report}"))
}

/// A file of NumPy of 8-byte floats.
fn array(rows: &[Vec<f64>]) -> Vec<u8> {
    let header = format!(
        "{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, {}), }}\n",
        rows.len(),
        rows[0].len()
    );
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    bytes
}

const FLAGS: &str = "--hidden 8 --epochs 30 --batch-size 24 --learning-rate 0.02";

#[test]
fn shares_are_trained_on_as_the_table_is_and_the_model_predicts() {
    let place = Place::new();
    let (data, shares) = shared(&place);
    assert_eq!(names(&shares), ["party0", "party1", "party2", "preprocessing.json"]);
    for party in ["party0", "party1", "party2"] {
        let dir = shares.join(party);
        assert_eq!(
            names(&dir),
            [
                "dataset.json",
                "test-features.share",
                "test-targets.share",
                "train-features.share",
                "train-targets.share"
            ]
        );
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        let public = fs::read_to_string(dir.join("dataset.json")).unwrap();
        for secret in ["height", "kind", "big", "offset"] {
            assert!(!public.contains(secret), "{secret} in {public}");
        }
    }
    // Nothing is read of the table any more.
    let content = fs::read_to_string(&data).unwrap();
    fs::remove_file(&data).unwrap();
    let model = place.path("model");
    let report = train(&shares, &place.path("report.json"), &format!("{FLAGS} --model {}", model.display()));
    assert_eq!((&report["data"]["rows"], &report["data"]["test_rows"]), (&120.into(), &30.into()));
    assert_eq!((&report["processes"], &report["transport"]), (&3.into(), &"tls".into()));

    let data = place.write("table.csv", &content);
    let mut direct = shamisen();
    direct.args(["train", "--target", "kind", "--task", "classification", "--data"]).arg(&data);
    let path = place.path("direct.json");
    succeed(direct.args(FLAGS.split(' ')).args(["--transport", "memory", "--twin", "--report"]).arg(&path));
    let direct: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for pointer in ["/test/accuracy", "/test/cross_entropy", "/training/loss/29"] {
        let (own, table) = (number(&report, pointer), number(&direct, pointer));
        assert!((own - table).abs() < 0.05, "{pointer} is {own} of the shares and {table} of the table");
    }
    let twin = number(&direct, "/twin/cross_entropy");
    assert!((number(&report, "/test/cross_entropy") - twin).abs() < 0.05, "the twin has {twin}: {report}");

    let predictions = place.path("predictions.csv");
    let mut predict = shamisen();
    predict.args(["predict", "--transport", "memory", "--model"]).arg(&model).arg("--data").arg(&data);
    succeed(predict.arg("--output").arg(&predictions));
    let predictions = fs::read_to_string(predictions).unwrap();
    let truth = content.lines().skip(1).map(|line| line.split(',').nth(3).unwrap());
    let right =
        predictions.lines().skip(1).zip(truth).filter(|(line, truth)| line.split(',').next() == Some(*truth));
    assert!(right.count() > 135, "{predictions}");

    // The shares are there for the next training, with other seeds and in memory.
    let again = train(&shares, &place.path("again.json"), &format!("{FLAGS} --seed 7 --transport memory"));
    assert_eq!(again["data"], report["data"]);
}

#[test]
fn inspect_tells_what_is_known_of_shares() {
    let place = Place::new();
    let (_, shares) = shared(&place);
    let out = succeed(shamisen().args(["inspect", "--shares"]).arg(&shares));
    let public = fs::read_to_string(shares.join("party1/dataset.json")).unwrap();
    let public: Value = serde_json::from_str(&public).unwrap();
    for part in [
        public["content"]["id"].as_str().unwrap(),
        "classification of `kind`",
        "training rows  120",
        "test rows      30",
        "4 (standard scaling): height, width, depth, cm, price",
        "big, small one",
        "14 fractional bits",
        "present and whole",
        "semi-honest",
    ] {
        assert!(out.contains(part), "no {part:?} in {out}");
    }
}

#[test]
fn several_files_arrays_and_regression() {
    let place = Place::new();
    let text = numbers(120);
    let (header, rows) = text.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let part = |name: &str, rows: &[&str]| place.write(name, format!("{header}\n{}\n", rows.join("\n")));
    let (north, south, test) =
        (part("north.csv", &rows[..50]), part("south.csv", &rows[50..90]), part("test.csv", &rows[90..]));
    let values = |rows: &[&str]| -> Vec<Vec<f64>> {
        rows.iter().map(|row| row.split(',').map(|cell| cell.parse().unwrap()).collect()).collect()
    };
    let one = place.write("one.npy", array(&values(&rows[..90])));
    let other = place.write("other.npy", array(&values(&rows[90..])));
    let flags = "--task regression --target-scaling standard --scaling minmax --test";
    let csv = format!("--target price {flags} {}", test.display());
    succeed(&mut share(&place, "csv", &[&north, &south], &csv));
    let npy = format!("{flags} {}", other.display());
    succeed(&mut share(&place, "npy", &[&one], &npy));
    let numbered = format!("--target 3 {npy}");
    succeed(&mut share(&place, "numbered", &[&one], &numbered));

    let flags =
        "--hidden  --epochs 40 --batch-size 10 --learning-rate 0.05 --optimizer sgd --transport memory";
    let mut scores = Vec::new();
    for name in ["csv", "npy", "numbered"] {
        let mut command = shamisen();
        command.args(["train", "--shares"]).arg(place.path(name)).args(flags.split(' '));
        let (report, model) = (place.path(&format!("{name}.json")), place.path(&format!("{name}-model")));
        succeed(command.arg("--report").arg(&report).arg("--model").arg(&model));
        let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        assert_eq!((&report["data"]["rows"], &report["data"]["test_rows"]), (&90.into(), &30.into()));
        assert!(number(&report, "/test/r2") > 0.8, "{name}: {report}");
        scores.push(number(&report, "/test/mse"));
    }
    assert!(scores.iter().all(|mse| (mse - scores[0]).abs() < 0.05), "{scores:?}");

    let mut predict = shamisen();
    predict.args(["predict", "--transport", "memory", "--model"]).arg(place.path("npy-model"));
    let out = succeed(predict.arg("--data").arg(&other));
    let truth: Vec<f64> = values(&rows[90..]).iter().map(|row| row[3]).collect();
    let predicted: Vec<f64> = out.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(predicted.len(), 30);
    let error = predicted.iter().zip(&truth).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 30.0;
    assert!(error < 1.5, "{error}");
}

#[test]
fn what_cannot_be_shared_is_explained_and_leaves_nothing() {
    let place = Place::new();
    let data = place.write("table.csv", table(30));
    let bad = place.write("bad.csv", table(30) + "1,2,three,big,4\n");
    let far = place.write("far.csv", numbers(30) + "1,2,3,1e9\n");
    let array = place.write("array.npy", &array(&[vec![1.0, 2.0], vec![3.0, f64::NAN]])[..]);
    let shares = place.path("shares");
    let (shares, data) = (shares.to_str().unwrap(), data.to_str().unwrap());
    let (bad, far, array) = (bad.to_str().unwrap(), far.to_str().unwrap(), array.to_str().unwrap());
    let taken = place.path("");
    let cases: [(&[&str], &[&str]); 8] = [
        (
            &["--data", bad, "--target", "kind", "--task", "classification"],
            &["bad.csv", "row 32", "depth, cm", "three"],
        ),
        (&["--data", far, "--target", "price", "--task", "regression"], &["far.csv", "row 32", "`price`"]),
        (&["--data", array, "--task", "regression"], &["array.npy", "row 2", "`column1`", "NaN"]),
        (&["--data", data, "--task", "classification"], &["--target"]),
        (&["--data", data, "--target", "kind"], &["--task"]),
        (&["--data", data, "--target", "kind", "--task", "classification", "--test-fraction", "2"], &["2"]),
        (&["--target", "kind", "--task", "classification"], &["--data"]),
        (
            &["--data", data, "--mnist", "x", "--target", "kind", "--task", "classification"],
            &["--data", "--mnist"],
        ),
    ];
    for (flags, parts) in cases {
        let arguments: Vec<&str> = ["share", "--output", shares].iter().chain(flags).copied().collect();
        refused(&place, &arguments, parts);
    }
    let flags = ["share", "--data", data, "--target", "kind", "--task", "classification", "--output"];
    refused(&place, &[&flags[..], &[taken.to_str().unwrap()]].concat(), &["exists already"]);
    refused(&place, &[&flags[..], &["no/such/place"]].concat(), &["no/such", "does not exist"]);
}

#[test]
fn damaged_and_mixed_shares_are_refused() {
    let place = Place::new();
    let (data, shares) = shared(&place);
    succeed(&mut share(&place, "other", &[&data], "--target kind --task classification"));
    let (other, damaged) = (place.path("other"), place.path("damaged"));
    let check = |spoil: &dyn Fn(&Path), parts: &[&str]| {
        drop(fs::remove_dir_all(&damaged));
        for party in ["party0", "party1", "party2"] {
            fs::create_dir_all(damaged.join(party)).unwrap();
            for name in names(&shares.join(party)) {
                fs::copy(shares.join(party).join(&name), damaged.join(party).join(&name)).unwrap();
            }
        }
        fs::copy(shares.join("preprocessing.json"), damaged.join("preprocessing.json")).unwrap();
        spoil(&damaged);
        let dir = damaged.to_str().unwrap();
        refused(&place, &["inspect", "--shares", dir], parts);
        for transport in ["tls", "memory"] {
            refused(&place, &["train", "--shares", dir, "--hidden", "3", "--transport", transport], parts);
        }
    };
    let flip = |path: PathBuf, at: u64| {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    };
    let features = "party1/train-features.share";
    check(&|dir| flip(dir.join(features), 1000), &["damaged/party1/train-features.share is damaged"]);
    check(&|dir| flip(dir.join("party0/test-targets.share"), 130), &["party0/test-targets.share is damaged"]);
    check(
        &|dir| {
            let file = fs::OpenOptions::new().write(true).open(dir.join(features)).unwrap();
            file.set_len(file.metadata().unwrap().len() - 8).unwrap();
        },
        &["damaged/party1/train-features.share has", "truncated or damaged"],
    );
    check(
        &|dir| {
            let file = fs::OpenOptions::new().write(true).open(dir.join(features)).unwrap();
            file.write_all_at(&[1], 15).unwrap();
        },
        &["party1/train-features.share has format version 1", "reads version 2"],
    );
    check(&|dir| drop(fs::copy(other.join(features), dir.join(features))), &[features, "data set"]);
    check(
        &|dir| {
            fs::remove_dir_all(dir.join("party2")).unwrap();
            assert!(
                Command::new("cp").arg("-r").arg(other.join("party2")).arg(dir).status().unwrap().success()
            );
        },
        &["damaged/party0 and ", "damaged/party2 are of different sharings"],
    );
    check(
        &|dir| drop(fs::copy(dir.join("party2/train-features.share"), dir.join(features))),
        &[features, "is the share of party 2"],
    );
    check(&|dir| fs::remove_file(dir.join(features)).unwrap(), &[features, "does not exist"]);
    check(&|dir| fs::remove_file(dir.join("preprocessing.json")).unwrap(), &["preprocessing.json"]);
    check(&|dir| flip(dir.join("party2/dataset.json"), 40), &["party2/dataset.json is damaged"]);

    let dir = shares.to_str().unwrap();
    for (flags, parts) in [
        (&["--task", "classification"][..], &["--task", "when the data were shared"][..]),
        (&["--twin"], &["--twin", "in the clear"]),
        (&["--hidden", "3000"], &["14 fractional bits", "3000", "--widest-layer 3000"]),
        (&["--batch-size", "121"], &["batch size is 121", "only 120"]),
    ] {
        refused(&place, &[&["train", "--shares", dir], flags].concat(), parts);
    }
    refused(&place, &["train", "--shares", "no/shares"], &["no/shares"]);
    let output = output(shamisen().args(["inspect", "--shares", dir, "--model", dir]));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn a_generated_table_is_shared_and_learnt() {
    let place = Place::new();
    let generate = |name: &str, flags: &str| {
        let path = place.path(name);
        succeed(shamisen().args(["generate", "--output"]).arg(&path).args(flags.split(' ')));
        path
    };
    let flags = "--hidden 32 --epochs 6 --batch-size 64 --learning-rate 0.01 --transport memory";
    let array = generate("table.npy", "--rows 4000 --columns 8 --classes 3 --seed 2");
    succeed(&mut share(&place, "classes", &[&array], "--task classification"));
    let report = train(&place.path("classes"), &place.path("report.json"), flags);
    assert_eq!(report["model"]["layers"], serde_json::json!([8, 32, 3]));
    assert!(number(&report, "/test/accuracy") > 0.8, "{report}");

    let text = generate("table.csv", "--rows 4000 --columns 8 --task regression");
    succeed(&mut share(&place, "numbers", &[&text], "--target y --task regression"));
    let report = train(&place.path("numbers"), &place.path("report.json"), flags);
    assert!(number(&report, "/test/r2") > 0.8, "{report}");

    for (name, flags, parts) in [
        ("table.txt", "--rows 1 --columns 1", &["table.txt", ".csv or .npy"][..]),
        ("a.csv", "--rows 0 --columns 1", &["at least one row"]),
        ("a.csv", "--rows 1 --columns 1 --classes 1000", &["2 to 100"]),
        ("no/a.csv", "--rows 1 --columns 1", &["no", "does not exist"]),
    ] {
        let path = place.path(name);
        let arguments: Vec<&str> =
            ["generate", "--output", path.to_str().unwrap()].into_iter().chain(flags.split(' ')).collect();
        refused(&place, &arguments, parts);
    }
}

#[test]
fn wide_layers_can_be_provided_for() {
    let place = Place::new();
    let data = place.write("table.csv", table(40));
    let flags = "--target kind --task classification --widest-layer 3000";
    succeed(&mut share(&place, "shares", &[&data], flags));
    let flags = "--hidden 2100 --batch-size 32 --transport memory --optimizer sgd";
    train(&place.path("shares"), &place.path("report.json"), flags);
}

#[test]
fn a_sharing_that_is_killed_leaves_nothing_that_looks_complete() {
    for name in ["INT", "TERM", "KILL"] {
        let place = Place::new();
        let data = place.path("table.csv");
        let mut file = fs::File::create(&data).unwrap();
        let rows = table(4000);
        file.write_all(rows.as_bytes()).unwrap();
        let (_, rows) = rows.split_once('\n').unwrap();
        for _ in 0..200 {
            file.write_all(rows.as_bytes()).unwrap();
        }
        drop(file);
        let mut command = share(&place, "shares", &[&data], "--target kind --task classification");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        let begun = || {
            place.names().iter().filter(|name| name.starts_with(".shamisen-")).any(|name| {
                let dir = place.path(name).join("party2");
                // The words of one block are there, and not those of all.
                let sizes = fs::read_dir(dir).into_iter().flatten().flatten();
                sizes.filter_map(|entry| entry.metadata().ok()).any(|metadata| metadata.len() > 1 << 20)
            })
        };
        while !begun() {
            assert!(start.elapsed() < LIMIT && child.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::yield_now();
        }
        signal(name, child.id());
        let status = wait(&mut child);
        let left: Vec<String> = place.names().into_iter().filter(|name| name != "table.csv").collect();
        if name == "KILL" {
            // Nobody could clean up; what is left does not have the name that was asked for.
            assert!(left.iter().all(|name| name.starts_with(".shamisen-")), "{left:?}");
        } else {
            assert_eq!(status.code(), Some(130));
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
