//! Tables from archives of arrays of NumPy (`.npz`), as `numpy.savez` and `numpy.savez_compressed` write them.
//!
//! One array has the features, in its second dimension or in all but the first one, and another one the labels of the same
//! rows: `d.npz:x_train,y_train` names both, and `d.npz:x_test` the features alone. Without names an archive has one array, or one of
//! features and one of labels. Features are the columns `column0`, `column1`, ..., and labels the column `label`.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{DataError, Result, quoted};
use crate::npy::{Header, MAX_COLUMNS, column_name};
use crate::numbers::{self, Format};
use crate::source::{Block, CHUNK, Chunk, Selection, TableFile};

/// The column of the labels.
const LABEL: &str = "label";

const ENDING: &str = ".npz";

/// Whether a file is an archive of arrays of NumPy by its name, behind which arrays may be named.
pub fn is_npz(path: &Path) -> bool {
    parts(path).is_some()
}

/// The file that a path names, without the arrays in it.
pub fn file_of(path: &Path) -> PathBuf {
    parts(path).map_or_else(|| path.to_owned(), |(file, _)| file)
}

/// The file and the names of arrays of a path.
fn parts(path: &Path) -> Option<(PathBuf, Vec<String>)> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(&ENDING[1..])) {
        return Some((path.to_owned(), vec![]));
    }
    let text = path.to_str()?;
    let (file, names) = text.rsplit_once(':')?;
    let ends = file.len() > ENDING.len() && file.to_ascii_lowercase().ends_with(ENDING);
    ends.then(|| (file.into(), names.split(',').map(|name| name.trim().to_owned()).collect()))
}

/// An archive whose arrays were chosen.
#[derive(Debug)]
pub(crate) struct NpzFile {
    path: PathBuf,
    columns: Vec<String>,
    rows: u64,
    /// Those of the features, and those of the labels.
    arrays: Vec<Array>,
}

/// An array in an archive.
#[derive(Clone, Debug)]
struct Array {
    name: String,
    entry: Entry,
    /// Bytes of its header.
    start: u64,
    header: Header,
}

/// A file in an archive.
#[derive(Clone, Debug)]
struct Entry {
    /// Where it begins.
    offset: u64,
    /// Bytes in the archive.
    packed: u64,
    /// Its bytes.
    length: u64,
    is_packed: bool,
    crc: u32,
}

impl NpzFile {
    /// Opens an archive, and reads the headers of its arrays.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, chosen) = parts(path).unwrap_or_else(|| (path.to_owned(), vec![]));
        let arrays = choose(&file, arrays(&file)?, &chosen)?;
        let wrong = |problem: String| DataError::Npz { path: file.clone(), problem };
        let first = &arrays[0];
        let (rows, width) = (first.rows(), first.width());
        if first.header.shape.len() < 2 {
            return Err(wrong(format!(
                "its array {} has one dimension: features need one row for each example and one column for each of them",
                quoted(&first.name)
            )));
        }
        let Some(width) = width.filter(|&width| width <= MAX_COLUMNS) else {
            return Err(wrong(format!(
                "the rows of its array {} have more than a million values: check its shape",
                quoted(&first.name)
            )));
        };
        let mut columns: Vec<String> = (0..width as usize).map(column_name).collect();
        if let Some(labels) = arrays.get(1) {
            if labels.rows() != rows || labels.width() != Some(1) {
                return Err(wrong(format!(
                    "its array {} has the shape {}, but {} has {rows} rows: give each row one label",
                    quoted(&labels.name),
                    labels.shape(),
                    quoted(&first.name)
                )));
            }
            columns.push(LABEL.to_owned());
        }
        for array in &arrays {
            let bytes = array.row_bytes().and_then(|bytes| bytes.checked_mul(rows)?.checked_add(array.start));
            if bytes != Some(array.entry.length) {
                return Err(DataError::damaged(
                    &file,
                    format_args!("its array {} has not the length that it promises", quoted(&array.name)),
                ));
            }
        }
        Ok(Self { path: file, columns, rows, arrays })
    }
}

impl Array {
    fn rows(&self) -> u64 {
        self.header.shape.first().copied().unwrap_or(1)
    }

    /// Values of a row; `None` if they cannot be counted.
    fn width(&self) -> Option<u64> {
        self.header.shape.iter().skip(1).try_fold(1_u64, |product, &size| product.checked_mul(size))
    }

    fn row_bytes(&self) -> Option<u64> {
        self.width()?.checked_mul(self.header.format.size as u64)
    }

    /// Its shape as Python writes it.
    fn shape(&self) -> String {
        let sizes: Vec<String> = self.header.shape.iter().map(u64::to_string).collect();
        if sizes.len() == 1 { format!("({},)", sizes[0]) } else { format!("({})", sizes.join(", ")) }
    }
}

