//! The memory that a large row group takes: alone in its process, so that it can be measured.

use std::fs::{self, File};
use std::sync::Arc;

use parquet::data_type::DoubleType;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use shamisen_data::DataError;
use shamisen_data::columns::ColumnRules;
use shamisen_data::prepare::{PrepareOptions, Source, TestSource};
use shamisen_data::scaling::{Scaling, TargetScaling};
use shamisen_data::survey::Survey;
use shamisen_data::table::TargetKind;

const ROWS: usize = 1_000_000;
const COLUMNS: usize = 8;

/// The largest resident memory of this process so far, in kB, where the system tells.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn a_large_row_group_of_parquet_takes_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.parquet");
    let columns: Vec<String> = (0..COLUMNS).map(|column| format!("REQUIRED DOUBLE x{column};")).collect();
    let schema = format!("message table {{ {} }}", columns.join(" "));
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in 0..COLUMNS {
        let mut out = group.next_column().unwrap().unwrap();
        for start in (0..ROWS).step_by(10_000) {
            let values = (start..start + 10_000).map(|row| ((row * (column + 1)) as f64).sin());
            let values: Vec<f64> = values.collect();
            out.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
        }
        out.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();

    let before = peak();
    let options = PrepareOptions {
        source: Source::Files { files: vec![path.clone()], target: None, kind: Some(TargetKind::Number) },
        test: TestSource::Fraction(0.2),
        known: None,
        columns: ColumnRules::default(),
        scaling: Scaling::Standard,
        target_scaling: TargetScaling::None,
        seed: 1,
        feature_limit: 256.0,
        target_limit: 256.0,
    };
    let survey = Survey::new(&options).unwrap();
    let mut rows = 0;
    survey
        .each(|_, examples| {
            rows += examples.features.rows();
            Ok::<_, DataError>(())
        })
        .unwrap();
    assert_eq!(rows, ROWS);
    let (Some(before), Some(after)) = (before, peak()) else { return };
    let (grown, size) = (after - before, fs::metadata(&path).unwrap().len() / 1024);
    assert!(grown < size / 2, "{grown} kB more for a file of {size} kB");
}
