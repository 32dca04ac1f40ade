use std::fs;
use std::path::Path;

use super::*;
use crate::scaling::OUTLIER_LIMIT;
use crate::survey::bits;

const CLASSES: &str = "a,b,y\n1,10,no\n2,20,no\n3,30,yes\n4,40,yes\n5,50,no\n";
const NUMBERS: &str = "a,b,y\n1,10,100\n2,20,200\n3,30,300\n4,40,400\n5,50,500\n";

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn options(file: PathBuf, kind: TargetKind, test: TestSource) -> PrepareOptions {
    PrepareOptions {
        source: Source::Files { files: vec![file], target: Some("y".to_owned()), kind: Some(kind) },
        test,
        known: None,
        columns: ColumnRules::default(),
        scaling: Scaling::Standard,
        target_scaling: TargetScaling::Standard,
        seed: 1,
        feature_limit: 64.0,
        target_limit: 64.0,
    }
}

fn of_text(text: &str, kind: TargetKind, test: TestSource) -> Result<Prepared> {
    let dir = tempfile::tempdir().unwrap();
    prepare(&options(write(dir.path(), "d.csv", text), kind, test))
}

#[test]
fn classes_become_one_hot_rows() {
    let prepared = of_text(CLASSES, TargetKind::Classes, TestSource::None).unwrap();
    assert!(prepared.test.is_none());
    assert_eq!(prepared.target_bits, 0);
    assert_eq!(prepared.preprocessing.classes, ["no", "yes"]);
    assert_eq!(prepared.train.targets.values(), [1., 0., 1., 0., 0., 1., 0., 1., 1., 0.]);
    let features = &prepared.train.features;
    assert_eq!((features.rows(), features.cols()), (5, 2));
    assert!((features.row(4)[1] - 2f64.sqrt()).abs() < 1e-12);
}

#[test]
fn numbers_are_scaled_and_their_range_is_told() {
    let prepared = of_text(NUMBERS, TargetKind::Number, TestSource::None).unwrap();
    assert_eq!((prepared.train.targets.rows(), prepared.train.targets.cols()), (5, 1));
    assert!((prepared.train.targets.values()[0] + 2f64.sqrt()).abs() < 1e-12);
    assert_eq!(prepared.target_bits, 1);
    for (magnitude, expected) in [(0.0, 0), (0.3, 0), (1.0, 0), (1.0001, 1), (2.0, 1), (2.5, 2), (500.0, 9)] {
        assert_eq!(bits(magnitude), expected);
    }
}

#[test]
fn a_fraction_is_held_out_and_does_not_enter_the_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "d.csv", NUMBERS);
    let mut options = options(path, TargetKind::Number, TestSource::Fraction(0.4));
    options.scaling = Scaling::None;
    options.target_scaling = TargetScaling::None;
    options.target_limit = 1000.0;
    let prepared = prepare(&options).unwrap();
    let test = prepared.test.unwrap();
    assert_eq!((prepared.train.features.rows(), test.features.rows()), (3, 2));
    let column = |examples: &Examples| -> Vec<f64> { examples.targets.values().to_vec() };
    let mut all = [column(&prepared.train), column(&test)].concat();
    assert!(column(&prepared.train).is_sorted() && column(&test).is_sorted());
    all.sort_by(f64::total_cmp);
    assert_eq!(all, [100., 200., 300., 400., 500.]);
    // Rows stay whole.
    for examples in [&prepared.train, &test] {
        for row in 0..examples.features.rows() {
            assert!((examples.features.row(row)[0] * 100.0 - examples.targets.row(row)[0]).abs() < 1e-9);
        }
    }

    options.scaling = Scaling::Standard;
    let scaled = prepare(&options).unwrap();
    let mean = scaled.train.features.values().iter().step_by(2).sum::<f64>() / 3.0;
    assert!(mean.abs() < 1e-12, "{mean}");
}