impl TableFile for NpzFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn count(&self) -> Result<u64> {
        Ok(self.rows)
    }

    fn chunks(&self) -> Result<Box<dyn Iterator<Item = Result<Chunk>> + Send + '_>> {
        let mut readers = self.arrays.iter().map(|array| self.reader(array)).collect::<Result<Vec<_>>>()?;
        let step = (CHUNK / (self.columns.len() * size_of::<f64>())).max(1);
        Ok(Box::new((0..self.rows).step_by(step).map(move |row| {
            let rows = (self.rows - row).min(step as u64) as usize;
            Ok(Chunk::of_rows(rows, row + 1, self.rows(&mut readers, rows)?))
        })))
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        numbers::parse(&self.path, &self.columns, Format::DOUBLE, chunk, selection)
    }
}

impl NpzFile {
    /// A reader of the numbers of an array.
    fn reader(&self, array: &Array) -> Result<EntryReader> {
        let mut reader = EntryReader::open(&self.path, &array.entry)?;
        let skipped = std::io::copy(&mut reader.by_ref().take(array.start), &mut std::io::sink());
        skipped.map_err(|e| unpacking(&self.path, &array.name, e))?;
        Ok(reader)
    }

    /// The next rows of all arrays side by side, as floats of 8 bytes.
    fn rows(&self, readers: &mut [EntryReader], rows: usize) -> Result<Vec<u8>> {
        let mut columns = Vec::with_capacity(readers.len());
        for (array, reader) in self.arrays.iter().zip(readers) {
            let width = self.columns.len() - (self.arrays.len() - 1);
            let width = if columns.is_empty() { width } else { 1 };
            let mut bytes = vec![0; rows * width * array.header.format.size];
            reader.read_exact(&mut bytes).map_err(|e| unpacking(&self.path, &array.name, e))?;
            let mut numbers = Vec::with_capacity(rows * width);
            array.header.format.decode(&bytes, &mut numbers);
            columns.push((width, numbers));
        }
        let mut out = Vec::with_capacity(rows * self.columns.len() * size_of::<f64>());
        for row in 0..rows {
            for (width, numbers) in &columns {
                out.extend(numbers[row * width..][..*width].iter().flat_map(|number| number.to_le_bytes()));
            }
        }
        Ok(out)
    }
}

/// What went wrong when an array was unpacked.
fn unpacking(path: &Path, name: &str, error: std::io::Error) -> DataError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => {
            DataError::damaged(path, format_args!("its array {} cannot be unpacked", quoted(name)))
        }
        _ => DataError::io("read", path, error),
    }
}

/// The arrays of an archive.
fn arrays(path: &Path) -> Result<Vec<Array>> {
    let wrong = |problem: String| DataError::Npz { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|e| DataError::io("read", path, e))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
        wrong(format!("{}: check that the file is what its name says", error.to_string().to_lowercase()))
    })?;
    let mut arrays = Vec::with_capacity(archive.len().min(1000));
    for at in 0..archive.len() {
        let file = archive.by_index_raw(at).map_err(|error| DataError::damaged(path, error))?;
        let name = file.name().map_err(|error| DataError::damaged(path, error))?;
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let is_packed = match file.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => {
                return Err(wrong(format!(
                    "its array {} is packed as {other}: write it with numpy.savez_compressed",
                    quoted(&name)
                )));
            }
        };
        if file.encrypted() {
            return Err(wrong("it is encrypted: write it without a password".to_owned()));
        }
        let offset =
            file.data_start().ok_or_else(|| DataError::damaged(path, "an array in it has no beginning"))?;
        let (packed, length, crc) = (file.compressed_size(), file.size(), file.crc32());
        let entry = Entry { offset, packed, length, is_packed, crc };
        let shown = PathBuf::from(format!("{}:{name}", path.display()));
        let (header, start) = Header::read(&mut EntryReader::open(path, &entry)?, &shown)?;
        arrays.push(Array { name, entry, start, header });
    }
    if arrays.is_empty() {
        return Err(wrong("it has no arrays: write it with numpy.savez".to_owned()));
    }
    Ok(arrays)
}

