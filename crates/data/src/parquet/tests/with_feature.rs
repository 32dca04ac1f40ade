//! Files that the crate `parquet` writes, whole and damaged.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    FloatType, Int32Type, Int64Type,
};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use crate::columns::{ColumnRules, DateFormat, MissingRule};
use crate::error::{DataError, Result};
use crate::prepare::{PrepareOptions, Source, TestSource, prepare};
use crate::scaling::{Scaling, TargetScaling};
use crate::source::{self, RAW_LIMIT, Tables, Values};
use crate::table::TargetKind;

/// The values of a column in a row group; `None` where they are empty.
enum Data {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i32>>),
    Long(Vec<Option<i64>>),
    Float(Vec<Option<f32>>),
    Double(Vec<Option<f64>>),
    Text(Vec<Option<Vec<u8>>>),
    Fixed(Vec<Option<Vec<u8>>>),
}

fn some<T>(values: impl IntoIterator<Item = T>) -> Vec<Option<T>> {
    values.into_iter().map(Some).collect()
}

fn texts(values: &[&str]) -> Data {
    Data::Text(some(values.iter().map(|text| text.as_bytes().to_vec())))
}

/// Writes a file with the columns of a schema, row group by row group.
fn write(path: &Path, schema: &str, properties: WriterPropertiesBuilder, groups: &[Vec<Data>]) {
    fn fill<T: DataType>(
        column: &mut parquet::file::writer::SerializedColumnWriter<'_>,
        values: impl Iterator<Item = Option<T::T>>,
        optional: bool,
    ) {
        let values: Vec<Option<T::T>> = values.collect();
        let levels: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
        let values: Vec<T::T> = values.into_iter().flatten().collect();
        column.typed::<T>().write_batch(&values, optional.then_some(&levels[..]), None).unwrap();
    }
    let end = if schema.is_empty() || schema.ends_with('}') { "" } else { ";" };
    let schema = Arc::new(parse_message_type(&format!("message table {{ {schema}{end} }}")).unwrap());
    let optional: Vec<bool> = schema.get_fields().iter().map(|field| field.is_optional()).collect();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    for group in groups {
        let mut out = writer.next_row_group().unwrap();
        for (data, &optional) in group.iter().zip(&optional) {
            let mut column = out.next_column().unwrap().unwrap();
            let to = &mut column;
            let bytes = |value: &Option<Vec<u8>>| value.clone().map(ByteArray::from);
            match data {
                Data::Bool(values) => fill::<BoolType>(to, values.iter().copied(), optional),
                Data::Int(values) => fill::<Int32Type>(to, values.iter().copied(), optional),
                Data::Long(values) => fill::<Int64Type>(to, values.iter().copied(), optional),
                Data::Float(values) => fill::<FloatType>(to, values.iter().copied(), optional),
                Data::Double(values) => fill::<DoubleType>(to, values.iter().copied(), optional),
                Data::Text(values) => fill::<ByteArrayType>(to, values.iter().map(bytes), optional),
                Data::Fixed(values) => fill::<FixedLenByteArrayType>(
                    to,
                    values.iter().map(|value| bytes(value).map(FixedLenByteArray::from)),
                    optional,
                ),
            }
            column.close().unwrap();
        }
        out.close().unwrap();
    }
    writer.close().unwrap();
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
}

/// A file of one row group.
fn one(schema: &str, group: Vec<Data>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, schema, properties(), &[group]);
    (dir, path)
}

/// Features, numbers or classes of the target, and the row of each, as they come.
#[derive(Debug, Default, PartialEq)]
struct Rows {
    features: Vec<f64>,
    numbers: Vec<f64>,
    classes: Vec<String>,
    places: Vec<String>,
}

fn read(path: &Path, target: &str, kind: TargetKind) -> Result<Rows> {
    let tables = Tables::with_target(
        vec![source::open(path)?],
        Some(target),
        Some(kind),
        &ColumnRules::default(),
        RAW_LIMIT,
    )?;
    let mut rows = Rows::default();
    tables.blocks(
        |_, block| Ok(block),
        |block| {
            rows.features.extend(block.features.values());
            rows.places
                .extend((0..block.features.rows()).map(|row| block.features.place(row, 0).to_string()));
            match block.target {
                Values::Numbers(numbers) => rows.numbers.extend(numbers),
                Values::Classes(found) => {
                    rows.classes
                        .extend(found.labels.iter().map(|&label| found.names[label as usize].clone()));
                }
                Values::None => {}
            }
            Ok::<_, DataError>(())
        },
    )?;
    Ok(rows)
}

