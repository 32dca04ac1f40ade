use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::prepare::{PrepareOptions, Prepared, Source, TestSource, prepare};
use crate::scaling::{Preprocessing, Scaling};
use crate::table::TargetKind;

fn rules(categorical: &[(&str, Option<&[&str]>)]) -> ColumnRules {
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let categorical =
        categorical.iter().map(|(column, listed)| ((*column).to_owned(), listed.map(list))).collect();
    ColumnRules { categorical, ..ColumnRules::default() }
}

fn mean() -> ColumnRules {
    ColumnRules { missing: Some(MissingRule::Mean), ..ColumnRules::default() }
}

/// A file in a directory of its own.
fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.csv");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn options(path: &Path, columns: ColumnRules) -> PrepareOptions {
    PrepareOptions {
        columns,
        ..PrepareOptions::as_it_is(Source::Files {
            files: vec![path.to_owned()],
            target: Some("y".to_owned()),
            kind: Some(TargetKind::Number),
        })
    }
}

fn prepared(text: &str, columns: ColumnRules) -> Prepared {
    let (_dir, path) = file(text);
    prepare(&options(&path, columns)).unwrap()
}

fn message(text: &str, columns: ColumnRules) -> String {
    let (dir, path) = file(text);
    let message = prepare(&options(&path, columns)).unwrap_err().to_string();
    message.replace(&format!("{}/", dir.path().display()), "")
}

const PATIENTS: &str = "age,sex,y\n30,f,1\n50,m,2\n,f,3\n70,,4\n";

#[test]
fn categories_become_one_input_each() {
    let prepared = prepared(
        "sex,age,ward,y\nf,30,B 2,1\nm,50,\"A,1\",2\nf,70,10,3\n",
        rules(&[("sex", None), ("ward", None)]),
    );
    assert_eq!(
        prepared.preprocessing.feature_names,
        ["sex=f", "sex=m", "age", "ward=10", "ward=A,1", "ward=B 2"]
    );
    let rows: Vec<&[f64]> = (0..3).map(|row| prepared.train.features.row(row)).collect();
    assert_eq!(rows, [[1., 0., 30., 0., 0., 1.], [0., 1., 50., 0., 1., 0.], [1., 0., 70., 1., 0., 0.]]);
}

#[test]
fn a_list_decides_the_order_and_what_is_known() {
    let text = "sex,age,y\nf,30,1\nm,50,2\n";
    let prepared = prepared(text, rules(&[("sex", Some(&["m", "d", "f"]))]));
    assert_eq!(prepared.preprocessing.feature_names, ["sex=m", "sex=d", "sex=f", "age"]);
    assert_eq!(prepared.train.features.row(0), [0., 0., 1., 30.]);
    assert_eq!(
        message(text, rules(&[("sex", Some(&["m", "d"]))])),
        "d.csv, row 2, column `sex`: `f` is none of the categories of this column, which are `m`, `d`: correct the \
         cell, remove the row, or train anew with a list that has it"
    );
}

#[test]
fn numbers_are_categories_by_their_order() {
    let prepared = prepared("region,x,y\n10,1,1\n9,2,2\n10,3,3\n", rules(&[("region", None)]));
    assert_eq!(prepared.preprocessing.feature_names, ["region=9", "region=10", "x"]);
    assert_eq!(prepared.train.features.row(0), [0., 1., 1.]);
}

#[test]
fn missing_values_are_errors_without_a_rule() {
    assert_eq!(
        message(PATIENTS, rules(&[("sex", None)])),
        "d.csv, row 4, column `age`: the cell is empty: fill in the value, or remove the row or the column"
    );
    let only_age =
        ColumnRules { missing_in: [("age".to_owned(), MissingRule::Mean)].into(), ..rules(&[("sex", None)]) };
    assert!(message(PATIENTS, only_age).starts_with("d.csv, row 5, column `sex`: the cell is empty"));
    let target = ColumnRules { missing: Some(MissingRule::Constant(0.0)), ..ColumnRules::default() };
    assert!(message("x,y\n1,\n2,3\n", target).starts_with("d.csv, row 2, column `y`: the cell is empty"));
}

#[test]
fn rules_fill_in_what_is_missing() {
    let columns = ColumnRules { missing: Some(MissingRule::Mean), ..rules(&[("sex", None)]) };
    let prepared = prepared(PATIENTS, columns);
    let rows: Vec<&[f64]> = (0..4).map(|row| prepared.train.features.row(row)).collect();
    assert_eq!(rows, [[30., 1., 0.], [50., 0., 1.], [50., 1., 0.], [70., 0., 0.]]);
}

