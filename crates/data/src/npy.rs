//! Tables from arrays of NumPy (`.npy`), and the header of such files.
//!
//! An array has two dimensions, rows and columns, row after row (C order), of floats of 4 or 8 bytes, of integers or of booleans. Its
//! columns are named `column0`, `column1`, ... by their position. The format is described at
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Result};
use crate::numbers::{self, Format, Kind};
use crate::source::{Block, CHUNK, Chunk, Selection, TableFile};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header that is read.
const MAX_HEADER: usize = 1 << 16;

/// Most columns.
pub(crate) const MAX_COLUMNS: u64 = 1 << 20;

/// Whether a file is an array of NumPy by its name.
pub fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

/// The name of a column of an array.
pub fn column_name(position: usize) -> String {
    format!("column{position}")
}

/// The beginning of a file of little-endian 4-byte floats, `rows` x `cols`, row after row, which follow.
pub fn header_of_floats(rows: u64, cols: usize) -> Vec<u8> {
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {cols}), }}");
    // Magic, version, length and text together are a multiple of 64 bytes and end with a line feed.
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.push_str(&" ".repeat(length - 1 - text.len()));
    text.push('\n');
    let mut header = MAGIC.to_vec();
    header.extend([1, 0]);
    header.extend((length as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

/// An NPY file whose header was read.
#[derive(Debug)]
pub(crate) struct NpyFile {
    path: PathBuf,
    columns: Vec<String>,
    format: Format,
    rows: u64,
    /// Where the numbers begin.
    start: u64,
}

impl NpyFile {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| DataError::io("read", path, e))?;
        let length = file.metadata().map_err(|e| DataError::io("read", path, e))?.len();
        let (header, start) = Header::read(&mut file, path)?;
        let wrong = |problem: &str| DataError::Npy { path: path.to_owned(), problem: problem.to_owned() };
        let &[rows, cols] = header.shape.as_slice() else {
            return Err(wrong(
                "it has not two dimensions: give it one row for each example and one column for each feature",
            ));
        };
        let format = header.format;
        if cols > MAX_COLUMNS {
            return Err(wrong("it has more than a million columns: check its shape"));
        }
        let expected = rows
            .checked_mul(cols * format.size as u64)
            .and_then(|bytes| bytes.checked_add(start))
            .ok_or_else(|| wrong("its shape is not plausible: write the file again"))?;
        if length != expected {
            return Err(DataError::NpyLength { path: path.to_owned(), expected, found: length });
        }
        let columns = (0..cols as usize).map(column_name).collect();
        Ok(Self { path: path.to_owned(), columns, format, rows, start })
    }
}

impl TableFile for NpyFile {
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
        let file = File::open(&self.path).map_err(|e| DataError::io("read", &self.path, e))?;
        let row_bytes = self.columns.len() * self.format.size;
        let step = (CHUNK / row_bytes).max(1);
        Ok(Box::new((0..self.rows).step_by(step).map(move |row| {
            let rows = (self.rows - row).min(step as u64) as usize;
            let mut bytes = vec![0; rows * row_bytes];
            file.read_exact_at(&mut bytes, self.start + row * row_bytes as u64)
                .map_err(|e| DataError::io("read", &self.path, e))?;
            Ok(Chunk::of_rows(rows, row + 1, bytes))
        })))
    }

    fn parse(&self, chunk: &Chunk, selection: &Selection) -> Result<Block> {
        numbers::parse(&self.path, &self.columns, self.format, chunk, selection)
    }
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// The length of each dimension, none of which is 0.
    pub(crate) shape: Vec<u64>,
}

impl Header {
    /// Reads the header with which `reader` begins; its length in bytes as well. `path` is for messages.
    pub(crate) fn read(reader: &mut impl Read, path: &Path) -> Result<(Self, u64)> {
        let wrong = |problem: &str| DataError::Npy { path: path.to_owned(), problem: problem.to_owned() };
        let mut read = |size: usize| {
            let mut bytes = Vec::new();
            let result = reader.by_ref().take(size as u64).read_to_end(&mut bytes);
            result.map_err(|e| DataError::io("read", path, e))?;
            Ok::<_, DataError>(bytes)
        };
        let begin = read(MAGIC.len() + 2)?;
        if !begin.starts_with(MAGIC) {
            return Err(wrong(
                "it does not begin as an NPY file does: check that the file is what its name says",
            ));
        }
        let size = match begin[MAGIC.len()..] {
            [1, _] => 2,
            [2 | 3, _] => 4,
            [] | [1..=3] => 0,
            _ => return Err(wrong("its version is unknown: save it with numpy.save")),
        };
        let length = match *read(size)?.as_slice() {
            [a, b] => usize::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
            _ => MAX_HEADER,
        };
        let text = read(length.min(MAX_HEADER))?;
        let text = std::str::from_utf8(&text).ok().filter(|_| text.len() == length);
        let text = text.ok_or_else(|| wrong("its header is not complete: write the file again"))?;
        Ok((Self::parse(text).map_err(wrong)?, (begin.len() + size + length) as u64))
    }

    /// Reads a literal such as `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`, or says what is wrong.
    fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        const UNREADABLE: &str = "its header makes no sense: write the file again";
        let value = |key: &str| {
            let key = format!("'{key}':");
            text.split_once(key.as_str()).map(|(_, rest)| rest.trim_start()).ok_or(UNREADABLE)
        };
        let number = "its elements are no plain numbers: save it as float32 or float64";
        let descr =
            value("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).ok_or(number)?.0;
        let format = format(descr).ok_or(number)?;
        let shape =
            value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or(UNREADABLE)?.0;
        let shape: Option<Vec<u64>> = shape
            .split(',')
            .map(str::trim)
            .filter(|size| !size.is_empty())
            .map(|size| size.parse().ok())
            .collect();
        let shape = shape.ok_or(UNREADABLE)?;
        if shape.contains(&0) {
            return Err("it is empty: give it at least one row and two columns");
        }
        if shape.len() > 1 && !value("fortran_order")?.starts_with("False") {
            return Err("it is stored column after column: save numpy.ascontiguousarray(...) of it");
        }
        Ok(Self { format, shape })
    }
}