fn message(path: &Path, target: &str, kind: TargetKind) -> String {
    read(path, target, kind).unwrap_err().to_string()
}

const SCHEMA: &str = "REQUIRED BOOLEAN flag; OPTIONAL INT32 small (INTEGER(8,true)); \
    REQUIRED INT32 positive (INTEGER(32,false)); REQUIRED INT64 long; REQUIRED INT64 huge (INTEGER(64,false)); \
    OPTIONAL FLOAT single; REQUIRED DOUBLE double; REQUIRED INT32 price (DECIMAL(9,2)); \
    REQUIRED FIXED_LEN_BYTE_ARRAY(5) wide (DECIMAL(11,3)); REQUIRED BYTE_ARRAY long_decimal (DECIMAL(30,1)); \
    OPTIONAL BYTE_ARRAY kind (STRING)";

/// Columns of every type in a row group, and the same as lines of a CSV file.
fn every_type(from: usize, rows: usize) -> (Vec<Data>, String) {
    let all = from..from + rows;
    let kinds = ["ham", "eggs", "green tea"];
    let group = vec![
        Data::Bool(some(all.clone().map(|row| row % 3 == 0))),
        Data::Int(some(all.clone().map(|row| row as i32 % 200 - 100))),
        Data::Int(some(all.clone().map(|row| (u32::MAX - row as u32) as i32))),
        Data::Long(some(all.clone().map(|row| row as i64 * -1_000_003))),
        Data::Long(some(all.clone().map(|row| (1_i64 << 33) + (row as i64) * 4096))),
        Data::Float(some(all.clone().map(|row| row as f32 * 0.25))),
        Data::Double(some(all.clone().map(|row| (row as f64).sqrt()))),
        Data::Int(some(all.clone().map(|row| row as i32 * 7 - 50))),
        Data::Fixed(some(all.clone().map(|row| (row as i64 * 11 - 999).to_be_bytes()[3..].to_vec()))),
        Data::Text(some(all.clone().map(|row| (row as i128 - 5).to_be_bytes()[8..].to_vec()))),
        Data::Text(some(all.clone().map(|row| kinds[row * row % 7 % 3].as_bytes().to_vec()))),
    ];
    let line = |row: usize| {
        format!(
            "{},{},{},{},{},{},{},{},{},{},{}\n",
            i32::from(row.is_multiple_of(3)),
            row as i32 % 200 - 100,
            u32::MAX - row as u32,
            row as i64 * -1_000_003,
            (1_u64 << 33) + (row as u64) * 4096,
            row as f32 * 0.25,
            (row as f64).sqrt(),
            (row as f64 * 7.0 - 50.0) / 100.0,
            (row as f64 * 11.0 - 999.0) / 1000.0,
            (row as f64 - 5.0) / 10.0,
            kinds[row * row % 7 % 3]
        )
    };
    (group, all.map(line).collect())
}

const HEADER: &str = "flag,small,positive,long,huge,single,double,price,wide,long_decimal,kind\n";

/// How files are written that must all be the same table.
fn ways() -> Vec<WriterPropertiesBuilder> {
    let plain = || properties().set_dictionary_enabled(false);
    let column = |name: &str| parquet::schema::types::ColumnPath::from(name);
    vec![
        properties(),
        plain(),
        properties().set_compression(Compression::SNAPPY).set_data_page_row_count_limit(100),
        plain().set_compression(Compression::GZIP(GzipLevel::default())),
        plain().set_compression(Compression::ZSTD(ZstdLevel::default())).set_data_page_size_limit(1000),
        plain()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_compression(Compression::SNAPPY)
            .set_column_encoding(column("kind"), Encoding::PLAIN)
            .set_column_encoding(column("long_decimal"), Encoding::PLAIN)
            .set_column_encoding(column("wide"), Encoding::PLAIN),
        plain()
            .set_column_encoding(column("single"), Encoding::BYTE_STREAM_SPLIT)
            .set_column_encoding(column("double"), Encoding::BYTE_STREAM_SPLIT)
            .set_column_encoding(column("long"), Encoding::BYTE_STREAM_SPLIT)
            .set_column_encoding(column("wide"), Encoding::BYTE_STREAM_SPLIT)
            .set_column_encoding(column("flag"), Encoding::RLE),
    ]
}

