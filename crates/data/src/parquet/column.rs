//! The columns of a file: what they hold, and their values.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::schema::types::ColumnDescriptor;

use crate::cells::{CellValues, Cells};
use crate::dates::days_of_units;
use crate::error::quoted;
use crate::found::{Finder, NotUtf8};
use crate::parquet::fault::{Fault, Result, guarded};
use crate::parquet::pages::Stored;

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
    /// Integers, so many of which are a day, since 1970-01-01.
    Date(i64),
    Text,
}

/// Those of a day.
const MILLISECONDS: i64 = 86_400_000;

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
        Some(LogicalType::Timestamp(timestamp)) if described.physical_type() == Type::INT64 => {
            return Ok(Kind::Date(match timestamp.unit {
                TimeUnit::MILLIS => MILLISECONDS,
                TimeUnit::MICROS => 1000 * MILLISECONDS,
                TimeUnit::NANOS => 1_000_000 * MILLISECONDS,
            }));
        }
        Some(LogicalType::Time(_)) => {
            return refused("times of day: turn them into numbers, such as seconds since midnight");
        }
        Some(LogicalType::Float16) if fixed && described.type_length() == 2 => return Ok(Kind::Half),
        _ => {}
    }
    match (described.converted_type(), described.physical_type()) {
        (ConvertedType::DATE, Type::INT32) => Ok(Kind::Date(1)),
        (ConvertedType::TIMESTAMP_MILLIS, Type::INT64) => Ok(Kind::Date(MILLISECONDS)),
        (ConvertedType::TIMESTAMP_MICROS, Type::INT64) => Ok(Kind::Date(1000 * MILLISECONDS)),
        (ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS, _) => {
            refused("times of day: turn them into numbers, such as seconds since midnight")
        }
        (ConvertedType::INTERVAL, _) => refused("lengths of time: turn them into numbers, such as seconds"),
        (_, Type::INT96) => refused("times of an old format: write them as timestamps of 64 bits"),
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
        let units = if let Kind::Date(units) = kind { units } else { 0 };
        let scale = if let Kind::Decimal(scale) = kind { scale } else { 1.0 };
        let (numbers, empty) = match &mut self.reader {
            ColumnReader::BoolColumnReader(reader) => numbers(reader, rows, |&value| value.into())?,
            ColumnReader::Int32ColumnReader(reader) if unsigned => {
                numbers(reader, rows, |&value| f64::from(value as u32))?
            }
            ColumnReader::Int64ColumnReader(reader) if unsigned => {
                numbers(reader, rows, |&value| value as u64 as f64)?
            }
            ColumnReader::Int32ColumnReader(reader) if units > 0 => {
                numbers(reader, rows, |&value| days_of_units(value.into(), units))?
            }
            ColumnReader::Int64ColumnReader(reader) if units > 0 => {
                numbers(reader, rows, |&value| days_of_units(value, units))?
            }
            ColumnReader::Int32ColumnReader(reader) => {
                numbers(reader, rows, |&value| f64::from(value) / scale)?
            }
            ColumnReader::Int64ColumnReader(reader) => numbers(reader, rows, |&value| value as f64 / scale)?,
            ColumnReader::FloatColumnReader(reader) => numbers(reader, rows, |&value| value.into())?,
            ColumnReader::DoubleColumnReader(reader) => numbers(reader, rows, |&value| value)?,
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
                let (values, levels) = records(reader, rows)?;
                return texts(&values, &levels);
            }
            // Refused with the schema.
            ColumnReader::Int96ColumnReader(_) => return Err(Fault::damaged("its schema changed")),
        };
        let values = if matches!(kind, Kind::Date(_)) { CellValues::Dates } else { CellValues::Numbers };
        Ok(Cells { values: values(numbers), empty })
    }
}

/// The next values that are not empty, and of each row whether it has one; of none if all have.
fn records<T: DataType>(reader: &mut ColumnReaderImpl<T>, rows: usize) -> Result<(Vec<T::T>, Vec<i16>)> {
    let (mut values, mut levels) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let (read, _, _) = guarded(|| reader.read_records(rows, Some(&mut levels), None, &mut values))?;
    // Columns that have no groups have the levels 0 and 1.
    let empty = levels.iter().filter(|&&level| level == 0).count();
    if read != rows || values.len() + empty != rows || (empty > 0 && levels.len() != rows) {
        return Err(Fault::damaged("a column has fewer values than its row group"));
    }
    Ok((values, if empty == 0 { vec![] } else { levels }))
}

/// As [`records`], as numbers, with NaN where there are none.
fn numbers<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    number: impl Fn(&T::T) -> f64,
) -> Result<(Vec<f64>, Option<usize>)> {
    let (values, levels) = records(reader, rows)?;
    let mut values = values.iter().map(number);
    if levels.is_empty() {
        return Ok((values.collect(), None));
    }
    let or_nan = |&level: &i16| if level == 0 { f64::NAN } else { values.next().unwrap_or(f64::NAN) };
    Ok((levels.iter().map(or_nan).collect(), levels.iter().position(|&level| level == 0)))
}

/// Text without spaces around it, as in CSV files, by what is different.
fn texts(values: &[ByteArray], levels: &[i16]) -> Result<Cells> {
    let mut finder = Finder::of_all();
    let mut empty = None;
    let mut values = values.iter();
    for row in 0..values.len().max(levels.len()) {
        let value = if levels.get(row) == Some(&0) { None } else { values.next() };
        match value.map_or(&b""[..], |value| value.data().trim_ascii()) {
            b"" => {
                empty = empty.or(Some(row));
                finder.push_missing();
            }
            text => finder.push(text).map_err(|NotUtf8| Fault::NotUtf8(row))?,
        }
    }
    Ok(Cells { values: CellValues::Text(finder.finish()), empty })
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