/// The array of the features, and that of the labels if there is one.
fn choose(path: &Path, arrays: Vec<Array>, chosen: &[String]) -> Result<Vec<Array>> {
    let listed = || arrays.iter().map(|array| quoted(&array.name)).collect::<Vec<_>>().join(", ");
    let wrong = |problem: String| {
        let path = path.to_owned();
        let problem = format!("{problem}: name them as {}:FEATURES,LABELS", path.display());
        DataError::Npz { path, problem }
    };
    match chosen {
        [] => {
            let mut arrays = arrays;
            let is_of_labels = |array: &Array| array.header.shape.len() < 2;
            match arrays.iter().map(is_of_labels).collect::<Vec<_>>().as_slice() {
                [false] | [false, true] => Ok(arrays),
                [true, false] => {
                    arrays.reverse();
                    Ok(arrays)
                }
                _ => {
                    let listed =
                        arrays.iter().map(|array| format!("{} {}", quoted(&array.name), array.shape()));
                    let listed = listed.collect::<Vec<_>>().join(", ");
                    Err(wrong(format!("which of its arrays are features and labels is not clear ({listed})")))
                }
            }
        }
        [_] | [_, _] => {
            let array = |name: &String| {
                let found = arrays.iter().find(|array| array.name == *name);
                found
                    .cloned()
                    .ok_or_else(|| wrong(format!("it has no array {}, but {}", quoted(name), listed())))
            };
            chosen.iter().map(array).collect()
        }
        _ => Err(wrong("more than two of its arrays are named".to_owned())),
    }
}

/// Reads a file in an archive, and compares it with its checksum at the end.
struct EntryReader {
    reader: Box<dyn Read + Send>,
    crc: Crc,
    expected: u32,
    /// Bytes that have not come yet.
    left: u64,
}