#[test]
fn every_type_and_way_of_writing_is_the_table_that_csv_has() {
    let dir = tempfile::tempdir().unwrap();
    let (parquet, csv) = (dir.path().join("a.parquet"), dir.path().join("a.csv"));
    // The second row group has more rows than a chunk.
    let sizes = [1, 30_000, 777];
    let (mut groups, mut text, mut from) = (vec![], HEADER.to_owned(), 0);
    for rows in sizes {
        let (group, lines) = every_type(from, rows);
        groups.push(group);
        text += &lines;
        from += rows;
    }
    fs::write(&csv, text).unwrap();
    let expected = read(&csv, "kind", TargetKind::Classes).unwrap();
    let options = |path: &Path| PrepareOptions {
        source: Source::Files {
            files: vec![path.to_owned()],
            target: Some("kind".to_owned()),
            kind: Some(TargetKind::Classes),
        },
        test: TestSource::Fraction(0.2),
        known: None,
        columns: ColumnRules::default(),
        scaling: Scaling::Standard,
        target_scaling: TargetScaling::None,
        seed: 5,
        feature_limit: 256.0,
        target_limit: 256.0,
    };
    let surveyed = prepare(&options(&csv)).unwrap();
    for properties in ways() {
        write(&parquet, SCHEMA, properties, &groups);
        let found = read(&parquet, "kind", TargetKind::Classes).unwrap();
        assert_eq!(found.classes, expected.classes);
        assert_eq!(found.features, expected.features);
        assert!(
            found.places[30_000].ends_with("a.parquet, row 30001, column `flag`"),
            "{}",
            found.places[30_000]
        );
        let prepared = prepare(&options(&parquet)).unwrap();
        // Pieces of other lengths are added up in another order.
        let near =
            |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(prepared.train.features.values(), surveyed.train.features.values()));
        assert_eq!(prepared.train.targets.values(), surveyed.train.targets.values());
        assert_eq!(prepared.preprocessing.classes, surveyed.preprocessing.classes);
        let (test, other) = (prepared.test.unwrap(), surveyed.test.as_ref().unwrap());
        assert!(near(test.features.values(), other.features.values()));
    }
}

#[test]
fn targets_are_numbers_or_classes_of_any_column() {
    let (_dir, path) = one(
        "REQUIRED INT64 id; REQUIRED DOUBLE x; REQUIRED BYTE_ARRAY name (STRING)",
        vec![Data::Long(some([3, 1, 3])), Data::Double(some([0.5, -1.0, 2.5])), texts(&[" a ", "b", "a"])],
    );
    let message = |target, kind| message(&path, target, kind);
    assert!(message("id", TargetKind::Number).ends_with(
        "a.parquet, row 1, column `name`: `a` is not a number: features must be numbers, so say that the column \
         holds categories or dates, fill in missing values, or remove it"
    ));
    assert!(
        message("name", TargetKind::Number).contains("row 1, column `name`: the target `a` is not a number")
    );
    assert!(message("nome", TargetKind::Classes).contains("did you mean `name`?"));
    assert_eq!(read(&path, "name", TargetKind::Classes).unwrap().classes, ["a", "b", "a"]);
    let (_dir, path) = one(
        "REQUIRED INT64 id; REQUIRED DOUBLE x",
        vec![Data::Long(some([3, 1, 3])), Data::Double(some([0.5, -1.0, 2.5]))],
    );
    assert_eq!(read(&path, "id", TargetKind::Classes).unwrap().classes, ["3", "1", "3"]);
    let rows = read(&path, "x", TargetKind::Number).unwrap();
    assert_eq!((rows.features, rows.numbers), (vec![3.0, 1.0, 3.0], vec![0.5, -1.0, 2.5]));
}

