//! A model from training to prediction.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Place, classify, names, numbers, shamisen, succeed, table};

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
