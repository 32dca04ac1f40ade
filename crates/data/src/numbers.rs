//! Rows of binary numbers of one type, as in arrays of NumPy and in IDX files.

use std::path::Path;

use crate::columns::{DateFormat, ReadAs, Reading};
use crate::error::{DataError, Place, Result};
use crate::found::classes;
use crate::source::{Block, Chunk, Selection, Values};
use crate::table::{Matrix, Origin, TargetKind};

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Signed,
    Unsigned,
}

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) kind: Kind,
    /// Bytes of a number: 1, 2, 4 or 8; a float has 4 or 8.
    pub(crate) size: usize,
    pub(crate) big_endian: bool,
}

impl Format {
    /// A byte without sign.
    pub(crate) const BYTE: Self = Self { kind: Kind::Unsigned, size: 1, big_endian: false };

    /// Floats of 8 bytes.
    pub(crate) const DOUBLE: Self = Self { kind: Kind::Float, size: 8, big_endian: false };

    /// Appends the numbers that `bytes` stand for.
    pub(crate) fn decode(self, bytes: &[u8], out: &mut Vec<f64>) {
        match (self.kind, self.size) {
            (Kind::Float, 4) => self.each(bytes, out, |word| f64::from(f32::from_bits(word as u32))),
            (Kind::Float, _) => self.each(bytes, out, f64::from_bits),
            (Kind::Signed, size) => {
                let unused = 64 - 8 * size;
                self.each(bytes, out, |word| ((word << unused) as i64 >> unused) as f64);
            }
            (Kind::Unsigned, _) => self.each(bytes, out, |word| word as f64),
        }
    }

    fn each(self, bytes: &[u8], out: &mut Vec<f64>, number: impl Fn(u64) -> f64) {
        match self.size {
            1 => out.extend(bytes.iter().map(|&byte| number(byte.into()))),
            2 => self.words(bytes, out, |bytes| number(u16::from_le_bytes(bytes).into())),
            4 => self.words(bytes, out, |bytes| number(u32::from_le_bytes(bytes).into())),
            _ => self.words(bytes, out, |bytes| number(u64::from_le_bytes(bytes))),
        }
    }

    fn words<const N: usize>(self, bytes: &[u8], out: &mut Vec<f64>, number: impl Fn([u8; N]) -> f64) {
        let (words, _) = bytes.as_chunks::<N>();
        if self.big_endian {
            out.extend(words.iter().map(|&word| {
                let mut word = word;
                word.reverse();
                number(word)
            }));
        } else {
            out.extend(words.iter().map(|&word| number(word)));
        }
    }
}

/// Reads the rows of a chunk, all of whose columns have one format.
pub(crate) fn parse(
    path: &Path,
    columns: &[String],
    format: Format,
    chunk: &Chunk,
    selection: &Selection,
) -> Result<Block> {
    let mut values = Vec::with_capacity(chunk.rows * columns.len());
    format.decode(&chunk.bytes, &mut values);
    let mut features = Vec::with_capacity(chunk.rows * selection.features.len());
    let mut numbers = Vec::new();
    for (row, values) in values.chunks_exact(columns.len()).enumerate() {
        let place = |column: usize| {
            let (row, column) = (chunk.first + row as u64, columns[column].clone());
            Place { file: Some(path.to_owned()), row, column }
        };
        for (column, reading) in selection.read_features() {
            let value = values[column];
            features.push(read(value, reading, selection.limit, || place(column))?);
        }
        if let Some((column, _)) = selection.target {
            numbers.push(within(values[column], selection.limit, || place(column))?);
        }
    }
    let width = columns.len();
    let categories = selection.read_features().filter(|(_, reading)| reading.kind == ReadAs::Category);
    let categories =
        categories.map(|(column, _)| classes(values.iter().skip(column).step_by(width).copied())).collect();
    let origin = Origin {
        files: [path.to_owned()].into(),
        rows: (chunk.first..chunk.first + chunk.rows as u64).map(|row| (0, row)).collect(),
        columns: selection.names.clone(),
    };
    let target = match selection.target {
        None => Values::None,
        Some((_, TargetKind::Number)) => Values::Numbers(numbers),
        Some((_, TargetKind::Classes)) => Values::Classes(classes(numbers)),
    };
    Ok(Block {
        features: Matrix::with_origin(selection.features.len(), features, origin),
        categories,
        target,
    })
}

/// A number as a column is read.
pub(crate) fn read(value: f64, reading: &Reading, limit: f64, place: impl Fn() -> Place) -> Result<f64> {
    if value.is_nan() && reading.may_miss {
        return Ok(value);
    }
    match &reading.kind {
        ReadAs::Number | ReadAs::Category => within(value, limit, place),
        ReadAs::Date(format) => date(&value.to_string(), format, &place),
    }
}

/// A date as days since 1970-01-01.
pub(crate) fn date(text: &str, format: &DateFormat, place: &impl Fn() -> Place) -> Result<f64> {
    format.days(text).ok_or_else(|| DataError::BadDate {
        place: place(),
        text: text.to_owned(),
        format: format.text().map(str::to_owned),
    })
}

/// A number whose magnitude is at most `limit`.
fn within(value: f64, limit: f64, place: impl Fn() -> Place) -> Result<f64> {
    if value.abs() <= limit { Ok(value) } else { Err(refusal(place(), value, limit)) }
}

/// Why a number is refused whose magnitude is not at most `limit`.
pub(crate) fn refusal(place: Place, value: f64, limit: f64) -> DataError {
    let text = value.to_string();
    if value.is_finite() {
        return DataError::OutOfRange { place, text, limit };
    }
    DataError::NotFinite { place, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_decoded() {
        let decoded = |kind, size, big_endian, bytes: &[u8]| {
            let mut out = vec![];
            Format { kind, size, big_endian }.decode(bytes, &mut out);
            out
        };
        for big in [false, true] {
            let order = |mut bytes: Vec<u8>| {
                if big {
                    bytes.reverse();
                }
                bytes
            };
            let float = |size, bytes| decoded(Kind::Float, size, big, &order(bytes));
            assert_eq!(float(4, (-1.5f32).to_le_bytes().to_vec()), [-1.5]);
            assert_eq!(float(8, 1e300f64.to_le_bytes().to_vec()), [1e300]);
            let signed = |size, bytes| decoded(Kind::Signed, size, big, &order(bytes));
            assert_eq!(signed(2, (-300i16).to_le_bytes().to_vec()), [-300.0]);
            assert_eq!(signed(4, i32::MIN.to_le_bytes().to_vec()), [f64::from(i32::MIN)]);
            assert_eq!(signed(8, (-5i64).to_le_bytes().to_vec()), [-5.0]);
            let unsigned = |size, bytes| decoded(Kind::Unsigned, size, big, &order(bytes));
            assert_eq!(unsigned(2, 65_535u16.to_le_bytes().to_vec()), [65_535.0]);
            assert_eq!(unsigned(8, u64::MAX.to_le_bytes().to_vec()), [2f64.powi(64)]);
        }
        assert_eq!(decoded(Kind::Signed, 1, false, &[255, 1]), [-1.0, 1.0]);
        assert_eq!(decoded(Kind::Unsigned, 1, false, &[255, 1]), [255.0, 1.0]);
    }
}
