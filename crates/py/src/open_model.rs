//! Networks with open weights in files that others read.

use std::path::PathBuf;

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use shamisen_data::open_model::{OpenFormat, OpenModel};

use crate::error::of_data;
use crate::model::{Columns, columns_of};

/// Writes a network as `onnx` or `safetensors`: widths of its layers, its parameters, and its columns.
#[pyfunction]
pub(crate) fn write_open_model(
    path: PathBuf,
    format: &str,
    layers: Vec<usize>,
    parameters: PyReadonlyArray1<'_, f64>,
    columns: Columns,
) -> PyResult<()> {
    let model = OpenModel::from_parameters(&layers, parameters.as_slice()?, columns.preprocessing())
        .ok_or_else(|| PyValueError::new_err("there are not as many parameters as the layers have"))?;
    format_of(format).write(&path, &model).map_err(|error| of_data(&error))
}

/// Reads a network: widths of its layers, its parameters, and as a dictionary in JSON its columns.
#[pyfunction]
pub(crate) fn read_open_model<'py>(
    py: Python<'py>,
    path: PathBuf,
    format: &str,
) -> PyResult<(Vec<usize>, Bound<'py, PyArray1<f64>>, String)> {
    let model = format_of(format).read(&path).map_err(|error| of_data(&error))?;
    let columns = columns_of(&model.preprocessing).to_string();
    Ok((model.widths(), PyArray1::from_vec(py, model.parameters()), columns))
}

fn format_of(name: &str) -> OpenFormat {
    if name == "onnx" { OpenFormat::Onnx } else { OpenFormat::Safetensors }
}