#[test]
fn fractions_that_leave_nothing_are_errors() {
    for (fraction, expected) in [
        (0.0, "the test fraction 0 is not between 0 and 1"),
        (1.0, "the test fraction 1 is not between 0 and 1"),
        (f64::NAN, "the test fraction NaN is not between 0 and 1"),
        (0.01, "a test fraction of 0.01 of 5 rows leaves no test rows"),
        (0.99, "a test fraction of 0.99 of 5 rows leaves no training rows"),
    ] {
        let message =
            of_text(NUMBERS, TargetKind::Number, TestSource::Fraction(fraction)).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn test_files_are_scaled_as_the_training_files() {
    let dir = tempfile::tempdir().unwrap();
    let train = write(dir.path(), "d.csv", CLASSES);
    let test = write(dir.path(), "t.csv", "y,b,a\nyes,30,3\n");
    let source = TestSource::Files(vec![test.clone()]);
    let prepared = prepare(&options(train.clone(), TargetKind::Classes, source.clone())).unwrap();
    let examples = prepared.test.unwrap();
    assert_eq!(examples.features.values(), [0.0, 0.0]);
    assert_eq!(examples.targets.values(), [0.0, 1.0]);

    fs::write(&test, "a,b,y\n1,10,no\n1,10,perhaps\n").unwrap();
    let message =
        prepare(&options(train.clone(), TargetKind::Classes, source.clone())).unwrap_err().to_string();
    assert!(message.contains("t.csv, row 3, column `y`: the class `perhaps` does not occur"), "{message}");

    fs::write(&test, "a,b,y\n1,10,no\n1,5000,no\n").unwrap();
    let mut options = options(train, TargetKind::Classes, source);
    let clipped = prepare(&options).unwrap().test.unwrap();
    assert_eq!(clipped.features.values()[3..], [OUTLIER_LIMIT]);
    options.scaling = Scaling::MinMax;
    options.feature_limit = 100.0;
    let message = prepare(&options).unwrap_err().to_string();
    assert!(
        message.contains("t.csv, row 3, column `b`: the value 5000 is 124.75 after min-max"),
        "{message}"
    );

    fs::write(&test, "a,b,y\n").unwrap();
    let message = prepare(&options).unwrap_err().to_string();
    assert!(message.contains("t.csv has a header and no data"), "{message}");
}

#[test]
fn targets_beyond_the_limit_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(write(dir.path(), "d.csv", NUMBERS), TargetKind::Number, TestSource::None);
    options.target_scaling = TargetScaling::None;
    let message = prepare(&options).unwrap_err().to_string();
    assert!(
        message.contains("d.csv, row 2, column `y`: the target 100 is 100 after scaling, beyond ±64"),
        "{message}"
    );
    assert!(message.contains("choose standard scaling of the target"), "{message}");
}

#[test]
fn nothing_to_learn_is_an_error() {
    for (text, kind, expected) in [
        ("a,y\n1,5\n2,5\n", TargetKind::Number, "d.csv, column `y`: every training row has the target 5"),
        (
            "a,y\n1,5\n1,6\n",
            TargetKind::Number,
            "d.csv: every feature column is constant in the training rows",
        ),
        ("a,y\n1,u\n2,u\n", TargetKind::Classes, "d.csv, column `y`: every training row has the class `u`"),
    ] {
        let message = of_text(text, kind, TestSource::None).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    // The only row of a class may be held out.
    let text = "a,y\n1,u\n2,v\n";
    let message = of_text(text, TargetKind::Classes, TestSource::Fraction(0.5)).unwrap_err().to_string();
    assert!(message.contains("every training row has the class"), "{message}");
}

#[test]
fn sources_without_that_test_part_are_refused() {
    let message = of_text(NUMBERS, TargetKind::Number, TestSource::Included).unwrap_err().to_string();
    assert!(message.starts_with("these data include no test part"), "{message}");
}

#[test]
fn the_data_sets_of_the_repository_can_be_read() {
    for (file, target, kind, shape, classes) in [
        ("breast_cancer.csv", "diagnosis", TargetKind::Classes, (569, 30), &["benign", "malignant"][..]),
        ("diabetes.csv", "progression", TargetKind::Number, (442, 10), &[]),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets").join(file);
        let mut options = options(path, kind, TestSource::Fraction(0.2));
        options.source = match options.source {
            Source::Files { files, kind, .. } => {
                Source::Files { files, target: Some(target.to_owned()), kind }
            }
            other => other,
        };
        let prepared = prepare(&options).unwrap();
        let rows = prepared.train.features.rows() + prepared.test.unwrap().features.rows();
        assert_eq!((rows, prepared.train.features.cols()), shape);
        assert_eq!(prepared.preprocessing.classes, classes);
    }
}
