use std::fs;

use tempfile::TempDir;

use super::*;
use crate::columns::ColumnRules;
use crate::prepare::{PrepareOptions, Source, TestSource, prepare};
use crate::scaling::{Preprocessing, Scaling, TargetScaling};
use crate::shares::random_id;

const FRACS: (u32, u32) = (14, 10);

fn options(path: PathBuf, kind: TargetKind, test: TestSource) -> PrepareOptions {
    PrepareOptions {
        source: Source::Files { files: vec![path], target: Some("y".to_owned()), kind: Some(kind) },
        test,
        known: None,
        columns: ColumnRules::default(),
        scaling: Scaling::Standard,
        target_scaling: TargetScaling::Standard,
        seed: 1,
        feature_limit: 512.0,
        target_limit: 512.0,
    }
}

/// A table of so many rows, and what it is shared into.
struct Shared {
    root: TempDir,
    options: PrepareOptions,
    dirs: [PathBuf; 3],
    description: DatasetDescription,
}

fn shared(rows: usize, kind: TargetKind, test: TestSource) -> Shared {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("table.csv");
    let row = |row: usize| match kind {
        TargetKind::Classes => format!("{},{},c{}\n", row as f64 * 0.5, (row * row) % 17, row % 3),
        TargetKind::Number => format!("{},{},{}\n", row as f64 * 0.5, (row * row) % 17, row % 11),
    };
    fs::write(&path, "a,b,y\n".to_owned() + &(0..rows).map(row).collect::<String>()).unwrap();
    let options = options(path, kind, test);
    let dirs = [0, 1, 2].map(|party| root.path().join(format!("party{party}")));
    let survey = Survey::new(&options).unwrap();
    let (id, all) = (random_id().unwrap(), dirs.each_ref().map(PathBuf::as_path));
    let description = share(&survey, all, &id, FRACS, |_| Ok::<_, DataError>(())).unwrap();
    Shared { root, options, dirs, description }
}

/// The values that three share files hold together.
fn together(dirs: &[PathBuf; 3], name: &str, frac: u32) -> Vec<f64> {
    let mut sums: Vec<u64> = vec![];
    for (party, dir) in dirs.iter().enumerate() {
        let file = ShareFile::open(&share_path(dir, name), party).unwrap();
        let rows: Vec<u32> = (0..file.rows() as u32).collect();
        let (mut mine, mut next) = (vec![0; rows.len() * file.cols()], vec![0; rows.len() * file.cols()]);
        file.gather(&rows, &mut mine, &mut next).unwrap();
        sums.resize(mine.len(), 0);
        for (sum, word) in sums.iter_mut().zip(mine) {
            *sum = sum.wrapping_add(word);
        }
    }
    sums.into_iter().map(|sum| shamisen_ring::fixed::decode(sum, frac)).collect()
}

fn close(found: &[f64], expected: &[f64], frac: u32) -> bool {
    let most = 0.51 / f64::from(1_u32 << frac);
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= most)
}

#[test]
fn shares_are_those_of_the_prepared_rows() {
    for (kind, rows) in [(TargetKind::Classes, 40), (TargetKind::Number, 200_000)] {
        let Shared { root: _root, options, dirs, description } =
            shared(rows, kind, TestSource::Fraction(0.25));
        assert_eq!(read_descriptions(&dirs).unwrap(), description);
        check_shares(&dirs, &description).unwrap();
        let prepared = prepare(&options).unwrap();
        assert_eq!((description.rows, description.test_rows), (rows * 3 / 4, Some(rows / 4)));
        assert_eq!(description.target_bits, prepared.target_bits);
        for (part, examples) in [(Part::Train, prepared.train), (Part::Test, prepared.test.unwrap())] {
            let features = together(&dirs, part.features(), FRACS.0);
            assert!(close(&features, examples.features.values(), FRACS.0));
            assert!(close(&together(&dirs, part.targets(), FRACS.1), examples.targets.values(), FRACS.1));
        }
    }
}

#[test]
fn without_test_rows_there_are_no_files_for_them() {
    let Shared { root: _root, dirs, description, .. } = shared(10, TargetKind::Classes, TestSource::None);
    assert_eq!((description.rows, description.test_rows, description.outputs), (10, None, 3));
    check_shares(&dirs, &description).unwrap();
    for dir in &dirs {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["dataset.json", "train-features.share", "train-targets.share"]);
    }
}