#[test]
fn cells_that_are_no_numbers_are_named() {
    let numbers = "OPTIONAL DOUBLE x; OPTIONAL INT64 y";
    let check = |schema: &str, group: Vec<Data>, kind: TargetKind, part: &str| {
        let (_dir, path) = one(schema, group);
        let message = message(&path, "y", kind);
        assert!(message.contains(part) && message.contains("a.parquet"), "{message}");
    };
    let x = |values: [Option<f64>; 3]| Data::Double(values.to_vec());
    let y = || Data::Long(some([1, 2, 3]));
    let number = TargetKind::Number;
    check(
        numbers,
        vec![x([Some(1.), None, Some(f64::NAN)]), y()],
        number,
        "row 2, column `x`: the cell is empty",
    );
    check(
        numbers,
        vec![x([Some(f64::NAN), None, None]), y()],
        number,
        "row 1, column `x`: `NaN` is not a finite",
    );
    check(
        numbers,
        vec![x([Some(1.), Some(f64::INFINITY), None]), y()],
        number,
        "row 2, column `x`: `inf` is not",
    );
    check(numbers, vec![x([Some(1.), Some(1e30), None]), y()], number, "row 2, column `x`: `10000000000000");
    check(
        numbers,
        vec![x([Some(1.), Some(2.), None]), Data::Long(vec![Some(1), None, Some(3)])],
        number,
        "row 2, column `y`: the cell is empty",
    );
    let classes = "REQUIRED DOUBLE x; OPTIONAL BYTE_ARRAY y (STRING)";
    let x = || Data::Double(some([1., 2., 3.]));
    check(
        classes,
        vec![x(), texts(&["a", " ", "b"])],
        TargetKind::Classes,
        "row 2, column `y`: the cell is empty",
    );
    let none = Data::Text(vec![Some(b"a".to_vec()), Some(b"b".to_vec()), None]);
    check(classes, vec![x(), none], TargetKind::Classes, "row 3, column `y`: the cell is empty");
    let wrong = Data::Text(some([b"a".to_vec(), b"\xff".to_vec(), b"b".to_vec()]));
    check(classes, vec![x(), wrong], TargetKind::Classes, "row 2: the text is not UTF-8");
    let swapped = "REQUIRED BYTE_ARRAY x (STRING); REQUIRED INT64 y";
    check(
        swapped,
        vec![texts(&["12", "1", "2"]), y()],
        number,
        "row 1, column `x`: `\"12\"` is not a number",
    );
    // Row groups are counted through.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let group = |second| vec![Data::Double(vec![Some(1.), second]), Data::Long(some([1, 2]))];
    write(&path, numbers, properties(), &[group(Some(2.)), group(None)]);
    assert!(message(&path, "y", number).contains("row 4, column `x`: the cell is empty"));
}

