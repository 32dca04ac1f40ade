//! safetensors: `layers.0.weight` with a row for each unit, `layers.0.bias`, and so on, as `PyTorch` names and lays them out.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use super::{Layer, OpenModel, PREPROCESSING_KEY, read, transposed, write};
use crate::error::{DataError, Result};

/// Writes a network, with its preprocessing in the metadata.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_safetensors(path: &Path, model: &OpenModel) -> Result<()> {
    let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let parts: Vec<_> = (model.layers.iter().enumerate())
        .flat_map(|(at, layer)| {
            let (units, weights) = (layer.biases.len(), layer.transposed());
            [
                (format!("layers.{at}.weight"), vec![units, layer.inputs], bytes(&weights)),
                (format!("layers.{at}.bias"), vec![units], bytes(&layer.biases)),
            ]
        })
        .collect();
    let wrong = |problem: String| DataError::OpenModel { path: path.to_owned(), problem };
    let views = parts.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F64, shape.clone(), bytes);
        view.map(|view| (name.as_str(), view)).map_err(|error| wrong(error.to_string()))
    });
    let metadata = HashMap::from([(PREPROCESSING_KEY.to_owned(), model.described(path)?)]);
    let views = views.collect::<Result<Vec<_>>>()?;
    let file = serialize(views, Some(metadata)).map_err(|error| wrong(error.to_string()))?;
    write(path, &file)
}

/// Reads a network whose tensors are called `NAME.weight` (`units x inputs`) and `NAME.bias`, in the order of the numbers in their
/// names, with floats of 4 or 8 bytes. Whether a foreign network has classes follows from the number of its outputs.
///
/// # Errors
///
/// If the file cannot be read, or is no such network.
pub fn read_safetensors(path: &Path) -> Result<OpenModel> {
    let wrong = |problem: String| DataError::OpenModel { path: path.to_owned(), problem };
    let bytes = read(path)?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|error| wrong(format!("it is no safetensors file ({error})")))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|error| wrong(format!("it is no safetensors file ({error})")))?;
    let mut names: Vec<&str> =
        tensors.names().into_iter().filter_map(|name| name.strip_suffix(".weight")).collect();
    names.sort_by_key(|name| order(name));
    if tensors.len() != 2 * names.len() {
        return Err(wrong(format!(
            "it has {} tensors, but {} of them are weights of layers: a network has a tensor NAME.weight and a tensor NAME.bias for \
             each layer, and nothing else",
            tensors.len(),
            names.len()
        )));
    }
    let mut layers = Vec::with_capacity(names.len());
    for name in names {
        let (weights, shape) = floats(path, &tensors, &format!("{name}.weight"))?;
        let (biases, _) = floats(path, &tensors, &format!("{name}.bias"))?;
        let [units, inputs] = shape[..] else {
            return Err(wrong(format!(
                "`{name}.weight` has {} dimensions where a layer has two",
                shape.len()
            )));
        };
        if biases.len() != units {
            return Err(wrong(format!("`{name}` has {units} units, but {} biases", biases.len())));
        }
        layers.push(Layer { inputs, weights: transposed(&weights, units, inputs), biases });
    }
    let described = metadata.metadata().as_ref().and_then(|all| all.get(PREPROCESSING_KEY));
    let is_classifier = layers.last().is_some_and(|layer| layer.biases.len() > 1);
    OpenModel::of_layers(path, layers, described.map(String::as_str), is_classifier)
}

/// The numbers of a tensor, and its shape.
fn floats(path: &Path, tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<f64>, Vec<usize>)> {
    let wrong = |problem: String| DataError::OpenModel { path: path.to_owned(), problem };
    let tensor = tensors.tensor(name).map_err(|_| wrong(format!("it has no tensor `{name}`")))?;
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F64 => data.chunks_exact(8).map(|word| f64::from_le_bytes(bytes(word))).collect(),
        Dtype::F32 => data.chunks_exact(4).map(|word| f32::from_le_bytes(bytes(word)).into()).collect(),
        other => {
            return Err(wrong(format!("`{name}` holds numbers of the kind {other:?}: use F32 or F64")));
        }
    };
    Ok((values, tensor.shape().to_vec()))
}

fn bytes<const N: usize>(word: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| word[at])
}

/// Numbers in a name count as numbers, so that layer 10 comes after layer 9.
fn order(name: &str) -> Vec<(u64, String)> {
    let parts = name.split('.').map(|part| (part.parse().unwrap_or(u64::MAX), part.to_owned()));
    parts.collect()
}
