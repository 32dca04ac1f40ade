use std::fmt::Write;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::classes::{Classes, SeenClass};
use crate::columns::{Column, ColumnRules};
use crate::source::{self, Tables, Values};
use crate::table::{Matrix, Schema, TargetKind};

/// A table in memory.
#[derive(Debug)]
struct Table {
    feature_names: Vec<String>,
    features: Matrix,
    target_name: String,
    target: Target,
    places: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Target {
    Classes { names: Vec<String>, labels: Vec<u32> },
    Number(Vec<f64>),
}

/// Reads files one below the other, as the first pass over training data does, or with a known schema as test data.
fn read_csv(
    paths: &[PathBuf],
    target: &str,
    kind: TargetKind,
    known: Option<&Schema>,
    limit: f64,
) -> Result<Table> {
    let files = paths.iter().map(|path| source::open(path)).collect::<Result<Vec<_>>>()?;
    let tables = match known {
        None => Tables::with_target(files, Some(target), Some(kind), &ColumnRules::default(), limit)?,
        Some(schema) => Tables::by_schema(files, schema, true, limit)?,
    };
    let (mut values, mut numbers, mut named, mut places) = (vec![], vec![], vec![], vec![]);
    let mut classes = Classes::default();
    tables.blocks(
        |_, block| Ok(block),
        |Block { features, target: found, .. }| {
            for row in 0..features.rows() {
                places.push(features.place(row, features.cols() - 1).to_string());
            }
            values.extend_from_slice(features.values());
            match found {
                Values::None => {}
                Values::Numbers(found) => numbers.extend(found),
                Values::Classes(found) => {
                    for (name, &row) in found.names.iter().zip(&found.first) {
                        let place = features.place_in(row, target.to_owned());
                        if let Some(known) = known.and_then(|schema| schema.classes.clone())
                            && !known.contains(name)
                        {
                            return Err(DataError::UnknownClass { place, class: name.clone(), known });
                        }
                        let class = SeenClass { name: name.clone(), place, trained: true };
                        classes.take_in(class, |place, limit| DataError::TooManyClasses { place, limit })?;
                    }
                    named.extend(found.labels.iter().map(|&label| found.names[label as usize].clone()));
                }
            }
            Ok(())
        },
    )?;
    let target_values = match kind {
        TargetKind::Number => Target::Number(numbers),
        TargetKind::Classes => {
            if known.is_none() {
                classes.require_two(&paths[0], target)?;
            }
            let names = known.and_then(|schema| schema.classes.clone()).unwrap_or_else(|| classes.sorted());
            let label = |name: &String| names.iter().position(|known| known == name).unwrap() as u32;
            Target::Classes { labels: named.iter().map(label).collect(), names }
        }
    };
    let cols = tables.feature_names().len();
    Ok(Table {
        feature_names: tables.feature_names().to_vec(),
        features: Matrix::new(values.len() / cols, cols, values).unwrap(),
        target_name: tables.target_name().to_owned(),
        target: target_values,
        places,
    })
}

/// Reads the feature columns of a file for prediction.
fn read_features(path: &Path, schema: &Schema, limit: f64) -> Result<Matrix> {
    let tables = Tables::by_schema(vec![source::open(path)?], schema, false, limit)?;
    let mut values = vec![];
    tables.blocks(
        |_, block| Ok(block.features),
        |features| {
            values.extend_from_slice(features.values());
            Ok::<_, DataError>(())
        },
    )?;
    let cols = schema.columns.len();
    Ok(Matrix::new(values.len() / cols, cols, values).unwrap())
}

const LIMIT: f64 = 1e6;

/// Files `0.csv`, `1.csv`, … with these contents.
fn files(contents: &[&[u8]]) -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let paths = contents.iter().enumerate().map(|(i, bytes)| {
        let path = dir.path().join(format!("{i}.csv"));
        fs::write(&path, bytes).unwrap();
        path
    });
    let paths = paths.collect();
    (dir, paths)
}

fn read(contents: &[&str], target: &str, kind: TargetKind) -> Result<Table> {
    let contents: Vec<&[u8]> = contents.iter().map(|text| text.as_bytes()).collect();
    let (_dir, paths) = files(&contents);
    read_csv(&paths, target, kind, None, LIMIT)
}