#[test]
fn words_for_nothing_are_missing_numbers_and_dates_but_not_categories() {
    let columns = ColumnRules {
        missing: Some(MissingRule::Constant(-1.0)),
        dates: [("day".to_owned(), DateFormat::default())].into(),
        ..rules(&[("country", None)])
    };
    let text = "x,day,country,y\nNA,1970-01-03,NA,1\nnan,NULL,DE,2\n3,,DE,3\n";
    let prepared = prepared(text, columns);
    assert_eq!(prepared.preprocessing.feature_names, ["x", "day", "country=DE", "country=NA"]);
    let rows: Vec<&[f64]> = (0..3).map(|row| prepared.train.features.row(row)).collect();
    assert_eq!(rows, [[-1., 2., 0., 1.], [-1., -1., 1., 0.], [3., -1., 1., 0.]]);
}

/// The naive way: of the training rows that have values, the mean; all rows filled; then the statistics of all.
#[test]
fn statistics_are_those_of_the_filled_training_rows_in_any_number_of_blocks() {
    use std::fmt::Write;
    let mut text = String::from("a,b,y\n");
    let mut values = Vec::new();
    // Several blocks: 2.6 MB.
    for row in 0..150_000_u32 {
        let a = (row % 7 != 3).then(|| f64::from(row.wrapping_mul(2_654_435_761) >> 12) / 1024.0);
        writeln!(text, "{},{},{}", a.map_or(String::new(), |a| a.to_string()), row % 5, row % 11).unwrap();
        values.push(a);
    }
    let (_dir, path) = file(&text);
    let options = PrepareOptions {
        test: TestSource::Fraction(0.25),
        scaling: Scaling::Standard,
        ..options(&path, mean())
    };
    let prepared = prepare(&options).unwrap();
    let held_out = crate::split::HoldOut::new(150_000, 37_500, 1);
    let train: Vec<Option<f64>> =
        (0..).zip(&values).filter(|(row, _)| !held_out.contains(*row)).map(|(_, v)| *v).collect();
    let present: Vec<f64> = train.iter().flatten().copied().collect();
    let mean = present.iter().sum::<f64>() / present.len() as f64;
    let squares: f64 = train.iter().map(|value| (value.unwrap_or(mean) - mean).powi(2)).sum();
    let deviation = (squares / train.len() as f64).sqrt();
    let Preprocessing { columns, offset, factor, .. } = &prepared.preprocessing;
    assert!((columns[0].missing.unwrap() - mean).abs() < 1e-9 * mean);
    assert!((offset[0] - mean).abs() < 1e-9 * mean && (1.0 / factor[0] - deviation).abs() < 1e-9 * deviation);
    for (row, value) in train.iter().enumerate() {
        let expected = (value.unwrap_or(mean) - mean) / deviation;
        assert!((prepared.train.features.row(row)[0] - expected).abs() < 1e-9, "{row}");
    }
}

#[test]
fn predictions_follow_the_rules_of_the_training() {
    let columns = ColumnRules {
        missing: Some(MissingRule::Mean),
        dates: [("since".to_owned(), DateFormat::new("%d.%m.%Y").unwrap())].into(),
        ..rules(&[("sex", None)])
    };
    let prepared = prepared("age,sex,since,y\n30,f,01.01.1970,1\n50,m,11.01.1970,2\n", columns);
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("preprocessing.json");
    prepared.preprocessing.write(&kept).unwrap();
    let kept = Preprocessing::read(&kept).unwrap();
    assert_eq!(kept, prepared.preprocessing);
    let (dir, path) = file("since,sex,age\n03.01.1970,m,60\n,f,\n,,20\n");
    let features = kept.read_features(&path, 1e9).unwrap();
    let rows: Vec<&[f64]> = (0..3).map(|row| features.row(row)).collect();
    assert_eq!(rows, [[60., 0., 1., 2.], [40., 1., 0., 5.], [20., 0., 0., 5.]]);
    for (text, part) in [
        (
            "age,sex,since\n1,f,01.01.1970\n1,x,01.01.1970\n",
            "row 3, column `sex`: `x` is none of the categories",
        ),
        (
            "age,sex,since\n1,f,1970-01-01\n",
            "row 2, column `since`: `1970-01-01` is no date of the form `%d.%m.%Y`",
        ),
        ("age,sex\n1,f\n", "lacks column `since`"),
    ] {
        let path = dir.path().join("new.csv");
        fs::write(&path, text).unwrap();
        let message = kept.read_features(&path, 1e9).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("new.csv"), "{message}");
    }
}

#[test]
fn test_files_have_the_categories_of_the_training_files() {
    let (dir, path) = file("sex,x,y\nf,1,1\nm,2,2\n");
    let test = dir.path().join("test.csv");
    let options = PrepareOptions {
        test: TestSource::Files(vec![test.clone()]),
        ..options(&path, rules(&[("sex", None)]))
    };
    fs::write(&test, "y,x,sex\n3,5,m\n").unwrap();
    assert_eq!(prepare(&options).unwrap().test.unwrap().features.values(), [0., 1., 5.]);
    fs::write(&test, "y,x,sex\n3,5,d\n").unwrap();
    let message = prepare(&options).unwrap_err().to_string();
    assert!(message.contains("test.csv, row 2, column `sex`: `d` is none of the categories"), "{message}");
}

