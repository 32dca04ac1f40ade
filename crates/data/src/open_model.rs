//! Networks with open weights, in formats that others read: ONNX and safetensors.
//!
//! Weights are written as double-precision floats, which hold the fixed-point numbers of a training without loss.

use std::fs;
use std::path::Path;

use crate::atomic::{Access, AtomicFile};
use crate::error::{DataError, Result};
use crate::scaling::{Affine, Preprocessing, Scaling, unnamed};

mod onnx;
mod proto;
mod safetensors;

#[cfg(test)]
mod tests;

pub use onnx::{read_onnx, write_onnx};
pub use safetensors::{read_safetensors, write_safetensors};

/// Name of the preprocessing, as JSON, in the metadata of both formats.
const PREPROCESSING_KEY: &str = "shamisen.preprocessing";

/// A format of networks with open weights.
///
/// This enum is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFormat {
    /// ONNX, files `.onnx`.
    Onnx,
    /// Safetensors, files `.safetensors`.
    Safetensors,
}

impl OpenFormat {
    /// That of a file, by its name.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        [("onnx", Self::Onnx), ("safetensors", Self::Safetensors)]
            .into_iter()
            .find_map(|(name, format)| extension.eq_ignore_ascii_case(name).then_some(format))
    }

    /// Reads a network.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds no perceptron.
    pub fn read(self, path: &Path) -> Result<OpenModel> {
        match self {
            Self::Onnx => read_onnx(path),
            Self::Safetensors => read_safetensors(path),
        }
    }

    /// Writes a network into a file, which only its owner may read, or replaces one.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(self, path: &Path, model: &OpenModel) -> Result<()> {
        match self {
            Self::Onnx => write_onnx(path, model),
            Self::Safetensors => write_safetensors(path, model),
        }
    }
}

/// A multi-layer perceptron with `ReLU` between its layers, and what leads to its inputs and from its outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenModel {
    /// The layers, the first one first.
    pub layers: Vec<Layer>,
    /// Names and scaling of the columns; it says whether outputs are logits of classes or a number.
    pub preprocessing: Preprocessing,
}

/// A layer of an [`OpenModel`].
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Number of inputs.
    pub inputs: usize,
    /// `inputs x units` weights, row-major with a row for each input.
    pub weights: Vec<f64>,
    /// A bias for each unit.
    pub biases: Vec<f64>,
}

impl Layer {
    /// The weights with a row for each unit.
    fn transposed(&self) -> Vec<f64> {
        transposed(&self.weights, self.inputs, self.biases.len())
    }
}

impl OpenModel {
    /// A network from the widths of all layers, the input's first, and its parameters: of each layer the weights, row-major with a row
    /// for each input, and then the biases.
    ///
    /// `None` if there are not as many parameters as the widths say.
    pub fn from_parameters(
        widths: &[usize],
        parameters: &[f64],
        preprocessing: Preprocessing,
    ) -> Option<Self> {
        let mut rest = parameters;
        let mut layers = Vec::with_capacity(widths.len().saturating_sub(1));
        for pair in widths.windows(2) {
            let (weights, after) = rest.split_at_checked(pair[0].checked_mul(pair[1])?)?;
            let (biases, after) = after.split_at_checked(pair[1])?;
            layers.push(Layer { inputs: pair[0], weights: weights.to_vec(), biases: biases.to_vec() });
            rest = after;
        }
        (rest.is_empty() && !layers.is_empty()).then_some(Self { layers, preprocessing })
    }

    /// Widths of all layers, the input's first.
    pub fn widths(&self) -> Vec<usize> {
        let first = self.layers.first().map(|layer| layer.inputs);
        first.into_iter().chain(self.layers.iter().map(|layer| layer.biases.len())).collect()
    }

    /// All parameters, in the order of [`from_parameters`](Self::from_parameters).
    pub fn parameters(&self) -> Vec<f64> {
        self.layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.biases).copied()).collect()
    }

    /// A network of layers that were read, with a preprocessing of JSON if there is one; otherwise columns are called `x0`, `x1`, ...,
    /// are not scaled, and the outputs are classes `0`, `1`, ... or the number `y`.
    fn of_layers(
        path: &Path,
        layers: Vec<Layer>,
        described: Option<&str>,
        is_classifier: bool,
    ) -> Result<Self> {
        let wrong = |problem: String| DataError::OpenModel { path: path.to_owned(), problem };
        let (Some(first), Some(last)) = (layers.first(), layers.last()) else {
            return Err(wrong("it has no layer with weights".to_owned()));
        };
        for (at, pair) in layers.windows(2).enumerate() {
            if pair[0].biases.len() != pair[1].inputs {
                return Err(wrong(format!(
                    "layer {} has {} units, but layer {} has {} inputs",
                    at + 1,
                    pair[0].biases.len(),
                    at + 2,
                    pair[1].inputs
                )));
            }
        }
        let (features, outputs) = (first.inputs, last.biases.len());
        let preprocessing: Preprocessing = match described {
            Some(json) => serde_json::from_str(json)
                .map_err(|error| wrong(format!("its preprocessing cannot be read ({error})")))?,
            None => Preprocessing {
                feature_names: (0..features).map(unnamed).collect(),
                columns: vec![],
                images: None,
                target_name: "y".to_owned(),
                scaling: Scaling::None,
                offset: vec![0.0; features],
                factor: vec![1.0; features],
                target: (!is_classifier).then_some(Affine::IDENTITY),
                classes: if is_classifier {
                    (0..outputs).map(|class| class.to_string()).collect()
                } else {
                    vec![]
                },
            },
        };
        if let Some(problem) = preprocessing.problem() {
            return Err(wrong(format!("its preprocessing contradicts itself: {problem}")));
        }
        let columns = preprocessing.feature_names.len();
        if columns != features {
            return Err(wrong(format!(
                "it has {features} inputs, but its preprocessing has {columns} columns"
            )));
        }
        if preprocessing.outputs() != outputs {
            return Err(wrong(match preprocessing.target {
                Some(_) => {
                    format!("it has {outputs} outputs, and only networks with one number can be taken over")
                }
                None => format!("it has {outputs} outputs for {} classes", preprocessing.classes.len()),
            }));
        }
        Ok(Self { layers, preprocessing })
    }

    /// The preprocessing, as it goes into the metadata.
    fn described(&self, path: &Path) -> Result<String> {
        serde_json::to_string(&self.preprocessing).map_err(|error| DataError::OpenModel {
            path: path.to_owned(),
            problem: format!("its preprocessing cannot be described ({error})"),
        })
    }
}

/// A row-major matrix as its transpose.
fn transposed(matrix: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..rows * cols).map(|at| matrix[at % rows * cols + at / rows]).collect()
}

/// Reads a whole file.
fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| DataError::io("read", path, error))
}

/// Writes a file, which only its owner may read: weights tell something of the rows that they were trained on.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path, Access::Secret)?;
    file.append(bytes)?;
    file.sync()?;
    file.publish()
}
