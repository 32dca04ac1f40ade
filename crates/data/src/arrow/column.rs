//! The values of a column of a record batch.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

use crate::cells::{CellValues, Cells};
use crate::dates::days_of_units;
use crate::found::Finder;

/// Those of a day.
const SECONDS: i64 = 86_400;

/// Says what a column holds that is not read, and what to do.
pub(crate) fn check(kind: &DataType) -> Result<(), &'static str> {
    match kind {
        DataType::Null
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => Ok(()),
        DataType::Dictionary(_, values) if !matches!(**values, DataType::Dictionary(..)) => check(values),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Interval(_) => Err(
            "times of day or lengths of time: turn them into numbers, such as seconds, or remove the column",
        ),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..) => {
            Err("decimals that are not of 128 bits: store them as floats, or remove the column")
        }
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Struct(_)
        | DataType::Map(..)
        | DataType::Union(..) => {
            Err("several values in a row: give each value a column of its own, or remove the column")
        }
        _ => Err("neither numbers nor text: store it as one of them, or remove the column"),
    }
}

/// The values of a column; `None` if [`check`] refuses them.
pub(crate) fn cells(array: &ArrayRef) -> Option<Cells> {
    Some(match array.data_type() {
        DataType::Null => of_numbers(array, std::iter::repeat_n(f64::NAN, array.len()).collect()),
        DataType::Boolean => {
            let values = array.as_boolean().iter();
            of_numbers(array, values.map(|value| value.map_or(f64::NAN, f64::from)).collect())
        }
        DataType::Int8 => numbers::<Int8Type>(array, f64::from),
        DataType::Int16 => numbers::<Int16Type>(array, f64::from),
        DataType::Int32 => numbers::<Int32Type>(array, f64::from),
        DataType::Int64 => numbers::<Int64Type>(array, |value| value as f64),
        DataType::UInt8 => numbers::<UInt8Type>(array, f64::from),
        DataType::UInt16 => numbers::<UInt16Type>(array, f64::from),
        DataType::UInt32 => numbers::<UInt32Type>(array, f64::from),
        DataType::UInt64 => numbers::<UInt64Type>(array, |value| value as f64),
        DataType::Float16 => numbers::<Float16Type>(array, f64::from),
        DataType::Float32 => numbers::<Float32Type>(array, f64::from),
        DataType::Float64 => numbers::<Float64Type>(array, |value| value),
        DataType::Decimal128(_, scale) => {
            let unit = 10_f64.powi(i32::from(*scale));
            numbers::<Decimal128Type>(array, |value| value as f64 / unit)
        }
        DataType::Date32 => days::<Date32Type>(array, |value| days_of_units(value.into(), 1)),
        DataType::Date64 => days::<Date64Type>(array, |value| days_of_units(value, 1000 * SECONDS)),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => days::<TimestampSecondType>(array, |value| days_of_units(value, SECONDS)),
            TimeUnit::Millisecond => {
                days::<TimestampMillisecondType>(array, |value| days_of_units(value, 1000 * SECONDS))
            }
            TimeUnit::Microsecond => {
                days::<TimestampMicrosecondType>(array, |value| days_of_units(value, 1_000_000 * SECONDS))
            }
            TimeUnit::Nanosecond => {
                days::<TimestampNanosecondType>(array, |value| days_of_units(value, 1_000_000_000 * SECONDS))
            }
        },
        DataType::Utf8 => texts(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().iter()),
        DataType::Utf8View => texts(array.as_string_view().iter()),
        DataType::Dictionary(..) => of_dictionary(array)?,
        _ => return None,
    })
}

fn of_numbers(array: &dyn Array, values: Vec<f64>) -> Cells {
    Cells { values: CellValues::Numbers(values), empty: (0..array.len()).find(|&row| is_null(array, row)) }
}

fn is_null(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || *array.data_type() == DataType::Null
}

/// Numbers, with NaN where there are none.
fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef, number: impl Fn(T::Native) -> f64) -> Cells {
    let values = array.as_primitive::<T>().iter().map(|value| value.map_or(f64::NAN, &number));
    of_numbers(array, values.collect())
}

/// As [`numbers`], of dates.
fn days<T: ArrowPrimitiveType>(array: &ArrayRef, days: impl Fn(T::Native) -> f64) -> Cells {
    let Cells { values, empty } = numbers::<T>(array, days);
    let CellValues::Numbers(values) = values else { return Cells { values, empty } };
    Cells { values: CellValues::Dates(values), empty }
}

/// Text without spaces around it, as in CSV files, by what is different.
fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Cells {
    let mut finder = Finder::of_all();
    let mut empty = None;
    for (row, value) in values.enumerate() {
        let text = value.map_or("", str::trim_ascii);
        // All else is UTF-8, and taken in.
        if text.is_empty() || finder.push(text.as_bytes()).is_err() {
            empty = empty.or(Some(row));
            finder.push_missing();
        }
    }
    Cells { values: CellValues::Text(finder.finish()), empty }
}

/// Values of a dictionary, by their numbers in it.
fn of_dictionary(array: &ArrayRef) -> Option<Cells> {
    let dictionary = array.as_any_dictionary();
    let known = cells(dictionary.values())?;
    let keys: Vec<Option<usize>> = if dictionary.values().is_empty() {
        vec![None; array.len()]
    } else {
        let keys = dictionary.normalized_keys().into_iter().enumerate();
        keys.map(|(row, key)| (!array.is_null(row)).then_some(key)).collect()
    };
    let spread = |known: &[f64]| -> (Vec<f64>, Option<usize>) {
        let value = |key: &Option<usize>| key.and_then(|key| known.get(key).copied()).unwrap_or(f64::NAN);
        (keys.iter().map(value).collect(), keys.iter().position(Option::is_none))
    };
    Some(match &known.values {
        CellValues::Numbers(known) => {
            let (values, empty) = spread(known);
            Cells { values: CellValues::Numbers(values), empty }
        }
        CellValues::Dates(known) => {
            let (values, empty) = spread(known);
            Cells { values: CellValues::Dates(values), empty }
        }
        CellValues::Text(found) => {
            let name = |key: &Option<usize>| {
                let label = *found.labels.get((*key)?)?;
                found.names.get(label as usize).map(String::as_str)
            };
            texts(keys.iter().map(name))
        }
    })
}