impl EntryReader {
    fn open(path: &Path, entry: &Entry) -> Result<Self> {
        let io = |e| DataError::io("read", path, e);
        let mut file = File::open(path).map_err(io)?;
        file.seek(SeekFrom::Start(entry.offset)).map_err(io)?;
        let packed = BufReader::new(file.take(entry.packed));
        let reader: Box<dyn Read + Send> =
            if entry.is_packed { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
        Ok(Self { reader, crc: Crc::new(), expected: entry.crc, left: entry.length })
    }
}

impl Read for EntryReader {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        use std::io::{Error, ErrorKind};
        let most = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.reader.read(&mut bytes[..most])?;
        self.crc.update(&bytes[..read]);
        self.left -= read as u64;
        if self.left == 0 && most > 0 && self.crc.sum() != self.expected {
            return Err(Error::new(ErrorKind::InvalidData, "the checksum is another one"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::prepare::{PrepareOptions, Source, TestSource, prepare};
    use crate::table::TargetKind;

    fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    fn archive(path: &Path, method: CompressionMethod, arrays: &[(&str, Vec<u8>)]) {
        let mut zip = ZipWriter::new(File::create(path).unwrap());
        for (name, bytes) in arrays {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn options(path: PathBuf, kind: TargetKind) -> PrepareOptions {
        PrepareOptions::as_it_is(Source::Files { files: vec![path], target: None, kind: Some(kind) })
    }

    fn message(path: &Path) -> String {
        prepare(&options(path.to_owned(), TargetKind::Number)).unwrap_err().to_string()
    }

    #[test]
    fn features_and_labels_come_from_two_arrays_in_any_number_of_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.npz");
        // 300,000 rows of 2 x 1 values and a label are several chunks.
        let rows = 300_000_u32;
        let x = array("<f4", "(300000, 2, 1)", &floats((0..2 * rows).map(|at| (at % 1000) as f32)));
        let y: Vec<u8> = (0..rows).flat_map(|row| (i64::from(row % 3) - 1).to_le_bytes()).collect();
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            archive(&path, method, &[("y.npy", array("<i8", "(300000,)", &y)), ("x.npy", x.clone())]);
            let prepared = prepare(&options(path.clone(), TargetKind::Classes)).unwrap();
            let expected: Vec<f64> = (0..2 * rows).map(|at| f64::from(at % 1000)).collect();
            assert_eq!(prepared.train.features.values(), expected);
            assert_eq!(prepared.preprocessing.classes, ["-1", "0", "1"]);
            let targets = prepared.train.targets;
            assert!((0..rows as usize).all(|row| targets.row(row)[row % 3] > 0.5));
            assert_eq!(prepared.preprocessing.feature_names, ["column0", "column1"]);
            assert_eq!(prepared.preprocessing.target_name, "label");
        }
    }

    #[test]
    fn arrays_are_chosen_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.npz");
        let x = |values: [f32; 4]| array("<f4", "(2, 2)", &floats(values));
        let y = |values: [f32; 2]| array("<f4", "(2, 1)", &floats(values));
        let all = [
            ("x_train.npy", x([1., 2., 3., 4.])),
            ("y_train.npy", y([5., 6.])),
            ("x_test.npy", x([7., 8., 9., 10.])),
            ("y_test.npy", y([11., 12.])),
            ("readme.txt", b"no array".to_vec()),
        ];
        archive(&path, CompressionMethod::Deflated, &all);
        let named = |names: &str| PathBuf::from(format!("{}:{names}", path.display()));
        let mut options = options(named("x_train,y_train"), TargetKind::Number);
        options.test = TestSource::Files(vec![named("x_test, y_test")]);
        let prepared = prepare(&options).unwrap();
        let test = prepared.test.unwrap();
        assert_eq!(
            (prepared.train.features.values(), test.features.values()),
            (&[1., 2., 3., 4.][..], &[7., 8., 9., 10.][..])
        );
        assert_eq!(
            (prepared.train.targets.values(), test.targets.values()),
            (&[5., 6.][..], &[11., 12.][..])
        );
        let features = prepared.preprocessing.read_features(&named("x_test"), 1e9).unwrap();
        assert_eq!(features.values(), [7., 8., 9., 10.]);
        assert_eq!(file_of(&named("x_test")), path);
        for (names, part) in [
            (
                "x_train,labels",
                "it has no array `labels`, but `x_train`, `y_train`, `x_test`, `y_test`: name them as",
            ),
            ("y_train,x_train", "its array `x_train` has the shape (2, 2), but `y_train` has 2 rows"),
            ("x_train,y_train,x_test", "more than two"),
        ] {
            let message = message(&named(names));
            assert!(message.contains("d.npz") && message.contains(part), "{message}");
        }
        let message = message(&path);
        assert!(message.contains("not clear (`x_train` (2, 2), `y_train` (2, 1), "), "{message}");
    }

    #[test]
    fn one_array_is_a_table() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.npz");
        archive(&path, CompressionMethod::Stored, &[("a.npy", array("|b1", "(2, 2)", &[0, 1, 1, 0]))]);
        let prepared = prepare(&options(path, TargetKind::Number)).unwrap();
        assert_eq!(
            (prepared.train.features.values(), prepared.train.targets.values()),
            (&[0., 1.][..], &[1., 0.][..])
        );
        assert_eq!(prepared.preprocessing.target_name, "column1");
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.npz");
        assert!(message(&path).contains("d.npz does not exist"));
        fs::write(&path, "x,y\n1,2\n").unwrap();
        assert!(
            message(&path).contains("cannot be read as an archive of arrays of NumPy"),
            "{}",
            message(&path)
        );
        let x = || array("<f4", "(2, 2)", &floats([1., 2., 3., 4.]));
        for (arrays, part) in [
            (vec![], "it has no arrays"),
            (
                vec![("x.npy", b"nothing".to_vec())],
                "d.npz:x cannot be read as an array of NumPy: it does not begin",
            ),
            (
                vec![("x.npy", array("<U3", "(2, 2)", &[]))],
                "d.npz:x cannot be read as an array of NumPy: its elements",
            ),
            (
                vec![("x.npy", array("<f4", "(3, 2)", &floats([1.])))],
                "is damaged (its array `x` has not the length",
            ),
            (
                vec![("x.npy", array("<f4", "(4294967296, 4294967296, 4294967296)", &[]))],
                "more than a million values",
            ),
            (
                vec![("x.npy", x()), ("y.npy", array("<f4", "(3,)", &floats([1., 2., 3.])))],
                "`y` has the shape (3,)",
            ),
            (vec![("y.npy", array("<f4", "(2,)", &floats([1., 2.])))], "is not clear (`y` (2,))"),
            (
                vec![("x.npy", array("<f4", "(2, 2)", &floats([1., 2., f32::NAN, 4.])))],
                "row 2, column `column0`: `NaN`",
            ),
        ] {
            archive(&path, CompressionMethod::Deflated, &arrays);
            let message = message(&path);
            assert!(message.contains("d.npz") && message.contains(part), "{message}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.npz");
        let values: Vec<f32> = (0..2000).map(|at| (at as f32 * 0.37).sin()).collect();
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            archive(&path, method, &[("x.npy", array("<f4", "(1000, 2)", &floats(values.clone())))]);
            let whole = fs::read(&path).unwrap();
            for at in (0..whole.len()).step_by(97) {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x10;
                fs::write(&path, &bytes).unwrap();
                // What is not noticed is nothing that is read, such as a time.
                if let Ok(prepared) = prepare(&options(path.clone(), TargetKind::Number)) {
                    assert!(
                        prepared
                            .train
                            .features
                            .values()
                            .iter()
                            .zip(values.iter().step_by(2))
                            .all(|(a, b)| a.to_bits() == f64::from(*b).to_bits()),
                        "{at}"
                    );
                }
            }
            for length in (0..whole.len()).step_by(331) {
                fs::write(&path, &whole[..length]).unwrap();
                assert!(message(&path).contains("d.npz"));
            }
        }
    }
}