#[test]
fn arrays_have_categories_dates_and_missing_values() {
    let mut bytes = crate::npy::header_of_floats(3, 4);
    for value in [1.0, 20_240_103.0_f32, 7.0, 0.5, 0.0, f32::NAN, f32::NAN, 1.5, 1.0, 20_240_104.0, 9.0, 2.5]
    {
        bytes.extend(value.to_le_bytes());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    fs::write(&path, bytes).unwrap();
    let columns = ColumnRules {
        missing_in: [
            ("column1".to_owned(), MissingRule::Mean),
            ("column2".to_owned(), MissingRule::Constant(8.0)),
        ]
        .into(),
        dates: [("column1".to_owned(), DateFormat::new("%Y%m%d").unwrap())].into(),
        ..rules(&[("column0", None)])
    };
    let mut options = options(&path, columns);
    options.source = Source::Files { files: vec![path], target: None, kind: Some(TargetKind::Number) };
    let prepared = prepare(&options).unwrap();
    // Floats of four bytes hold the second date, but not the first one, as it was.
    let rows: Vec<&[f64]> = (0..3).map(|row| prepared.train.features.row(row)).collect();
    assert_eq!(rows[0][..2], [0., 1.]);
    assert_eq!(rows[1], [1., 0., f64::midpoint(rows[0][2], rows[2][2]), 8.]);
    assert_eq!(rows[2], [0., 1., 19_726., 9.]);
}

#[test]
fn what_is_said_of_columns_must_make_sense() {
    let text = "sex,x,y\nf,1,1\nm,,2\n";
    let missing = |column: &str, rule| ColumnRules {
        missing_in: [(column.to_owned(), rule)].into(),
        ..ColumnRules::default()
    };
    let dates = |column: &str| ColumnRules {
        dates: [(column.to_owned(), DateFormat::default())].into(),
        ..ColumnRules::default()
    };
    for (columns, expected) in [
        (
            rules(&[("sec", None)]),
            "d.csv has no column `sec` (did you mean `sex`?) that could have categories",
        ),
        (dates("day"), "d.csv has no column `day` that could have dates"),
        (missing("z", MissingRule::Mean), "d.csv has no column `z`"),
        (
            rules(&[("y", None)]),
            "column `y`: the column is the target, and rules for categories are for features",
        ),
        (rules(&[("sex", Some(&["f"]))]), "`sex` cannot have these categories: its list has fewer than two"),
        (rules(&[("sex", Some(&["f", " "]))]), "an empty name"),
        (rules(&[("sex", Some(&["f", "m", "f"]))]), "one of them twice"),
        (ColumnRules { dates: dates("sex").dates, ..rules(&[("sex", None)]) }, "dates as well: choose one"),
        (missing("x", MissingRule::Constant(f64::INFINITY)), "inf cannot stand in for missing values"),
        (ColumnRules { ..rules(&[("sex", None)]) }, "row 3, column `x`: the cell is empty"),
        (dates("sex"), "row 2, column `sex`: `f` is no date of ISO 8601, such as 2026-03-01"),
        (
            ColumnRules::default(),
            "row 2, column `sex`: `f` is not a number: features must be numbers, so say that",
        ),
    ] {
        let message = message(text, columns);
        assert!(message.contains(expected), "{message}");
    }
    let message = message("x,y\n,1\n,2\n", mean());
    assert!(
        message.contains("column `x`: no training row has a value, so that there is no mean"),
        "{message}"
    );
}

#[test]
fn too_many_categories_and_names_that_meet_are_refused() {
    use std::fmt::Write;
    let mut text = String::from("id,y\n");
    (0..=MAX_CLASSES).for_each(|row| writeln!(text, "p{row},{row}").unwrap());
    let message_of_many = message(&text, rules(&[("id", None)]));
    assert!(
        message_of_many.contains("d.csv, row 1002, column `id`: the column has more than 1000"),
        "{message_of_many}"
    );
    let meeting = message("sex,sex=f,y\nf,1,1\nm,2,2\n", rules(&[("sex", None)]));
    assert!(meeting.contains("the column name `sex=f` occurs twice"), "{meeting}");
}

#[test]
fn categories_alone_can_be_learnt_from() {
    let constant = "sex,y\nf,1\nf,2\n";
    assert!(
        message(constant, rules(&[("sex", Some(&["f", "m"]))])).contains("every feature column is constant")
    );
    assert_eq!(
        prepared("sex,y\nf,1\nm,2\n", rules(&[("sex", None)])).train.features.values(),
        [1., 0., 0., 1.]
    );
}
