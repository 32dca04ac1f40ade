use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::columns::ColumnRules;
use crate::prepare::{PrepareOptions, Prepared, Source, TestSource, prepare};
use crate::source::{RAW_LIMIT, Tables, Values};
use crate::table::{Matrix, TargetKind};

/// Images and labels of a part.
#[derive(Debug)]
struct Images {
    names: Vec<String>,
    pixels: Matrix,
    labels: Vec<u32>,
    places: Vec<String>,
}

/// Reads both parts.
fn read_mnist(dir: &Path) -> Result<(Images, Images)> {
    let [train, test] = open_mnist(dir)?.map(|part| {
        let file: Box<dyn TableFile> = Box::new(part);
        let tables = Tables::with_target(
            vec![file],
            Some("label"),
            Some(TargetKind::Classes),
            &ColumnRules::default(),
            RAW_LIMIT,
        )?;
        let (mut values, mut labels, mut places) = (vec![], vec![], vec![]);
        tables.blocks(
            |_, block| Ok(block),
            |Block { features, target, .. }| {
                values.extend_from_slice(features.values());
                places.extend((0..features.rows()).map(|row| features.place(row, 1).to_string()));
                let Values::Classes(found) = target else { panic!("classes") };
                labels.extend(
                    found.labels.iter().map(|&label| found.names[label as usize].parse::<u32>().unwrap()),
                );
                Ok::<_, DataError>(())
            },
        )?;
        let names = tables.feature_names().to_vec();
        let pixels = Matrix::new(labels.len(), names.len(), values).unwrap();
        Ok::<_, DataError>(Images { names, pixels, labels, places })
    });
    Ok((train?, test?))
}

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

fn images(count: u32, height: u32, width: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [IMAGES_MAGIC, count, height, width].iter().flat_map(|w| w.to_be_bytes()).collect();
    bytes.extend((0..count * height * width).map(|i| i as u8));
    bytes
}

fn labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        [LABELS_MAGIC, labels.len() as u32].iter().flat_map(|w| w.to_be_bytes()).collect();
    bytes.extend(labels);
    bytes
}

fn tiny() -> [Vec<u8>; 4] {
    [images(3, 2, 2), labels(&[7, 0, 9]), images(2, 2, 2), labels(&[0, 7])]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write(dir: &Path, files: &[Vec<u8>; 4], rename: impl Fn(&str) -> String, compressed: bool) {
    for (name, bytes) in NAMES.iter().zip(files) {
        fs::write(dir.join(rename(name)), if compressed { gzip(bytes) } else { bytes.clone() }).unwrap();
    }
}

/// The error for files one of which was changed, plain and compressed.
fn errors(change: impl Fn(&mut [Vec<u8>; 4])) -> [String; 2] {
    [false, true].map(|compressed| {
        let dir = tempfile::tempdir().unwrap();
        let mut files = tiny();
        change(&mut files);
        let suffix = if compressed { ".gz" } else { "" };
        write(dir.path(), &files, |name| format!("{name}{suffix}"), compressed);
        read_mnist(dir.path()).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR")
    })
}

#[test]
fn all_names_of_the_files_are_understood() {
    for (dotted, compressed) in [(false, false), (true, false), (false, true), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let rename = |name: &str| {
            let name = if dotted { name.replace("-idx", ".idx") } else { name.to_owned() };
            if compressed { format!("{name}.gz") } else { name }
        };
        write(dir.path(), &tiny(), rename, compressed);
        let (train, test) = read_mnist(dir.path()).unwrap();
        assert_eq!(train.names, ["pixel0", "pixel1", "pixel2", "pixel3"]);
        assert_eq!((train.pixels.rows(), train.pixels.row(1)), (3, &[4., 5., 6., 7.][..]));
        assert_eq!((test.pixels.rows(), test.pixels.cols()), (2, 4));
        assert_eq!((train.labels, test.labels), (vec![7, 0, 9], vec![0, 7]));
        assert!(train.places[2].ends_with("row 3, column `pixel1`"));
    }
}

/// What is made of both parts in a directory.
fn prepared(dir: &Path) -> Result<Prepared> {
    let source = Source::Mnist { dir: dir.to_owned() };
    prepare(&PrepareOptions { test: TestSource::Included, ..PrepareOptions::as_it_is(source) })
}

#[test]
fn classes_are_the_labels_that_there_are() {
    // Letters from 1 to 26, and the classes of the 47 balanced ones.
    for all in [1..=26, 0..=46] {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<u8> = all.collect();
        let count = all.len() as u32;
        let files = [images(count, 2, 2), labels(&all), images(2, 2, 2), labels(&[all[9], all[0]])];
        write(dir.path(), &files, |name| format!("{name}.gz"), true);
        let Prepared { preprocessing, train, test, .. } = prepared(dir.path()).unwrap();
        let names: Vec<String> = all.iter().map(u8::to_string).collect();
        assert_eq!(preprocessing.classes, names);
        let test = test.unwrap().targets;
        for (row, class) in [(train.targets.row(25), 25), (test.row(0), 9), (test.row(1), 0)] {
            assert!(row.iter().enumerate().all(|(at, mark)| (*mark > 0.5) == (at == class)));
        }
    }
}

#[test]
fn a_label_of_the_test_part_alone_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let files = [images(2, 2, 2), labels(&[3, 5]), images(2, 2, 2), labels(&[5, 4])];
    write(dir.path(), &files, str::to_owned, false);
    let message = prepared(dir.path()).unwrap_err().to_string();
    assert!(message.contains("t10k-images-idx3-ubyte, row 2, column `label`"), "{message}");
    assert!(message.contains('4') && message.contains("`3`, `5`"), "{message}");
}

