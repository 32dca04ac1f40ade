//! The columns of a file: what they hold, and their values.

use std::collections::HashMap;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::schema::types::ColumnDescriptor;

use crate::error::quoted;
use crate::parquet::fault::{Fault, Result, guarded};
use crate::parquet::pages::Stored;
use crate::source::{DISTINCT, Found};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Booleans, integers and floats as they are stored.
    Plain,
    /// Integers without sign.
    Unsigned,
    /// Integers that are divided by a power of ten.
    Decimal(f64),
    /// Floats of two bytes.
    Half,
    Text,
}

/// A column.
#[derive(Debug)]
pub(crate) struct Column {
    kind: Kind,
    pub(crate) stored: Stored,
}

impl Column {
    /// What a column of a schema holds.
    pub(crate) fn new(described: &ColumnDescriptor) -> Result<Self> {
        let physical = described.physical_type();
        let width = match physical {
            Type::INT32 | Type::FLOAT => Some(4),
            Type::INT64 | Type::DOUBLE => Some(8),
            Type::INT96 => Some(12),
            Type::FIXED_LEN_BYTE_ARRAY => Some(u64::try_from(described.type_length()).unwrap_or(0)),
            Type::BOOLEAN | Type::BYTE_ARRAY => None,
        };
        let stored = Stored { physical, width, optional: described.max_def_level() > 0 };
        Ok(Self { kind: kind(described)?, stored })
    }
}

fn kind(described: &ColumnDescriptor) -> Result<Kind> {
    let refused = |what: &str| {
        let name = quoted(described.name());
        Err(Fault::Unsupported(format!("its column {name} holds {what}, or remove the column")))
    };
    let fixed = described.physical_type() == Type::FIXED_LEN_BYTE_ARRAY;
    match described.logical_type_ref() {
        Some(LogicalType::Timestamp(_) | LogicalType::Time(_)) => {
            return refused("times: turn them into numbers, such as seconds since the first one");
        }
        Some(LogicalType::Float16) if fixed && described.type_length() == 2 => return Ok(Kind::Half),
        _ => {}
    }
    match (described.converted_type(), described.physical_type()) {
        (ConvertedType::DATE, _) => {
            refused("dates: turn them into numbers, such as days since the first one")
        }
        (
            ConvertedType::TIME_MILLIS
            | ConvertedType::TIME_MICROS
            | ConvertedType::TIMESTAMP_MILLIS
            | ConvertedType::TIMESTAMP_MICROS
            | ConvertedType::INTERVAL,
            _,
        )
        | (_, Type::INT96) => refused("times: turn them into numbers, such as seconds since the first one"),
        (ConvertedType::DECIMAL, physical) => {
            if physical == Type::FIXED_LEN_BYTE_ARRAY && !(1..=16).contains(&described.type_length()) {
                return refused("decimals of more than 38 digits: store them as floats");
            }
            Ok(Kind::Decimal(10_f64.powi(described.type_scale())))
        }
        (
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64,
            Type::INT32 | Type::INT64,
        ) => Ok(Kind::Unsigned),
        (_, Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE) => Ok(Kind::Plain),
        // Some writers do not say that bytes are text.
        (ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::NONE, Type::BYTE_ARRAY) => Ok(Kind::Text),
        _ => refused("neither numbers nor text: store it as one of them"),
    }
}

/// The values of a column in some rows.
pub(crate) struct Cells {
    pub(crate) values: CellValues,
    /// The first row that is empty. What is in `values` from there on means nothing.
    pub(crate) empty: Option<usize>,
}

/// Numbers, or text.
pub(crate) enum CellValues {
    Numbers(Vec<f64>),
    Text(Found),
}

/// Reads a column of a row group.
pub(crate) struct ColumnRows {
    reader: ColumnReader,
    kind: Kind,
}

impl ColumnRows {
    pub(crate) fn new(column: &Column, reader: ColumnReader) -> Self {
        Self { reader, kind: column.kind }
    }

