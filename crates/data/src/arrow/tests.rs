//! Files and streams that the crate `arrow-ipc` writes, whole and damaged, against the same rows as CSV.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray, Time32SecondArray,
    TimestampMillisecondArray, UInt8Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use tempfile::TempDir;

use crate::columns::{ColumnRules, DateFormat, MissingRule};
use crate::prepare::{PrepareOptions, Prepared, Source, prepare};
use crate::table::TargetKind;

fn options(path: &Path, kind: TargetKind, columns: ColumnRules) -> PrepareOptions {
    PrepareOptions {
        columns,
        ..PrepareOptions::as_it_is(Source::Files {
            files: vec![path.to_owned()],
            target: Some("y".to_owned()),
            kind: Some(kind),
        })
    }
}

fn rules() -> ColumnRules {
    ColumnRules {
        categorical: ["ward", "view", "large"].map(|column| (column.to_owned(), None)).into(),
        dates: ["day", "moment"].map(|column| (column.to_owned(), DateFormat::default())).into(),
        missing: Some(MissingRule::Mean),
        ..ColumnRules::default()
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// A batch with columns of all kinds, some of whose values are missing.
fn all_kinds() -> RecordBatch {
    let ward: DictionaryArray<Int8Type> = [Some("B"), None, Some("A b"), Some("B")].into_iter().collect();
    batch(vec![
        ("x", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN), Some(4.0)]))),
        ("small", Arc::new(UInt8Array::from(vec![Some(1), Some(2), Some(255), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
        (
            "price",
            Arc::new(Decimal128Array::from(vec![150, -25, 0, 1]).with_precision_and_scale(10, 2).unwrap()),
        ),
        ("ward", Arc::new(ward)),
        (
            "view",
            Arc::new(StringViewArray::from(vec![Some(" a "), Some("a text of more bytes"), None, Some("a")])),
        ),
        ("large", Arc::new(LargeStringArray::from(vec![Some("u"), Some("v"), Some("u"), Some(" ")]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), None, Some(19_782), Some(0)]))),
        (
            "moment",
            Arc::new(TimestampMillisecondArray::from(vec![
                Some(-43_200_000),
                Some(86_400_000),
                None,
                Some(0),
            ])),
        ),
        ("y", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
    ])
}

const CSV: &str = "x,small,flag,price,ward,view,large,day,moment,y\n\
    1.5,1,1,1.5,B,a,u,1969-12-31,1969-12-31T12:00:00,1\n\
    ,2,0,-0.25,,a text of more bytes,v,,1970-01-02,2\n\
    nan,255,,0,A b,,u,2024-02-29,,3\n\
    4,,1,0.01,B,a,,1970-01-01,1970-01-01,4\n";

fn write_file(path: &Path, compression: Option<CompressionType>, batches: &[RecordBatch]) {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = FileWriter::try_new_with_options(file, &batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
}

fn write_stream(path: &Path, batches: &[RecordBatch]) {
    let mut writer = StreamWriter::try_new(File::create(path).unwrap(), &batches[0].schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.arrow");
    (dir, path)
}

fn message(path: &Path, columns: ColumnRules) -> String {
    prepare(&options(path, TargetKind::Number, columns)).unwrap_err().to_string()
}

#[test]
fn files_and_streams_are_read_as_the_same_csv_file_is() {
    let (dir, path) = place();
    let csv = dir.path().join("a.csv");
    fs::write(&csv, CSV).unwrap();
    let read = |path: &Path| prepare(&options(path, TargetKind::Number, rules())).unwrap();
    let expected = read(&csv);
    let check = |found: Prepared| {
        assert_eq!(found.preprocessing.feature_names, expected.preprocessing.feature_names);
        // Batches of other lengths are added up in another order.
        let (values, others) = (found.train.features.values(), expected.train.features.values());
        assert!(values.len() == others.len() && values.iter().zip(others).all(|(a, b)| (a - b).abs() < 1e-9));
        assert_eq!(found.train.targets.values(), expected.train.targets.values());
    };
    // The rows in one batch, and in four with an empty one.
    let all = all_kinds();
    let parts: Vec<RecordBatch> =
        [(0, 1), (1, 0), (1, 2), (3, 1)].map(|(from, rows)| all.slice(from, rows)).into();
    for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        for batches in [&[all.clone()][..], &parts] {
            write_file(&path, compression, batches);
            check(read(&path));
        }
    }
    for batches in [&[all.clone()][..], &parts] {
        write_stream(&path, batches);
        check(read(&path));
    }
    // By its beginning.
    let unnamed = dir.path().join("table");
    fs::copy(&path, &unnamed).unwrap();
    check(read(&unnamed));
}

#[test]
fn large_batches_are_cut_and_classes_are_any_column() {
    let (_dir, path) = place();
    let rows = 200_000;
    let x: Vec<f32> = (0..rows).map(|row| (row % 977) as f32).collect();
    let y: Vec<String> = (0..rows).map(|row| ["no", "yes"][row % 2].to_owned()).collect();
    let batch =
        batch(vec![("x", Arc::new(Float32Array::from(x.clone()))), ("y", Arc::new(StringArray::from(y)))]);
    write_file(&path, None, &[batch]);
    let found = prepare(&options(&path, TargetKind::Classes, ColumnRules::default())).unwrap();
    assert!(
        found.train.features.values().iter().zip(&x).all(|(a, b)| a.to_bits() == f64::from(*b).to_bits())
    );
    assert_eq!((found.train.features.rows(), found.preprocessing.classes.len()), (rows, 2));
    assert!((0..rows).all(|row| found.train.targets.row(row)[row % 2] > 0.5));
}

#[test]
fn cells_that_are_not_what_they_should_be_are_named() {
    let (_dir, path) = place();
    write_file(&path, None, &[all_kinds().slice(0, 1), all_kinds().slice(1, 3)]);
    let plain = ColumnRules { missing: None, ..rules() };
    assert!(message(&path, plain).contains("a.arrow, row 2, column `x`: the cell is empty"));
    let text = ColumnRules { categorical: [].into(), ..rules() };
    assert!(message(&path, text).contains("row 1, column `ward`: `B` is not a number"));
    let no_dates = ColumnRules { dates: [].into(), ..rules() };
    assert!(
        message(&path, no_dates).contains("row 1, column `day`: the column holds dates: say that it does")
    );
    let listed = [("ward".to_owned(), Some(vec!["A".to_owned(), "B".to_owned()]))];
    let mut known = rules();
    known.categorical.extend(listed);
    assert!(message(&path, known).contains("row 3, column `ward`: `A b` is none of the categories"));
}

#[test]
fn what_is_not_read_is_refused() {
    let (dir, path) = place();
    let y: (&str, ArrayRef) = ("y", Arc::new(Int64Array::from(vec![1])));
    let list = ListArray::from_iter_primitive::<arrow_array::types::Int32Type, _, _>([Some(vec![Some(1)])]);
    for (name, array, part) in [
        ("d", Arc::new(list) as ArrayRef, "its column `d` holds several values in a row"),
        ("d", Arc::new(Time32SecondArray::from(vec![1])), "its column `d` holds times of day"),
        ("y", Arc::new(Int64Array::from(vec![1])), "the column name `y` occurs twice"),
        ("", Arc::new(Int64Array::from(vec![1])), "has no name"),
        ("__index_level_0__", Arc::new(Int64Array::from(vec![1])), "is the index of a table of pandas"),
    ] {
        let batch = batch(vec![y.clone(), (name, array)]);
        write_file(&path, None, &[batch]);
        let message = message(&path, ColumnRules::default());
        assert!(message.contains(part) && message.contains("a.arrow"), "{message}");
    }
    write_file(&path, None, &[batch(vec![("x", Arc::clone(&y.1)), y]).slice(0, 0)]);
    assert!(message(&path, ColumnRules::default()).contains("a.arrow has a header and no data"));
    for (bytes, part) in [
        (&b""[..], "does not begin as an Arrow file"),
        (b"x,y\n1,2\n", "does not begin as an Arrow file"),
        (b"FEA1\0\0\0\0", "the first version of Feather"),
        (b"ARROW1\0\0", "its end is missing"),
        (b"ARROW1\0\0\0\0\0\0", "it has no schema"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f", "no sensible length"),
        (b"\xff\xff\xff\xff\x08\0\0\0\0", "its end is missing"),
    ] {
        fs::write(&path, bytes).unwrap();
        let message = message(&path, ColumnRules::default());
        assert!(message.contains(part) && message.contains("a.arrow"), "{message}");
    }
    assert!(message(&dir.path().join("no.arrow"), ColumnRules::default()).contains("does not exist"));
    assert!(message(dir.path(), ColumnRules::default()).contains(&*dir.path().to_string_lossy()));
}

#[test]
fn damage_ends_with_a_sentence() {
    let (_dir, path) = place();
    for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        write_file(&path, compression, &[all_kinds(), all_kinds()]);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(11) {
            for change in [0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                fs::write(&path, &bytes).unwrap();
                if let Err(error) = prepare(&options(&path, TargetKind::Number, rules())) {
                    assert!(error.to_string().lines().count() == 1, "{error}");
                }
            }
        }
    }
    // No row is lost in silence.
    write_stream(&path, &[all_kinds(), all_kinds()]);
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 8, whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(prepare(&options(&path, TargetKind::Number, rules())).is_err(), "{length}");
    }
}