/// The same rows as CSV, whose reader is tested on its own.
#[test]
fn categories_dates_and_missing_values_are_those_of_the_same_csv_file() {
    let (_dir, path) = one(
        "OPTIONAL DOUBLE x; OPTIONAL BYTE_ARRAY ward (STRING); OPTIONAL INT32 day (DATE); \
         OPTIONAL INT64 moment (TIMESTAMP(MICROS,true)); OPTIONAL BYTE_ARRAY born (STRING); OPTIONAL INT64 region; \
         REQUIRED INT64 y",
        vec![
            Data::Double(vec![Some(1.5), None, Some(f64::NAN), Some(4.0)]),
            Data::Text(
                [Some("B"), Some(" A"), None, Some("B")].map(|t| t.map(|t| t.as_bytes().to_vec())).to_vec(),
            ),
            Data::Int(vec![Some(-1), None, Some(19_782), Some(0)]),
            Data::Long(vec![Some(-43_200_000_000), Some(86_400_000_000), None, Some(0)]),
            Data::Text(
                [Some("02.01.1970"), Some("NA"), None, Some("01.01.1970")]
                    .map(|t| t.map(|t| t.as_bytes().to_vec()))
                    .to_vec(),
            ),
            Data::Long(vec![Some(10), Some(9), Some(10), None]),
            Data::Long(some([1, 2, 3, 4])),
        ],
    );
    let csv = path.with_file_name("a.csv");
    let text = "x,ward,day,moment,born,region,y\n1.5,B,1969-12-31,1969-12-31T12:00:00,02.01.1970,10,1\n\
                ,A,,1970-01-02,NA,9,2\nnan,,2024-02-29,,,10,3\n4,B,1970-01-01,1970-01-01,01.01.1970,,4\n";
    fs::write(&csv, text).unwrap();
    let rules = |missing| ColumnRules {
        categorical: ["ward", "region"].map(|column| (column.to_owned(), None)).into(),
        dates: [("day", ""), ("moment", ""), ("born", "%d.%m.%Y")]
            .map(|(column, format)| {
                let format =
                    if format.is_empty() { Ok(DateFormat::default()) } else { DateFormat::new(format) };
                (column.to_owned(), format.unwrap())
            })
            .into(),
        missing,
        ..ColumnRules::default()
    };
    let options = |path: &Path, columns| PrepareOptions {
        columns,
        ..PrepareOptions::as_it_is(Source::Files {
            files: vec![path.to_owned()],
            target: Some("y".to_owned()),
            kind: Some(TargetKind::Number),
        })
    };
    for rule in [MissingRule::Mean, MissingRule::Constant(7.0)] {
        let [found, expected] = [&path, &csv].map(|path| prepare(&options(path, rules(Some(rule)))).unwrap());
        assert_eq!(found.preprocessing, expected.preprocessing);
        assert_eq!(found.train.features.values(), expected.train.features.values());
    }
    let message = |columns| prepare(&options(&path, columns)).unwrap_err().to_string();
    assert!(message(rules(None)).contains("a.parquet, row 2, column `x`: the cell is empty"));
    let only_x = ColumnRules { missing_in: [("x".to_owned(), MissingRule::Mean)].into(), ..rules(None) };
    let text = message(only_x);
    assert!(text.contains("a.parquet, row 2, column `day`: the cell is empty"), "{text}");
    let iso = ColumnRules {
        dates: [("born".to_owned(), DateFormat::default())].into(),
        ..ColumnRules { dates: [].into(), ..rules(Some(MissingRule::Mean)) }
    };
    let text = message(iso);
    assert!(text.contains("row 1, column `day`: the column holds dates: say that it does"), "{text}");
}

#[test]
fn columns_that_are_not_read_are_refused() {
    let long = || Data::Long(some([1]));
    let int = || Data::Int(some([1]));
    let fixed = |length| Data::Fixed(some([vec![0; length]]));
    for (column, data, part) in [
        ("REQUIRED INT32 d (DATE)", int(), "row 1, column `d`: the column holds dates: say that it does"),
        ("REQUIRED INT64 d (TIMESTAMP(NANOS,true))", long(), "column `d`: the column holds dates"),
        ("REQUIRED INT64 d (TIMESTAMP_MILLIS)", long(), "column `d`: the column holds dates"),
        ("REQUIRED INT32 d (TIME_MILLIS)", int(), "its column `d` holds times of day"),
        (
            "REQUIRED FIXED_LEN_BYTE_ARRAY(16) d (UUID)",
            fixed(16),
            "its column `d` holds neither numbers nor text",
        ),
        ("REQUIRED FIXED_LEN_BYTE_ARRAY(20) d (DECIMAL(40,0))", fixed(20), "more than 38 digits"),
        ("REQUIRED BYTE_ARRAY d (BSON)", texts(&["a"]), "its column `d` holds neither numbers nor text"),
        ("REQUIRED group d { REQUIRED INT64 e; }", long(), "its column `d` has several values in a row"),
        ("REQUIRED INT64 __index_level_0__", long(), "is the index of a table of pandas"),
        ("REQUIRED INT64 y", long(), "the column name `y` occurs twice"),
    ] {
        let (_dir, path) = one(&format!("REQUIRED INT64 y; {column}"), vec![long(), data]);
        let message = message(&path, "y", TargetKind::Number);
        assert!(message.contains(part) && message.contains("a.parquet"), "{message}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write(&path, "REQUIRED INT64 x; REQUIRED INT64 y", properties(), &[]);
    assert!(message(&path, "y", TargetKind::Number).contains("no data"));
    write(&path, "", properties(), &[]);
    assert!(message(&path, "y", TargetKind::Number).contains("it has no columns"));
    let encoding = properties().set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BYTE_ARRAY);
    write(&path, "REQUIRED BYTE_ARRAY y (STRING)", encoding, &[vec![texts(&["a"])]]);
    let tables = source::open(&path).unwrap();
    let error = tables.chunks().unwrap().find_map(std::result::Result::err).unwrap().to_string();
    assert!(error.contains("have the encoding 7 of the format"), "{error}");
}

#[test]
fn what_is_no_parquet_file_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    fs::create_dir(&path).unwrap();
    assert!(message(&path, "y", TargetKind::Number).contains("it is a directory: name the files in it"));
    fs::remove_dir(&path).unwrap();
    assert!(message(&path, "y", TargetKind::Number).contains("does not exist"));
    for (bytes, part) in [
        (&b""[..], "does not begin as a Parquet file"),
        (b"x,y\n1,2\n", "does not begin as a Parquet file"),
        (b"PAR1", "its end is missing"),
        (b"PAR1\x15\x04\x00\x00\x00\x00\x00\x00\x00", "its end is missing"),
        (b"PAR1\xff\xff\xff\xffPAR1", "its footer is longer than the file"),
        (b"PAR1\x01\x00\x00\x00PARE", "it is encrypted"),
        (b"PAR1\x00\x00\x00\x00PAR1", "its footer makes no sense"),
        (b"PAR1\x00\x01\x00\x00\x00PAR1", "is damaged"),
    ] {
        fs::write(&path, bytes).unwrap();
        let message = message(&path, "y", TargetKind::Number);
        assert!(message.contains(part) && message.contains("a.parquet"), "{message}");
    }
}