    /// The values of the next rows.
    pub(crate) fn read(&mut self, rows: usize) -> Result<Cells> {
        let kind = self.kind;
        let unsigned = kind == Kind::Unsigned;
        let scale = if let Kind::Decimal(scale) = kind { scale } else { 1.0 };
        let (numbers, empty) = match &mut self.reader {
            ColumnReader::BoolColumnReader(reader) => numbers(reader, rows, |&value| value.into())?,
            ColumnReader::Int32ColumnReader(reader) if unsigned => {
                numbers(reader, rows, |&value| f64::from(value as u32))?
            }
            ColumnReader::Int64ColumnReader(reader) if unsigned => {
                numbers(reader, rows, |&value| value as u64 as f64)?
            }
            ColumnReader::Int32ColumnReader(reader) => {
                numbers(reader, rows, |&value| f64::from(value) / scale)?
            }
            ColumnReader::Int64ColumnReader(reader) => numbers(reader, rows, |&value| value as f64 / scale)?,
            ColumnReader::FloatColumnReader(reader) => numbers(reader, rows, |&value| value.into())?,
            ColumnReader::DoubleColumnReader(reader) => records(reader, rows)?,
            ColumnReader::FixedLenByteArrayColumnReader(reader) if kind == Kind::Half => {
                numbers(reader, rows, |value| half(value.data()))?
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                numbers(reader, rows, |value| big_endian(value.data()) / scale)?
            }
            ColumnReader::ByteArrayColumnReader(reader) if kind != Kind::Text => {
                numbers(reader, rows, |value| big_endian(value.data()) / scale)?
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let (values, empty) = records(reader, rows)?;
                return texts(&values, empty);
            }
            // Refused with the schema.
            ColumnReader::Int96ColumnReader(_) => return Err(Fault::damaged("its schema changed")),
        };
        Ok(Cells { values: CellValues::Numbers(numbers), empty })
    }
}

/// The next values that are not empty, and the first row that is.
fn records<T: DataType>(reader: &mut ColumnReaderImpl<T>, rows: usize) -> Result<(Vec<T::T>, Option<usize>)> {
    let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let (read, _, _) = guarded(|| reader.read_records(rows, Some(&mut levels), None, &mut values))?;
    if read != rows {
        return Err(Fault::damaged("a column has fewer values than its row group"));
    }
    // Columns that have no groups have the levels 0 and 1.
    let empty = levels.iter().position(|&level| level == 0);
    if empty.is_none() && values.len() != rows {
        return Err(Fault::damaged("a column has fewer values than its row group"));
    }
    Ok((values, empty))
}

/// As [`records`], as numbers.
fn numbers<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    number: impl Fn(&T::T) -> f64,
) -> Result<(Vec<f64>, Option<usize>)> {
    let (values, empty) = records(reader, rows)?;
    Ok((values.iter().map(number).collect(), empty))
}

/// Text without spaces around it, as in CSV files, by what is different.
fn texts(values: &[ByteArray], mut empty: Option<usize>) -> Result<Cells> {
    let mut found = Found::default();
    let mut index: HashMap<&[u8], u32> = HashMap::new();
    for (row, value) in values.iter().take(empty.unwrap_or(usize::MAX)).enumerate() {
        let text = value.data().trim_ascii();
        if text.is_empty() {
            empty = Some(row);
            break;
        }
        let label = match index.get(text) {
            Some(&label) => label,
            None if found.names.len() == DISTINCT => DISTINCT as u32,
            None => {
                let name = std::str::from_utf8(text).map_err(|_| Fault::NotUtf8(row))?;
                let label = found.names.len() as u32;
                found.names.push(name.to_owned());
                found.first.push(row);
                index.insert(text, label);
                label
            }
        };
        found.labels.push(label);
    }
    Ok(Cells { values: CellValues::Text(found), empty })
}

/// An integer with sign whose highest byte comes first; NaN if it has more than 16 bytes.
fn big_endian(bytes: &[u8]) -> f64 {
    if bytes.len() > size_of::<i128>() {
        return f64::NAN;
    }
    let sign = bytes.first().is_some_and(|&byte| byte > 127);
    let start = if sign { -1_i128 } else { 0 };
    bytes.iter().fold(start, |number, &byte| number << 8 | i128::from(byte)) as f64
}

/// A float of two bytes, the lower one first.
fn half(bytes: &[u8]) -> f64 {
    let &[low, high] = bytes else { return f64::NAN };
    let bits = u16::from_le_bytes([low, high]);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff) / 1024.0);
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2_f64.powi(exponent - 15),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_few_and_many_bytes() {
        let least = i128::MIN.to_be_bytes();
        for (bytes, number) in [
            (&[][..], 0.0),
            (&[0xff], -1.0),
            (&[1, 0], 256.0),
            (&[0, 0xff], 255.0),
            (&least, i128::MIN as f64),
        ] {
            assert_eq!(big_endian(bytes).to_bits(), f64::to_bits(number));
        }
        assert!(big_endian(&[0; 17]).is_nan());
    }

    #[test]
    fn floats_of_two_bytes() {
        for (bits, number) in
            [(0x3c00, 1.0), (0xc000, -2.0), (1, 2_f64.powi(-24)), (0x7bff, 65_504.0), (0x7c00, f64::INFINITY)]
        {
            assert_eq!(half(&u16::to_le_bytes(bits)).to_bits(), f64::to_bits(number));
        }
        assert!(half(&0x7e00_u16.to_le_bytes()).is_nan());
    }
}
