//! Predictions as a Parquet file.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::output::{Predictions, probability_name};

/// Most rows of a row group.
const GROUP: usize = 1 << 20;

/// Writes predictions, whose lengths fit, and gives the writer back: the column `prediction` with text or floats of 8 bytes, and for each
/// class a column of floats of 8 bytes.
pub(crate) fn write<W: Write + Send>(writer: W, predictions: Predictions<'_>) -> io::Result<W> {
    write_table(writer, predictions).map_err(|error| match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    })
}

fn write_table<W: Write + Send>(writer: W, predictions: Predictions<'_>) -> Result<W, ParquetError> {
    let schema = Arc::new(schema(predictions)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(writer, schema, Arc::new(properties))?;
    let rows = match predictions {
        Predictions::Classes { labels, .. } => labels.len(),
        Predictions::Numbers(numbers) => numbers.len(),
    };
    for start in (0..rows).step_by(GROUP) {
        let some = start..rows.min(start + GROUP);
        let mut group = file.next_row_group()?;
        match predictions {
            Predictions::Numbers(numbers) => column::<DoubleType, _>(&mut group, &numbers[some])?,
            Predictions::Classes { names, labels, probabilities } => {
                let names: Vec<ByteArray> = names.iter().map(|name| name.as_str().into()).collect();
                let classes = labels[some.clone()].iter().map(|&label| names[label as usize].clone());
                column::<ByteArrayType, _>(&mut group, &classes.collect::<Vec<_>>())?;
                for class in 0..names.len() {
                    let values: Vec<f64> = some.clone().map(|row| probabilities.row(row)[class]).collect();
                    column::<DoubleType, _>(&mut group, &values)?;
                }
            }
        }
        group.close()?;
    }
    file.into_inner()
}

/// Writes the next column of a row group.
fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(values, None, None)?;
        column.close()?;
    }
    Ok(())
}

fn schema(predictions: Predictions<'_>) -> Result<Type, ParquetError> {
    let double = |name: &str| {
        Type::primitive_type_builder(name, Physical::DOUBLE).with_repetition(Repetition::REQUIRED).build()
    };
    let fields = match predictions {
        Predictions::Numbers(_) => vec![double("prediction")?],
        Predictions::Classes { names, .. } => {
            let text = Type::primitive_type_builder("prediction", Physical::BYTE_ARRAY)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::String))
                .build()?;
            let probabilities = names.iter().map(|name| double(&probability_name(name)));
            std::iter::once(Ok(text)).chain(probabilities).collect::<Result<_, _>>()?
        }
    };
    Type::group_type_builder("predictions").with_fields(fields.into_iter().map(Arc::new).collect()).build()
}