#[test]
fn names_may_begin_with_that_of_the_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let letters = |name: &str| format!("emnist-letters-{}.gz", name.replace("t10k", "test"));
    write(dir.path(), &tiny(), letters, true);
    assert_eq!(read_mnist(dir.path()).unwrap().1.labels, [0, 7]);
    // Another one beside it has to be told apart, unless its names are the usual ones.
    write(dir.path(), &tiny(), |name| format!("emnist-digits-{name}"), false);
    let message = read_mnist(dir.path()).unwrap_err().to_string();
    assert!(message.contains("has several data sets, emnist-digits and emnist-letters: put"), "{message}");
    write(
        dir.path(),
        &[images(2, 1, 1), labels(&[1, 2]), images(1, 1, 1), labels(&[1])],
        str::to_owned,
        false,
    );
    assert_eq!(read_mnist(dir.path()).unwrap().0.labels, [1, 2]);
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for missing in NAMES {
        write(dir.path(), &tiny(), str::to_owned, false);
        fs::remove_file(dir.path().join(missing)).unwrap();
        let message = read_mnist(dir.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("has no file {missing} (or {missing}.gz)")), "{message}");
    }
    let absent = dir.path().join("absent");
    let message = read_mnist(&absent).unwrap_err().to_string();
    assert_eq!(message, format!("{} does not exist: check the path", absent.display()));
}

#[test]
fn a_truncated_or_longer_file_is_an_error() {
    for message in errors(|files| files[0].truncate(27)) {
        assert!(message.contains("train-images-idx3-ubyte"), "{message}");
        assert!(message.contains("has 27 bytes, but its header promises 28"), "{message}");
    }
    for message in errors(|files| files[2].push(0)) {
        assert!(message.contains("has 25 bytes, but its header promises 24"), "{message}");
    }
    for message in errors(|files| files[1].truncate(5)) {
        assert!(message.contains("has 5 bytes, but its header promises 8"), "{message}");
    }
    for message in errors(|files| files[3].clear()) {
        assert!(message.contains("has 0 bytes"), "{message}");
    }
}

#[test]
fn a_wrong_magic_number_is_an_error() {
    for message in errors(|files| files.swap(0, 1)) {
        assert!(message.contains("begins with 0x00000803"), "{message}");
        assert!(message.contains("of labels begins with 0x00000801"), "{message}");
    }
}

#[test]
fn counts_and_sizes_must_fit() {
    for message in errors(|files| files[1] = labels(&[1, 2])) {
        assert!(message.contains("holds 3 images") && message.contains("holds 2 labels"), "{message}");
    }
    for message in errors(|files| files[2] = images(2, 2, 3)) {
        assert!(message.contains("have 4 pixels") && message.contains("have 6: fetch"), "{message}");
    }
    for message in errors(|files| files[0] = images(0, 2, 2)) {
        assert!(message.contains("promises 0 images"), "{message}");
    }
}

#[test]
fn an_enormous_promise_takes_no_memory() {
    for message in errors(|files| {
        files[0][4..16].fill(0xff);
    }) {
        assert!(message.contains("not plausible"), "{message}");
    }
    for message in errors(|files| {
        files[0][4..16].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0, 1, 0]);
        files[1][4..8].copy_from_slice(&[0, 0, 0xff, 0xff]);
    }) {
        assert!(message.contains("its header promises"), "{message}");
    }
}

#[test]
fn a_damaged_compressed_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &tiny(), |name| format!("{name}.gz"), true);
    let path = dir.path().join("t10k-images-idx3-ubyte.gz");
    let bytes = fs::read(&path).unwrap();
    for position in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[position] ^= 0x55;
        fs::write(&path, &bytes).unwrap();
        // Some bytes of the gzip header carry no meaning: no panic is what counts.
        drop(read_mnist(dir.path()));
    }
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    read_mnist(dir.path()).unwrap_err();
}
