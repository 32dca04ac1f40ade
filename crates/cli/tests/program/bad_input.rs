//! Bad input: one clear sentence, exit status 2, no panic, and nothing written.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::{Place, classify, names, output, shamisen, succeed, table, text};

/// Runs the program, which must refuse with one sentence that has all `parts`, and leave no trace.
pub(crate) fn refused(place: &Place, arguments: &[&str], parts: &[&str]) {
    let before = place.names();
    let temporary = Place::new();
    let output = output(shamisen().args(arguments).env("TMPDIR", temporary.path("")));
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
    let lines: Vec<&str> = message.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines[0].starts_with("error: "), "{arguments:?}: {message}");
    assert!(
        lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("hint: ")),
        "{arguments:?}: {message}"
    );
    assert!(!message.contains("panicked") && !message.contains("RUST_BACKTRACE"), "{message}");
    for part in parts {
        assert!(message.contains(part), "{arguments:?}: no {part:?} in {message}");
    }
    assert_eq!(place.names(), before, "{arguments:?} wrote something");
    assert!(temporary.names().is_empty(), "{arguments:?} left {:?}", temporary.names());
}

/// As [`refused`], for `train` with a report and a model.
fn train_refused(place: &Place, flags: &[&str], parts: &[&str]) {
    let (model, report) = (place.path("model"), place.path("report.json"));
    let mut arguments =
        vec!["train", "--model", model.to_str().unwrap(), "--report", report.to_str().unwrap()];
    arguments.extend(flags);
    refused(place, &arguments, parts);
}

#[test]
fn tables_that_cannot_be_trained_on() {
    let place = Place::new();
    let cases: [(&str, &str, &[&str]); 9] = [
        ("empty.csv", "", &["empty.csv"]),
        ("header.csv", "a,b,y\n", &["header.csv", "no data"]),
        ("text.csv", "a,b,y\n1,2,x\n3,foo,z\n", &["text.csv", "row 3", "`b`", "foo"]),
        ("nan.csv", "a,y\n1,x\nNaN,z\n", &["nan.csv", "row 3", "`a`", "NaN"]),
        ("infinite.csv", "a,y\n-inf,x\n2,z\n", &["infinite.csv", "row 2", "`a`", "inf"]),
        ("hole.csv", "a,y\n1,x\n,z\n", &["hole.csv", "row 3", "`a`", "empty"]),
        ("huge.csv", "a,y\n1,x\n1e300,z\n", &["huge.csv", "row 3", "`a`", "1e300"]),
        ("one.csv", "a,y\n1,x\n2,x\n", &["one.csv", "`y`", "`x`"]),
        ("ragged.csv", "a,y\n1,x\n2\n", &["ragged.csv", "row 3"]),
    ];
    for (name, content, parts) in cases {
        let path = place.write(name, content);
        let flags = ["--data", path.to_str().unwrap(), "--target", "y", "--task", "classification"];
        train_refused(&place, &flags, parts);
    }
    let text = place.path("text.csv");
    let text = text.to_str().unwrap();
    train_refused(
        &place,
        &["--data", "no/such.csv", "--target", "y", "--task", "classification"],
        &["no/such.csv", "does not exist"],
    );
    train_refused(
        &place,
        &["--data", text, "--target", "z", "--task", "classification"],
        &["text.csv", "`z`"],
    );
    let labels = place.write("labels.csv", "a,y\n1,x\n2,z\n");
    let flags = ["--data", labels.to_str().unwrap(), "--target", "y", "--task", "regression"];
    train_refused(&place, &flags, &["labels.csv", "row 2", "`y`", "`x`"]);
}

#[test]
fn settings_that_cannot_be() {
    let place = Place::new();
    let data = place.write("table.csv", table(20));
    let job = place.write("job.toml", "epochs = 1\nepoch = 2\n");
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupied.local_addr().unwrap().port();
    let ports = format!("{port},{},{}", if port > 2000 { 1501 } else { 2501 }, 1502);
    let port = port.to_string();
    let (job, taken) = (job.to_str().unwrap(), place.path(""));
    let (missing, taken) = (place.path("no/report.json"), taken.to_str().unwrap());
    let cases: [(&[&str], &[&str]); 14] = [
        (&["--batch-size", "0"], &["batch size is 0"]),
        (&["--batch-size", "17"], &["batch size is 17", "only 16"]),
        (&["--epochs", "0"], &["epochs"]),
        (&["--hidden", "8,0"], &["[4, 8, 0, 2]"]),
        (&["--learning-rate", "-1"], &["learning rate is -1"]),
        (&["--optimizer", "sgd", "--refresh", "4"], &["--refresh"]),
        (&["--refresh", "0"], &["refreshed every 0"]),
        (&["--test-fraction", "1"], &["test fraction 1"]),
        (&["--target-scaling", "standard"], &["classes are not scaled"]),
        (&["--job", job], &["job.toml", "line 2", "epoch"]),
        (&["--job", "no/job.toml"], &["no/job.toml", "does not exist"]),
        (&["--ports", &ports], &["port", &port, "in use"]),
        (&["--transport", "memory", "--ports", "7000,7001,7002"], &["--ports", "--transport tcp"]),
        (&["--mnist", taken], &["--data", "--mnist"]),
    ];
    for (flags, parts) in cases {
        let mut all = classify(&data);
        all.remove(0);
        let all: Vec<&str> = all.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        train_refused(&place, &all, parts);
    }
    for (flag, value, part) in
        [("--report", missing.to_str().unwrap(), "no"), ("--model", taken, "exists already")]
    {
        let mut all = classify(&data);
        all.extend([flag.to_owned(), value.to_owned()]);
        refused(&place, &all.iter().map(String::as_str).collect::<Vec<_>>(), &[part]);
    }
}