/// A small file for each way of writing.
fn small(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = ways().into_iter().enumerate().map(|(way, properties)| {
        let path = dir.join(format!("{way}.parquet"));
        let groups = [every_type(0, 60).0, every_type(60, 40).0];
        write(&path, SCHEMA, properties, &groups);
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    });
    files.collect()
}

/// Reads a file that may be damaged: rows come, or a sentence that names the file, and never a panic.
fn survive(path: &Path) {
    if let Err(error) = read(path, "kind", TargetKind::Classes) {
        let (message, name) = (error.to_string(), path.file_name().unwrap().to_str().unwrap());
        assert!(message.contains(name) && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in small(dir.path()) {
        for length in (0..bytes.len()).step_by(61).chain([bytes.len() - 1, bytes.len() - 8]) {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(read(&path, "kind", TargetKind::Classes).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_files_are_read_or_refused(damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4), end in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in small(dir.path()) {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            for &(at, byte) in &damage {
                let at = usize::from(at) % bytes.len();
                // Footers are longer than pages.
                let at = if end { at } else { at % 2000 };
                file.write_all_at(&[byte], at as u64).unwrap();
            }
            survive(&path);
        }
    }
}

/// A table of 150 rows, written by pandas in two row groups, packed with snappy, and with checksums of its pages.
const PANDAS: &[u8] = include_bytes!("pandas.parquet");

#[test]
fn a_checksum_tells_that_a_page_of_pandas_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    fs::write(&path, PANDAS).unwrap();
    let good = read(&path, "kind", TargetKind::Classes).unwrap();
    assert_eq!((good.classes.len(), good.features.len()), (150, 600));
    let footer = u32::from_le_bytes(*PANDAS[..PANDAS.len() - 4].last_chunk().unwrap()) as usize;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut refused = 0;
    let pages = 4..PANDAS.len() - 8 - footer;
    for at in pages.clone().step_by(7) {
        file.write_all_at(&[PANDAS[at] ^ 0x10], at as u64).unwrap();
        match read(&path, "kind", TargetKind::Classes) {
            // Such as the least value of a page, which its header has and nobody reads.
            Ok(rows) => assert_eq!(rows, good),
            Err(error) => refused += usize::from(error.to_string().contains("a.parquet")),
        }
        file.write_all_at(&PANDAS[at..=at], at as u64).unwrap();
    }
    assert!(refused > pages.len() / 7 / 2, "{refused} of {}", pages.len() / 7);
}
