//! A model from training to prediction.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Place, classify, names, numbers, output, shamisen, succeed, table, text};

#[test]
fn a_kept_model_predicts_what_it_was_scored_on() {
    let place = Place::new();
    let content = table(150);
    let data = place.write("table.csv", &content);
    let model = place.path("model");
    let flags = "--hidden 8 --epochs 30 --batch-size 25 --learning-rate 0.02 --test-fraction 0 --model";
    let out = succeed(shamisen().args(classify(&data)).args(flags.split(' ')).arg(&model));
    let accuracy = percent(&out, "accuracy");
    assert!(accuracy > 90.0, "{out}");

    for (name, mode) in [("party0.share", 0o600), ("party1.share", 0o600), ("party2.share", 0o600)] {
        let permissions = fs::metadata(model.join(name)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{name}");
    }
    let inspected = succeed(shamisen().args(["inspect", "--model"]).arg(&model));
    for part in ["classification of `kind`", "4-8-2, 58 parameters", "big, small one", "semi-honest"] {
        assert!(inspected.contains(part), "no {part:?} in {inspected}");
    }
    assert!((percent(&inspected, "accuracy") - accuracy).abs() < 1e-9);

    let output = place.path("predictions.csv");
    let before = names(&model);
    succeed(
        shamisen()
            .args(["predict", "--model"])
            .arg(&model)
            .arg("--data")
            .arg(&data)
            .arg("--output")
            .arg(&output),
    );
    assert_eq!(names(&model), before);
    let predictions = fs::read_to_string(&output).unwrap();
    let mut lines = predictions.lines();
    assert_eq!(lines.next(), Some("prediction,probability_big,probability_small one"));
    let truth = content.lines().skip(1).map(|line| line.split(',').nth(3).unwrap());
    let right = lines.zip(truth).filter(|(line, truth)| line.split(',').next() == Some(*truth)).count();
    assert!((100.0 * right as f64 / 150.0 - accuracy).abs() < 1.0, "{right} right, accuracy {accuracy}");
}

#[test]
fn numbers_are_predicted_in_their_own_unit_from_columns_in_any_order() {
    let place = Place::new();
    let data = place.write("table.csv", numbers(100));
    let model = place.path("model");
    let mut train = shamisen();
    train.args([
        "train",
        "--target",
        "price",
        "--task",
        "regression",
        "--hidden",
        "",
        "--epochs",
        "40",
        "--data",
    ]);
    train
        .arg(&data)
        .args("--batch-size 10 --learning-rate 0.03 --target-scaling standard --model".split(' '));
    succeed(train.arg(&model).args(["--transport", "memory"]));

    let new = place.write("new.csv", "width,\"depth, cm\",height\n0.5,10,0.25\n-0.5,-20,1\n");
    let mut predict = shamisen();
    predict.args(["predict", "--transport", "memory", "--model"]).arg(&model).arg("--data").arg(&new);
    let out = succeed(&mut predict);
    let numbers: Vec<f64> = out.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    // 3 height - 2 width + 0.05 depth + 10
    assert!((numbers[0] - 10.25).abs() < 0.5 && (numbers[1] - 13.0).abs() < 0.7, "{out}");
}

/// The number of a line such as `accuracy  97.37 %`.
fn percent(text: &str, name: &str) -> f64 {
    let line =
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What a model in a directory or a file predicts for a table, in memory.
fn predicted(model: &Path, data: &Path) -> Vec<f64> {
    let mut predict = shamisen();
    predict.args(["predict", "--transport", "memory", "--model"]).arg(model).arg("--data").arg(data);
    let out = succeed(&mut predict);
    out.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_model_in_the_clear_predicts_and_is_trained_on() {
    let place = Place::new();
    let data = place.write("table.csv", table(150));
    let (model, report) = (place.path("model"), place.path("report.json"));
    let flags = "--hidden 8 --epochs 20 --batch-size 25 --learning-rate 0.02 --transport memory --model";
    succeed(shamisen().args(classify(&data)).args(flags.split(' ')).arg(&model));
    let expected = predicted(&model, &data);

    // Any of them makes any other one, with the same weights.
    let (onnx, safetensors) = (place.path("model.onnx"), place.path("model.safetensors"));
    for (from, to) in [(&model, &onnx), (&onnx, &safetensors)] {
        let out = succeed(shamisen().args(["export", "--model"]).arg(from).arg("--to").arg(to));
        assert!(out.contains("its weights are in the clear"), "{out}");
        assert_eq!(fs::metadata(to).unwrap().permissions().mode() & 0o777, 0o600);
        let found = predicted(to, &data);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?} {expected:?}");
    }
    let again = place.path("again.onnx");
    succeed(shamisen().args(["export", "--model"]).arg(&safetensors).arg("--to").arg(&again));
    assert_eq!(fs::read(&again).unwrap(), fs::read(&onnx).unwrap());

    // A training that begins with it begins at its loss, as its float twin does.
    let flags = "--epochs 2 --batch-size 25 --learning-rate 0.002 --transport memory --twin --report";
    for (start, rest) in [(&onnx, ""), (&model, "--checkpoint")] {
        let mut train = shamisen();
        train.args(["train", "--data"]).arg(&data).args(flags.split(' ')).arg(&report);
        train.arg("--start").arg(start);
        if !rest.is_empty() {
            train.arg(rest).arg(place.path("run"));
        }
        succeed(&mut train);
        let report: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        let loss = report["training"]["loss"][0].as_f64().unwrap();
        let twin = report["twin"]["loss"][0].as_f64().unwrap();
        assert!((loss - twin).abs() < 0.01 && loss < 0.3, "{loss} {twin}");
        assert_eq!(report["training"]["start"].as_str().map(str::len), Some(32));
        assert_eq!(report["model"]["layers"], serde_json::json!([4, 8, 2]));
    }
    // And nothing of it is left.
    assert_eq!(
        place.names(),
        ["again.onnx", "model", "model.onnx", "model.safetensors", "report.json", "table.csv"]
    );
}

#[test]
fn a_model_decides_what_a_training_that_begins_with_it_may_choose() {
    let place = Place::new();
    let data = place.write("table.csv", table(60));
    let model = place.path("model");
    let flags = "--hidden 4 --epochs 1 --batch-size 10 --transport memory --model";
    succeed(shamisen().args(classify(&data)).args(flags.split(' ')).arg(&model));
    let other = place.write("other.csv", numbers(60));
    let shares = place.path("shares");
    let mut share = shamisen();
    share.args(["share", "--target", "kind", "--task", "classification", "--test-fraction", "0.5", "--data"]);
    succeed(share.arg(&data).arg("--output").arg(&shares));
    let unknown = place.write("unknown.csv", table(60).replace("small one", "tiny"));
    let letter = place.write("letter.onnx", "A letter.");
    let [data, other, unknown, shares] =
        [&data, &other, &unknown, &shares].map(|path| path.to_str().unwrap());
    for (flags, sentence) in [
        (vec!["--data", data, "--hidden", "8"], "--hidden is decided by the model of --start: leave it out"),
        (vec!["--data", data, "--scaling", "none"], "--scaling is decided by the model of --start"),
        (
            vec!["--data", data, "--task", "regression"],
            "the model of --start predicts classes: leave --task out",
        ),
        (vec!["--data", other], "has no column `kind`"),
        (vec!["--data", unknown], "`tiny`"),
        (
            vec!["--shares", shares],
            "were scaled by other statistics than the model's: give the table by --data",
        ),
    ] {
        let out = output(shamisen().arg("train").args(flags).arg("--start").arg(&model));
        let err = text(&out.stderr);
        assert!(out.status.code() == Some(2) && err.contains(sentence), "{err}");
    }
    for (command, sentence) in [
        (["predict", "--data", data, "--model"], "letter.onnx is no network that shamisen can take over"),
        (["export", "--to", data, "--model"], "table.csv is no name of ONNX or safetensors: name a file"),
    ] {
        let out = output(shamisen().args(command).arg(&letter));
        let err = text(&out.stderr);
        assert!(out.status.code() == Some(2) && err.contains(sentence), "{err}");
    }
}

#[test]
fn columns_without_names_are_taken_in_their_order() {
    let place = Place::new();
    let unnamed = table(100).replacen("height,width,\"depth, cm\"", "x0,x1,x2", 1);
    let [unnamed, named] = [place.write("unnamed.csv", unnamed), place.write("named.csv", table(100))];
    let [unnamed, named] = [unnamed, named].map(|path| {
        let without = fs::read_to_string(&path).unwrap();
        let without: String =
            without.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n").collect();
        fs::write(&path, without).unwrap();
        path
    });
    let model = place.path("model");
    let flags = "--hidden 4 --epochs 3 --batch-size 10 --transport memory --model";
    succeed(shamisen().args(classify(&unnamed)).args(flags.split(' ')).arg(&model));
    let (expected, found) = (predicted(&model, &unnamed), predicted(&model, &named));
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3), "{found:?} {expected:?}");
    // One column more or less has no place.
    let less = place.write("less.csv", "a,b\n1,2\n");
    let out = output(shamisen().args(["predict", "--model"]).arg(&model).arg("--data").arg(&less));
    assert!(text(&out.stderr).contains("less.csv lacks columns `x0`"), "{}", text(&out.stderr));
}