#[test]
fn damaged_images() {
    let place = Place::new();
    let dir = place.path("mnist");
    let idx = |magic: u32, sizes: &[u32], bytes: &[u8]| {
        let mut file: Vec<u8> = magic.to_be_bytes().to_vec();
        file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
        file.extend(bytes);
        file
    };
    let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
    let whole = || {
        drop(fs::remove_dir_all(&dir));
        fs::create_dir(&dir).unwrap();
        for part in ["train", "t10k"] {
            write(&format!("{part}-images-idx3-ubyte"), &idx(0x803, &[4, 2, 2], &[7, 0, 9, 3].repeat(4)));
            write(&format!("{part}-labels-idx1-ubyte"), &idx(0x801, &[4], &[0, 1, 2, 3]));
        }
    };
    let flags = ["--mnist", dir.to_str().unwrap()];
    whole();
    write("train-images-idx3-ubyte", &idx(0x803, &[4, 2, 2], &[7; 15]));
    train_refused(&place, &flags, &["train-images", "promises"]);
    whole();
    write("t10k-labels-idx1-ubyte", &idx(0x801, &[3], &[0, 1, 2]));
    train_refused(&place, &flags, &["t10k", "4 images", "3 labels"]);
    whole();
    write("train-labels-idx1-ubyte", b"\x00");
    train_refused(&place, &flags, &["train-labels"]);
    fs::remove_file(dir.join("train-labels-idx1-ubyte")).unwrap();
    train_refused(&place, &flags, &["train-labels", "no file"]);
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[test]
fn damaged_models_and_other_columns() {
    let place = Place::new();
    let data = place.write("table.csv", table(30));
    let model = place.path("model");
    let flags = ["--hidden", "3", "--transport", "memory", "--model", model.to_str().unwrap()];
    succeed(shamisen().args(classify(&data)).args(flags));
    let other = place.path("other");
    let flags = ["--hidden", "3", "--transport", "memory", "--model", other.to_str().unwrap()];
    succeed(shamisen().args(classify(&data)).args(flags));
    assert_eq!(
        names(&model),
        ["model.json", "party0.share", "party1.share", "party2.share", "preprocessing.json"]
    );

    let check = |spoil: &dyn Fn(&Path), parts: &[&str]| {
        let damaged = place.path("damaged");
        drop(fs::remove_dir_all(&damaged));
        fs::create_dir(&damaged).unwrap();
        for name in names(&model) {
            copy(&model.join(&name), &damaged.join(&name));
        }
        spoil(&damaged);
        let (dir, output) = (damaged.to_str().unwrap(), place.path("out.csv"));
        let arguments = [
            "predict",
            "--model",
            dir,
            "--data",
            data.to_str().unwrap(),
            "--output",
            output.to_str().unwrap(),
        ];
        refused(&place, &arguments, parts);
        refused(&place, &["inspect", "--model", dir], parts);
    };
    for name in names(&model) {
        check(&|dir| fs::remove_file(dir.join(&name)).unwrap(), &[name.as_str()]);
        check(
            &|dir| {
                let mut bytes = fs::read(dir.join(&name)).unwrap();
                let at = bytes.len() / 2;
                bytes[at] ^= 1;
                fs::write(dir.join(&name), bytes).unwrap();
            },
            &[name.as_str()],
        );
        if name.starts_with("party") {
            check(&|dir| copy(&other.join(&name), &dir.join(&name)), &[name.as_str(), "model"]);
        }
    }
    check(&|dir| copy(&dir.join("party0.share"), &dir.join("party1.share")), &["party1.share"]);

    let model = model.to_str().unwrap();
    let predict = |name: &str, content: &str, parts: &[&str]| {
        let path = place.write(name, content);
        refused(&place, &["predict", "--model", model, "--data", path.to_str().unwrap()], parts);
    };
    predict("fewer.csv", "height,width\n1,2\n", &["fewer.csv", "`price`"]);
    predict("more.csv", "height,width,\"depth, cm\",price,age\n1,2,3,4,5\n", &["more.csv", "`age`"]);
    predict("words.csv", "height,width,\"depth, cm\",price\n1,2,high,4\n", &["words.csv", "row 2", "high"]);
    predict("far.csv", "height,width,\"depth, cm\",price\n1,2,3,1e300\n", &["far.csv", "row 2", "`price`"]);
    refused(&place, &["predict", "--model", "no/model", "--data", "x.csv"], &["no/model"]);
    refused(&place, &["predict", "--model", model, "--data", "no/data.csv"], &["no/data.csv"]);
}

#[test]
fn a_directory_that_is_no_party() {
    let place = Place::new();
    let empty = place.path("");
    let output = output(shamisen().args(["party", "--dir"]).arg(&empty));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: ") && text(&output.stderr).contains("party.toml"));
}