/// The format of a type such as `<f8`.
fn format(descr: &str) -> Option<Format> {
    // Booleans are bytes 0 and 1.
    if descr == "|b1" {
        return Some(Format::BYTE);
    }
    let mut letters = descr.chars();
    let big_endian = match letters.next()? {
        '<' | '|' => false,
        '>' => true,
        '=' => cfg!(target_endian = "big"),
        _ => return None,
    };
    let kind = match letters.next()? {
        'f' => Kind::Float,
        'i' => Kind::Signed,
        'u' => Kind::Unsigned,
        _ => return None,
    };
    let size: usize = letters.as_str().parse().ok()?;
    let fits = matches!((kind, size), (Kind::Float, 4 | 8) | (Kind::Signed | Kind::Unsigned, 1 | 2 | 4 | 8));
    fits.then_some(Format { kind, size, big_endian })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::columns::ColumnRules;
    use crate::source::{RAW_LIMIT, Tables, Values};
    use crate::table::TargetKind;

    fn array(descr: &str, shape: &str, order: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn open(bytes: &[u8]) -> Result<NpyFile> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        fs::write(&path, bytes).unwrap();
        NpyFile::open(&path)
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// Features and numbers of the target of a file, by column.
    fn read(bytes: &[u8], target: Option<&str>) -> Result<(Vec<f64>, Vec<f64>)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        fs::write(&path, bytes).unwrap();
        let files = vec![crate::source::open(&path)?];
        let tables =
            Tables::with_target(files, target, Some(TargetKind::Number), &ColumnRules::default(), RAW_LIMIT)?;
        let (mut features, mut targets) = (vec![], vec![]);
        tables.blocks(
            |_, block| Ok(block),
            |block| {
                features.extend(block.features.values());
                let Values::Numbers(numbers) = block.target else { panic!("numbers") };
                targets.extend(numbers);
                Ok::<_, DataError>(())
            },
        )?;
        Ok((features, targets))
    }

    #[test]
    fn rows_and_columns_come_as_they_are() {
        let bytes = array("'<f4'", "(2, 3)", "False", &floats(&[1., 2., 3., 4., 5., 6.]));
        assert_eq!(read(&bytes, None).unwrap(), (vec![1., 2., 4., 5.], vec![3., 6.]));
        assert_eq!(read(&bytes, Some("column1")).unwrap(), (vec![1., 3., 4., 6.], vec![2., 5.]));
        let big = array("'>i2'", "(1, 2)", "False", &[0xff, 0xfe, 0, 7]);
        assert_eq!(read(&big, None).unwrap(), (vec![-2.], vec![7.]));
    }

    #[test]
    fn a_header_that_was_written_is_read() {
        let mut bytes = header_of_floats(70_000, 5);
        assert_eq!(bytes.len() % 64, 0);
        bytes.extend(floats(&vec![0.5; 5 * 70_000]));
        let file = open(&bytes).unwrap();
        assert_eq!((file.rows, file.columns.len()), (70_000, 5));
    }

    #[test]
    fn several_chunks_have_all_rows() {
        let values: Vec<f32> = (0..600_000u32).map(|i| (i % 1000) as f32).collect();
        let (features, targets) =
            read(&array("'<f4'", "(200000, 3)", "False", &floats(&values)), None).unwrap();
        assert_eq!((features.len(), targets.len()), (400_000, 200_000));
        let expected = values.chunks(3).flat_map(|row| [f64::from(row[0]), f64::from(row[1])]);
        assert_eq!(features, expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_table_of_numbers_is_explained() {
        let four = [0; 16];
        for (bytes, expected) in [
            (b"nothing".to_vec(), "does not begin as an NPY file"),
            (b"\x93NUMPY\x07\x00\x10\x00\x00\x00".to_vec(), "its version is unknown"),
            (b"\x93NUMPY\x01\x00\xff\x00{".to_vec(), "its header is not complete"),
            (array("'<f4'", "(2, 2)", "True", &four), "column after column"),
            (array("'<f4'", "(4,)", "False", &four), "not two dimensions"),
            (array("'<f4'", "(0, 2)", "False", &[]), "it is empty"),
            (array("'<c8'", "(1, 2)", "False", &four), "no plain numbers"),
            (array("[('a', '<f4')]", "(1, 2)", "False", &four), "no plain numbers"),
            (array("'<f2'", "(1, 2)", "False", &four), "no plain numbers"),
            (array("'<f4'", "(x, 2)", "False", &four), "makes no sense"),
            (array("'<f4'", "(2, 2)", "False", &four[1..]), "bytes, but its header promises"),
            (array("'<f8'", "(18446744073709551615, 2)", "False", &four), "not plausible"),
        ] {
            let message = open(&bytes).unwrap_err().to_string();
            assert!(message.contains("a.npy") && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_named() {
        let bytes = array("'<f4'", "(2, 2)", "False", &floats(&[1., 2., f32::NAN, 4.]));
        let message = read(&bytes, None).unwrap_err().to_string();
        assert!(
            message.contains("a.npy, row 2, column `column0`: `NaN` is not a finite number"),
            "{message}"
        );
        let message = read(&bytes, Some("column7")).unwrap_err().to_string();
        assert!(message.contains("a.npy has no column `column7`"), "{message}");
    }
}