#[test]
fn files_of_two_sharings_do_not_go_together() {
    let one = shared(12, TargetKind::Classes, TestSource::Fraction(0.25));
    let other = shared(12, TargetKind::Classes, TestSource::Fraction(0.25));
    let mixed = [one.dirs[0].clone(), one.dirs[1].clone(), other.dirs[2].clone()];
    let message = read_descriptions(&mixed).unwrap_err().to_string();
    assert!(message.contains("are of different sharings"), "{message}");

    let name = "test-features";
    fs::copy(share_path(&other.dirs[1], name), share_path(&one.dirs[1], name)).unwrap();
    let message = check_shares(&one.dirs, &one.description).unwrap_err().to_string();
    assert!(message.contains("test-features.share belongs to the data set"), "{message}");
    fs::copy(share_path(&one.dirs[2], name), share_path(&one.dirs[1], name)).unwrap();
    let message = check_shares(&one.dirs, &one.description).unwrap_err().to_string();
    assert!(message.contains("is the share of party 2"), "{message}");
    fs::remove_file(share_path(&one.dirs[1], name)).unwrap();
    let message = check_shares(&one.dirs, &one.description).unwrap_err().to_string();
    assert!(message.contains("test-features.share does not exist"), "{message}");
}

#[test]
fn a_sharing_that_is_stopped_or_fails_leaves_nothing() {
    let Shared { root, options, .. } = shared(12, TargetKind::Number, TestSource::None);
    let survey = Survey::new(&options).unwrap();
    let dirs = [3, 4, 5].map(|party| root.path().join(format!("party{party}")));
    let id = random_id().unwrap();
    let stop = |_| Err(DataError::NoFiles);
    share(&survey, dirs.each_ref().map(PathBuf::as_path), &id, FRACS, stop).unwrap_err();
    assert!(dirs.iter().all(|dir| fs::read_dir(dir).unwrap().count() == 0));

    let Source::Files { files, .. } = &options.source else { panic!("files") };
    fs::write(&files[0], "a,b,y\n1,2,3\n").unwrap();
    let go_on = |_| Ok::<_, DataError>(());
    let message =
        share(&survey, dirs.each_ref().map(PathBuf::as_path), &id, FRACS, go_on).unwrap_err().to_string();
    assert!(message.contains("table.csv changed while it was read"), "{message}");
    assert!(dirs.iter().all(|dir| fs::read_dir(dir).unwrap().count() == 0));
}

#[test]
fn a_description_that_makes_no_sense_is_refused() {
    let Shared { root: _root, dirs, description, .. } = shared(12, TargetKind::Number, TestSource::None);
    let path = dirs[0].join(DESCRIPTION_FILE);
    for bad in [
        DatasetDescription { version: 2, ..description.clone() },
        DatasetDescription { rows: 0, ..description.clone() },
        DatasetDescription { outputs: 3, ..description.clone() },
        DatasetDescription { task: Some(TargetKind::Classes), ..description.clone() },
        DatasetDescription { feature_frac: 63, ..description.clone() },
    ] {
        sealed::write(&path, FORMAT, &bad).unwrap();
        let message = read_descriptions(&dirs).unwrap_err().to_string();
        assert!(message.contains("dataset.json"), "{message}");
    }
    fs::write(&path, "{}").unwrap();
    assert!(read_descriptions(&dirs).unwrap_err().to_string().contains("dataset.json is damaged"));
}

#[test]
fn a_table_without_target_is_shared_as_features() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("table.csv");
    let rows: Vec<String> = (0..40).map(|row| format!("{row},{},k{}", row % 7, row % 2)).collect();
    fs::write(&path, format!("a,b,c\n{}\n", rows.join("\n"))).unwrap();
    let mut options = options(path.clone(), TargetKind::Number, TestSource::Fraction(0.25));
    options.source = Source::Files { files: vec![path.clone()], target: None, kind: None };
    options.columns.categorical.insert("c".to_owned(), None);
    let dirs = [0, 1, 2].map(|party| root.path().join(format!("party{party}")));
    let survey = Survey::new(&options).unwrap();
    let (id, all) = (random_id().unwrap(), dirs.each_ref().map(PathBuf::as_path));
    let description = share(&survey, all, &id, FRACS, |_| Ok::<_, DataError>(())).unwrap();
    assert_eq!((description.task, description.outputs, description.features), (None, 0, 4));
    assert_eq!((description.rows, description.test_rows), (30, Some(10)));
    assert_eq!(read_descriptions(&dirs).unwrap(), description);
    check_shares(&dirs, &description).unwrap();
    assert!(!share_path(&dirs[0], Part::Train.targets()).exists());
    // The rows are those that would be held out with a target as well, and its statistics the same.
    let prepared = prepare(&options).unwrap();
    assert!(close(&together(&dirs, "test-features", 14), prepared.test.unwrap().features.values(), 14));
    assert_eq!(prepared.train.targets.cols(), 0);
    let file = root.path().join("preprocessing.json");
    prepared.preprocessing.write(&file).unwrap();
    assert_eq!(Preprocessing::read(&file).unwrap().kind(), None);
    // Test files have the same columns, and none is taken for a target.
    options.test = TestSource::Files(vec![path]);
    assert_eq!(prepare(&options).unwrap().test.unwrap().features.rows(), 40);
    let claimed = Preprocessing { target_name: "y".into(), ..prepared.preprocessing };
    assert!(claimed.problem().is_some());
}