/// The message, without the name of the directory.
fn message(contents: &[&[u8]], target: &str, kind: TargetKind, known: Option<&Schema>) -> String {
    let (dir, paths) = files(contents);
    let message = read_csv(&paths, target, kind, known, LIMIT).unwrap_err().to_string();
    message.replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn a_table_of_classes() {
    let table = read(
        &["a, kind ,\"b, c\"\n1,dog,2.5\n\n-3e2,\"cat, old\", 4 \n", "a,kind,\"b, c\"\r\n0,dog,1\r\n"],
        "kind",
        TargetKind::Classes,
    )
    .unwrap();
    assert_eq!(table.feature_names, ["a", "b, c"]);
    assert_eq!(table.target_name, "kind");
    assert_eq!(table.features.values(), [1., 2.5, -300., 4., 0., 1.]);
    let names = vec!["cat, old".to_owned(), "dog".to_owned()];
    assert_eq!(table.target, Target::Classes { names, labels: vec![1, 0, 1] });
    assert!(table.places[1].ends_with("0.csv, row 4, column `b, c`"));
    assert!(table.places[2].ends_with("1.csv, row 2, column `b, c`"));
}

#[test]
fn classes_that_are_numbers_are_sorted_as_numbers() {
    let table = read(&["x,y\n1,10\n1,9\n1,-1\n1,10\n"], "y", TargetKind::Classes).unwrap();
    let names = ["-1", "9", "10"].map(str::to_owned).to_vec();
    assert_eq!(table.target, Target::Classes { names, labels: vec![2, 1, 0, 2] });
    let table = read(&["x,y\n1,10\n1,9\n1,b\n"], "y", TargetKind::Classes).unwrap();
    let names = ["10", "9", "b"].map(str::to_owned).to_vec();
    assert_eq!(table.target, Target::Classes { names, labels: vec![0, 1, 2] });
}

#[test]
fn a_table_of_numbers_with_byte_order_mark() {
    let table = read(&["\u{feff}y,x\n1.5,+2\n-1,.5"], "y", TargetKind::Number).unwrap();
    assert_eq!(table.features.values(), [2.0, 0.5]);
    assert_eq!(table.target, Target::Number(vec![1.5, -1.0]));
}

#[test]
fn test_files_may_have_another_order() {
    let schema = Schema {
        columns: ["a", "b"].map(Column::number).to_vec(),
        target_name: "y".to_owned(),
        classes: Some(vec!["u".to_owned(), "v".to_owned()]),
    };
    let (_dir, paths) = files(&[b"y,b,a\nv,1,2\n", b"a,b,y\n3,4,v\n"]);
    let table = read_csv(&paths, "y", TargetKind::Classes, Some(&schema), LIMIT).unwrap();
    assert_eq!(table.features.values(), [2., 1., 3., 4.]);
    assert_eq!(table.feature_names, ["a", "b"]);
    let names = schema.classes.clone().unwrap();
    assert_eq!(table.target, Target::Classes { names, labels: vec![1, 1] });

    let message = |text: &str| message(&[text.as_bytes()], "y", TargetKind::Classes, Some(&schema));
    assert_eq!(
        message("a,b,y\n1,2,u\n1,2,w\n"),
        "0.csv, row 3, column `y`: the class `w` does not occur in the training data, whose classes are `u`, `v`: \
         correct the cell, remove the row, or add training rows of this class"
    );
    assert_eq!(message("a,y\n1,u\n"), "0.csv lacks column `b`: give the columns of the training data");
    assert_eq!(
        message("a,c,b,d,y\n1,2,3,4,u\n"),
        "0.csv has columns `c`, `d` unknown to the training data: remove what is not one of its columns"
    );
}

#[test]
fn features_for_prediction_are_taken_by_name() {
    let schema = Schema {
        columns: ["a", "b"].map(Column::number).to_vec(),
        target_name: "y".to_owned(),
        classes: None,
    };
    let (_dir, paths) =
        files(&[b"b,y,a\n1,whatever,2\n", b"b,a\n3,4\n", b"b\n3\n", b"a,b,z\n1,2,3\n", b"a,b\n"]);
    let read = |i: usize| read_features(&paths[i], &schema, LIMIT);
    assert_eq!(read(0).unwrap().values(), [2., 1.]);
    assert_eq!(read(1).unwrap().values(), [4., 3.]);
    let message = |i: usize| read(i).unwrap_err().to_string();
    assert!(message(2).ends_with("2.csv lacks column `a`: give the columns of the training data"));
    assert!(message(3).contains("3.csv has column `z` unknown to the training data"));
    assert!(message(4).contains("4.csv has a header and no data"));
    let (_dir, paths) = files(&[b"a,b\n1,2\n3,x\n"]);
    let message = read_features(&paths[0], &schema, LIMIT).unwrap_err().to_string();
    assert!(message.contains("0.csv, row 3, column `b`: `x` is not a number"), "{message}");
}

#[test]
fn bad_tables_are_explained() {
    let number = TargetKind::Number;
    let classes = TargetKind::Classes;
    let cases: &[(&[u8], TargetKind, &str)] = &[
        (b"", number, "0.csv is empty: its first row must be the column names"),
        (b"\n\r\n  \n", number, "0.csv is empty: its first row must be the column names"),
        (b"x,y\n", number, "0.csv has a header and no data: add at least one row"),
        (b"x,y", classes, "0.csv has a header and no data: add at least one row"),
        (
            b"x,y\n1,2\nabc,3\n",
            number,
            "0.csv, row 3, column `x`: `abc` is not a number: features must be numbers",
        ),
        (b"x,y\n1,2\n\n\n,3\n", number, "0.csv, row 5, column `x`: the cell is empty: fill in the value"),
        (b"x,y\n1,2\n1,\n", number, "0.csv, row 3, column `y`: the cell is empty"),
        (b"x,y\n1,a\n1, \n", classes, "0.csv, row 3, column `y`: the cell is empty"),
        (b"x,y\nNaN,2\n", number, "0.csv, row 2, column `x`: `NaN` is not a finite number"),
        (b"x,y\n-inf,2\n", number, "0.csv, row 2, column `x`: `-inf` is not a finite number"),
        (b"x,y\n1,Infinity\n", number, "0.csv, row 2, column `y`: `Infinity` is not a finite number"),
        (b"x,y\n1e300,2\n", number, "0.csv, row 2, column `x`: `1e300` is beyond ±1000000, the range of"),
        (b"x,y\n-1e999,2\n", number, "0.csv, row 2, column `x`: `-1e999` is beyond"),
        (b"x,y\n1,1000001\n", number, "0.csv, row 2, column `y`: `1000001` is beyond"),
        (
            b"x,y\n1,2\n1,cat\n",
            number,
            "0.csv, row 3, column `y`: the target `cat` is not a number: regression",
        ),
        (b"x,y\n1,a\n2,a\n", classes, "0.csv, column `y`: every training row has the class `a`"),
        (b"x,y\n1,2\n1,2,3\n", number, "0.csv, row 3: the row has 3 cells, but the header names 2 columns"),
        (b"x,y\n1\n", number, "0.csv, row 2: the row has 1 cell, but the header names 2 columns"),
        (b"x,y,x\n1,2,3\n", number, "0.csv, row 1: the column name `x` occurs twice"),
        (
            b",x,y\n0,1,2\n",
            number,
            "0.csv, row 1: column 1 has no name: name it, or remove it if it only numbers",
        ),
        (b"x,y\n1,2\n\xff,2\n", number, "0.csv, row 3: the text is not UTF-8: save the file as UTF-8"),
        (b"x,y\n1,\xe9\n", classes, "0.csv, row 2: the text is not UTF-8"),
        (b"\xff\xfex\0,\0y\0", number, "0.csv, row 1: the text is not UTF-8"),
        (b"y\n1\n", number, "0.csv has no column besides the target `y`: add at least one feature column"),
        (
            b"x,Y\n1,2\n",
            number,
            "0.csv has no column `y` (did you mean `Y`?): name one of its columns as the target: `x`, `Y`",
        ),
        (b"x,z\r\n1,2\r\n", number, "0.csv has no column `y`"),
    ];
    for (text, kind, expected) in cases {
        let message = message(&[text], "y", *kind, None);
        assert!(message.starts_with(expected), "{message}\ninstead of\n{expected}");
    }
}

#[test]
fn rows_are_counted_as_in_the_file() {
    for ending in ["\n", "\r\n", "\r"] {
        for (text, row) in [
            ("x,y|1,2|?,3", 3),
            ("x,y|1,2|?,3|", 3),
            ("x,y||1,2|  |||?,3|", 7),
            ("|x,y|?,3|", 3),
            ("x,y|1,2|\"?\",3|", 3),
        ] {
            let text = text.replace('|', ending);
            let message = message(&[text.as_bytes()], "y", TargetKind::Number, None);
            assert!(message.starts_with(&format!("0.csv, row {row}, column `x`")), "{message}\nin\n{text:?}");
        }
    }
    // A file longer than any buffer.
    let mut text = String::from("x,y\r\n");
    for i in 0..50_000 {
        write!(text, "{i},1\r\n").unwrap();
    }
    text += "?,1\r\n";
    let message = message(&[text.as_bytes()], "y", TargetKind::Number, None);
    assert!(message.starts_with("0.csv, row 50002, column `x`"), "{message}");
    let quoted = b"x,y\n1,\"a\nb\"\n?,c\n";
    let message = self::message(&[quoted], "y", TargetKind::Classes, None);
    assert!(message.starts_with("0.csv, row 4, column `x`"), "{message}");
}

#[test]
fn a_file_of_several_chunks_is_cut_between_rows() {
    for ending in ["\n", "\r\n", "\r"] {
        let mut text = format!("x,y,z{ending}");
        let rows = 150_000;
        for row in 0..rows {
            // Quoted cells with commas and line ends, and blank lines.
            match row % 7 {
                0 => write!(text, "{row},\"a, {ending}b\",-{row}.5{ending}").unwrap(),
                1 => write!(text, "{ending}{row},\"\"\"\",\"-{row}.5\"{ending}   {ending}").unwrap(),
                _ => write!(text, " {row} , c,-{row}.5{ending}").unwrap(),
            }
        }
        assert!(text.len() > 2 * CHUNK, "{}", text.len());
        let table = read(&[&text, &text], "y", TargetKind::Classes).unwrap();
        assert_eq!(table.features.rows(), 2 * rows);
        for row in 0..2 * rows {
            let value = (row % rows) as f64;
            assert_eq!(table.features.row(row), [value, -value - 0.5]);
        }
        let Target::Classes { names, labels } = table.target else { panic!("classes") };
        let label = |row: usize| names.iter().position(|name| *name == names[labels[row] as usize]);
        assert_eq!((names.len(), label(0) == label(7), label(0) == label(1)), (3, true, false));
        // As many lines as the text has, of which the last one is bad.
        let lines = text.replace("\r\n", "\n").replace('\r', "\n").lines().count();
        text.push_str("?,c,1");
        let message = message(&[text.as_bytes()], "y", TargetKind::Classes, None);
        assert!(message.starts_with(&format!("0.csv, row {}, column `x`: `?`", lines + 1)), "{message}");
    }
}

#[test]
fn a_row_without_end_is_refused() {
    let text = "x,y\n1,2\n\"".to_owned() + &"3,4\n".repeat(MAX_RECORD / 4 + 1);
    let message = message(&[text.as_bytes()], "y", TargetKind::Number, None);
    assert!(
        message.starts_with("0.csv, row 3: the row is longer than 64 MB: check that every line"),
        "{message}"
    );
}

#[test]
fn files_of_one_data_set_have_the_same_columns() {
    let tail = ": files of one data set need the same columns in the same order";
    for (other, difference) in [
        ("y,a,b\n1,2,3\n", "column 1 is `y` in 1.csv but `a` in 0.csv"),
        ("a,y\n1,2\n", "`b` is only in 0.csv"),
        ("a,b,c,y\n1,2,3,4\n", "`c` is only in 1.csv"),
    ] {
        let message = message(&[b"a,b,y\n1,2,3\n", other.as_bytes()], "y", TargetKind::Number, None);
        assert_eq!(message, format!("1.csv and 0.csv have different columns: {difference}{tail}"));
    }
    let message = message(&[b"a,y\n1,2\n", b"a\n1\n"], "y", TargetKind::Number, None);
    assert!(message.starts_with("1.csv has no column `y`"), "{message}");
}

#[test]
fn a_column_of_many_values_is_not_one_of_classes() {
    let mut text = String::from("x,y\n");
    for i in 0..2000 {
        writeln!(text, "1,{i}.5").unwrap();
    }
    let message = message(&[text.as_bytes()], "y", TargetKind::Classes, None);
    assert!(
        message.starts_with("0.csv, row 1002, column `y`: the target has more than 1000 different values")
    );
}

#[test]
fn missing_files_and_directories_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent.csv");
    let read = |path: &Path| {
        read_csv(&[path.to_owned()], "y", TargetKind::Number, None, LIMIT).unwrap_err().to_string()
    };
    assert_eq!(read(&absent), format!("{} does not exist: check the path", absent.display()));
    assert!(read(dir.path()).starts_with(&format!("cannot read {}", dir.path().display())));
    let message = read_csv(&[], "y", TargetKind::Number, None, LIMIT).unwrap_err().to_string();
    assert_eq!(message, "no data file is named: name at least one CSV file");
}

#[test]
fn the_nearest_name_is_suggested() {
    let columns = ["diagnosis", "radius mean", "texture"].map(str::to_owned);
    assert_eq!(source::nearest("diagnoses", &columns).as_deref(), Some("diagnosis"));
    assert_eq!(source::nearest("Radius_Mean", &columns).as_deref(), Some("radius mean"));
    assert_eq!(source::nearest("price", &columns), None);
    assert_eq!(source::nearest("", &[]), None);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(proptest::prop_oneof![
            proptest::sample::select(&b"xy,\"\r\n1e.- "[..]),
            proptest::num::u8::ANY,
        ], 0..200),
        header in proptest::bool::ANY,
    ) {
        let text = if header { [b"x,y\n".to_vec(), bytes].concat() } else { bytes };
        let (_dir, paths) = files(&[&text]);
        for kind in [TargetKind::Classes, TargetKind::Number] {
            drop(read_csv(&paths, "y", kind, None, LIMIT));
        }
    }
}
