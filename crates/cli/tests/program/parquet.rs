//! Parquet files in the program, with the feature `parquet` and without.

use crate::bad_input::refused;
use crate::support::Place;

/// [`crate::support::table`] of 150 rows, written by pandas.
const PANDAS: &[u8] = include_bytes!("../../../data/src/parquet/tests/pandas.parquet");

#[cfg(feature = "parquet")]
#[test]
fn a_file_of_pandas_is_shared_trained_on_and_predicted_as_its_csv_file_is() {
    use std::fs;

    use crate::support::{classify, shamisen, succeed, table};

    let place = Place::new();
    let tables = [place.write("table.csv", table(150)), place.write("table.parquet", PANDAS)];
    let results = tables.each_ref().map(|data| {
        let name = data.extension().unwrap().to_str().unwrap();
        let (report, model) = (place.path(&format!("{name}.json")), place.path(&format!("{name}-model")));
        let mut train = shamisen();
        train.args(classify(data)).arg("--test").arg(data).args(
            "--hidden 8 --epochs 3 --batch-size 30 --learning-rate 0.02 --transport memory --twin".split(' '),
        );
        succeed(train.arg("--report").arg(&report).arg("--model").arg(&model));
        let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        let mut predict = shamisen();
        predict.args(["predict", "--transport", "memory", "--model"]).arg(&model).arg("--data").arg(data);
        assert_eq!(succeed(&mut predict).lines().count(), 151);
        // Predictions as Parquet are a table again: of three columns of the same rows.
        let output = place.path(&format!("{name}-predictions.parquet"));
        succeed(predict.arg("--output").arg(&output));
        let again = place.path(&format!("{name}-again"));
        let flags = "--target prediction --task classification --test-fraction 0".split(' ');
        succeed(shamisen().args(["share", "--data"]).arg(&output).args(flags).arg("--output").arg(&again));
        let shown = succeed(shamisen().args(["inspect", "--shares"]).arg(&again));
        assert!(shown.contains("150") && shown.contains("probability_big, probability_small one"), "{shown}");
        (report["data"].clone(), report["twin"]["cross_entropy"].as_f64().unwrap())
    });
    assert_eq!(results[0].0, results[1].0);
    assert!((results[0].1 - results[1].1).abs() < 1e-9, "{results:?}");
    let data = tables[1].to_str().unwrap();
    let shares = place.path("shares");
    let flags = ["--target", "kind", "--task", "classification", "--output", shares.to_str().unwrap()];
    succeed(shamisen().args(["share", "--data", data]).args(flags));
    let cut = place.write("cut.parquet", &PANDAS[..2000]);
    let cut = ["share", "--data", cut.to_str().unwrap()];
    refused(
        &place,
        &[&cut[..], &["--target", "kind", "--task", "classification", "--output", "no"]].concat(),
        &["cut.parquet is damaged (its end is missing)"],
    );
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_the_feature_says_what_to_do() {
    let place = Place::new();
    for name in ["table.parquet", "table"] {
        let data = place.write(name, PANDAS);
        let flags = ["--data", data.to_str().unwrap(), "--target", "kind", "--task", "classification"];
        refused(&place, &[&["train"], &flags[..]].concat(), &[name, "--features parquet", "CSV or NPY"]);
    }
    let flags = ["predict", "--model", "no", "--data", "no", "--output", "predictions.parquet"];
    refused(
        &place,
        &flags,
        &["predictions.parquet cannot be written", "--features parquet", "end with .csv"],
    );
    let data = place.write("table.arrow", b"ARROW1\0\0");
    let flags = ["--data", data.to_str().unwrap(), "--target", "kind", "--task", "classification"];
    refused(&place, &[&["train"], &flags[..]].concat(), &["table.arrow", "--features arrow", "CSV or NPY"]);
}
