//! ONNX: the whole way from rows of features in their own units to classes or numbers, preprocessing included.

use std::collections::HashMap;
use std::path::Path;

use prost::Message;

use super::proto::{
    Attribute, DOUBLE, Dimension, Entry, FLOAT, Graph, INT_ATTRIBUTE, INT64, Model, Node, OperatorSet,
    STRING, Shape, Size, Tensor, TensorType, Type, ValueInfo,
};
use super::{Layer, OpenModel, PREPROCESSING_KEY, read, transposed, write};
use crate::error::{DataError, Result};
use crate::scaling::{Affine, OUTLIER_LIMIT, Scaling};

/// The version of the operators.
const OPSET: i64 = 23;
/// The version of the format that belongs to it.
const IR_VERSION: i64 = 11;

/// Writes a network. Its input is `X`, a float row of features for each example, as they are in the table. A classifier has the outputs
/// `label` (integers where all classes are, otherwise text) and `probabilities`, a regression has `variable`.
///
/// It computes in double precision, which holds the weights without loss. The preprocessing stands in the graph, and for
/// [`read_onnx`] in the metadata.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_onnx(path: &Path, model: &OpenModel) -> Result<()> {
    let mut graph = Builder::default();
    graph.preprocess(model);
    for (at, layer) in model.layers.iter().enumerate() {
        graph.layer(at, layer, at + 1 == model.layers.len());
    }
    let output = graph.finish(model);
    let Builder { nodes, initializers, .. } = graph;
    let file = Model {
        ir_version: IR_VERSION,
        producer_name: "shamisen".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(Graph {
            node: nodes,
            name: "perceptron".to_owned(),
            initializer: initializers,
            input: vec![value("X", FLOAT, model.widths().first().copied())],
            output,
        }),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: vec![Entry { key: PREPROCESSING_KEY.to_owned(), value: model.described(path)? }],
    };
    write(path, &file.encode_to_vec())
}

/// A graph in the making: each node takes what the last one gave.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    initializers: Vec<Tensor>,
    last: String,
}

impl Builder {
    /// Appends a node that takes what the last one gave, and these.
    fn node(&mut self, op: &str, with: &[&str], output: &str, attributes: Vec<Attribute>) {
        let inputs = [&[self.last.as_str()], with].concat();
        self.nodes.push(Node {
            input: inputs.into_iter().map(str::to_owned).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes,
            domain: String::new(),
        });
        output.clone_into(&mut self.last);
    }

    /// A constant of numbers.
    fn numbers(&mut self, name: &str, dims: &[usize], values: &[f64]) {
        self.initializers.push(Tensor {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: DOUBLE,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Tensor::default()
        });
    }

    /// From features in their own units to the inputs of the network.
    fn preprocess(&mut self, model: &OpenModel) {
        let preprocessing = &model.preprocessing;
        "X".clone_into(&mut self.last);
        self.node("Cast", &[], "features", vec![integer("to", DOUBLE.into())]);
        let maps = preprocessing.offset.iter().zip(&preprocessing.factor);
        if maps.map(|(&offset, &factor)| Affine { offset, factor }).any(|map| map != Affine::IDENTITY) {
            let columns = [preprocessing.offset.len()];
            self.numbers("offset", &columns, &preprocessing.offset);
            self.numbers("factor", &columns, &preprocessing.factor);
            self.node("Sub", &["offset"], "centred", vec![]);
            self.node("Mul", &["factor"], "scaled", vec![]);
        }
        if preprocessing.scaling == Scaling::Standard {
            self.numbers("least", &[], &[-OUTLIER_LIMIT]);
            self.numbers("greatest", &[], &[OUTLIER_LIMIT]);
            self.node("Clip", &["least", "greatest"], "inputs", vec![]);
        }
    }

    fn layer(&mut self, at: usize, layer: &Layer, is_last: bool) {
        let [weights, biases, sums] = ["weights", "biases", "sums"].map(|name| format!("{name}{}", at + 1));
        self.numbers(&weights, &[layer.inputs, layer.biases.len()], &layer.weights);
        self.numbers(&biases, &[layer.biases.len()], &layer.biases);
        self.node("Gemm", &[&weights, &biases], &sums, vec![]);
        if !is_last {
            self.node("Relu", &[], &format!("activations{}", at + 1), vec![]);
        }
    }

    /// From the outputs of the last layer to classes or numbers. Returns the outputs of the graph.
    fn finish(&mut self, model: &OpenModel) -> Vec<ValueInfo> {
        let preprocessing = &model.preprocessing;
        if let Some(target) = preprocessing.target {
            self.numbers("target_factor", &[1], &[target.factor]);
            self.numbers("target_offset", &[1], &[target.offset]);
            self.node("Div", &["target_factor"], "target_unit", vec![]);
            self.node("Add", &["target_offset"], "target", vec![]);
            self.node("Cast", &[], "variable", vec![integer("to", FLOAT.into())]);
            return vec![value("variable", FLOAT, Some(1))];
        }
        let logits = self.last.clone();
        self.node("Softmax", &[], "exact_probabilities", vec![integer("axis", 1)]);
        self.node("Cast", &[], "probabilities", vec![integer("to", FLOAT.into())]);
        self.last = logits;
        self.node("ArgMax", &[], "place", vec![integer("axis", 1), integer("keepdims", 0)]);
        let kind = self.classes(&preprocessing.classes);
        let node = Node {
            input: vec!["classes".to_owned(), "place".to_owned()],
            output: vec!["label".to_owned()],
            name: "label".to_owned(),
            op_type: "Gather".to_owned(),
            ..Node::default()
        };
        self.nodes.push(node);
        vec![value("label", kind, None), value("probabilities", FLOAT, Some(preprocessing.classes.len()))]
    }

    /// The classes as a constant. Returns their kind.
    fn classes(&mut self, classes: &[String]) -> i32 {
        // Other ways to write a number, such as 01, are names of their own.
        let number = |class: &String| class.parse().ok().filter(|number: &i64| number.to_string() == *class);
        let numbers: Option<Vec<i64>> = classes.iter().map(number).collect();
        let mut tensor =
            Tensor { dims: vec![classes.len() as i64], name: "classes".to_owned(), ..Tensor::default() };
        if let Some(numbers) = numbers {
            tensor.data_type = INT64;
            tensor.raw_data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        } else {
            tensor.data_type = STRING;
            tensor.string_data = classes.iter().map(|class| class.clone().into_bytes()).collect();
        }
        let kind = tensor.data_type;
        self.initializers.push(tensor);
        kind
    }
}

fn integer(name: &str, value: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: value, kind: INT_ATTRIBUTE, ..Attribute::default() }
}

/// A value with a row for each example, of so many columns, or one number each.
fn value(name: &str, element: i32, columns: Option<usize>) -> ValueInfo {
    let rows = Dimension { size: Some(Size::Named("rows".to_owned())) };
    let columns = columns.map(|columns| Dimension { size: Some(Size::Known(columns as i64)) });
    let shape = Shape { dim: std::iter::once(rows).chain(columns).collect() };
    ValueInfo {
        name: name.to_owned(),
        kind: Some(Type { tensor: Some(TensorType { element, shape: Some(shape) }) }),
    }
}

/// Reads a perceptron: layers of `Gemm`, or of `MatMul` and `Add`, with `Relu` between them and perhaps `Softmax` at the end.
///
/// What prepares the features and what comes after the network is taken from the metadata of [`write_onnx`]; a foreign network must
/// not have any of it but `Cast`, `Flatten` and `Identity`. It has classes if `Softmax` is there, or several outputs.
///
/// # Errors
///
/// If the file cannot be read, or is no such network.
pub fn read_onnx(path: &Path) -> Result<OpenModel> {
    let wrong = |problem: String| DataError::OpenModel { path: path.to_owned(), problem };
    let bytes = read(path)?;
    let model = Model::decode(&bytes[..]).map_err(|error| wrong(format!("it is no ONNX file ({error})")))?;
    let graph =
        model.graph.as_ref().ok_or_else(|| wrong("it is no ONNX file, or has no graph".to_owned()))?;
    let entry = model.metadata_props.iter().find(|entry| entry.key == PREPROCESSING_KEY);
    let described = entry.map(|entry| entry.value.as_str());
    let (layers, has_soft_max) = Walk::new(graph, described.is_some()).layers().map_err(wrong)?;
    let is_classifier = has_soft_max || layers.last().is_some_and(|layer| layer.biases.len() > 1);
    OpenModel::of_layers(path, layers, described, is_classifier)
}

/// A walk along a graph, from its input on.
struct Walk<'a> {
    nodes: &'a [Node],
    constants: HashMap<&'a str, &'a Tensor>,
    at: &'a str,
    /// What prepares the features is known from elsewhere.
    skips_preprocessing: bool,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph, skips_preprocessing: bool) -> Self {
        let constants: HashMap<_, _> =
            graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        // Old files name their constants among the inputs.
        let input = graph.input.iter().map(|input| input.name.as_str());
        let at = input.into_iter().find(|name| !constants.contains_key(name)).unwrap_or_default();
        Self { nodes: &graph.node, constants, at, skips_preprocessing }
    }

    /// The layers, and whether soft-max follows them; or what is wrong.
    fn layers(mut self) -> core::result::Result<(Vec<Layer>, bool), String> {
        let mut layers: Vec<Layer> = Vec::new();
        let mut rectified = true;
        for _ in 0..self.nodes.len() {
            let Some(node) = self.next(&layers) else { break };
            let op = node.op_type.as_str();
            match op {
                "Cast" | "Flatten" | "Identity" | "Dropout" => {}
                "Sub" | "Mul" | "Clip" if self.skips_preprocessing && layers.is_empty() => {}
                "Div" | "ArgMax" if self.skips_preprocessing && !layers.is_empty() => break,
                "Gemm" | "MatMul" => {
                    if !rectified {
                        return Err(format!(
                            "there is no Relu before `{}`: layers must have ReLU between them",
                            node.name
                        ));
                    }
                    layers.push(self.product(node)?);
                    rectified = false;
                }
                "Add" if !rectified && layers.last().is_some_and(|layer| !layer.has_biases()) => {
                    let biases = self.constant(node.input.iter().find(|name| *name != self.at))?.0;
                    let layer = layers.last_mut().expect("there is a last layer");
                    if biases.len() != layer.biases.len() {
                        return Err(format!(
                            "`{}` adds {} biases to {} units",
                            node.name,
                            biases.len(),
                            layer.biases.len()
                        ));
                    }
                    layer.biases = biases;
                }
                "Relu" if !rectified => rectified = true,
                "Softmax" | "LogSoftmax" if !rectified => return Ok((layers, true)),
                "Add" if self.skips_preprocessing => break,
                _ => {
                    return Err(format!(
                        "the operator {op} of `{}` is not one of a perceptron: layers are Gemm, or MatMul and Add, with Relu between \
                         them",
                        node.name
                    ));
                }
            }
            self.at = node.output.first().map_or("", String::as_str);
        }
        if rectified && !layers.is_empty() {
            return Err("Relu follows its last layer, whose outputs must be logits or numbers".to_owned());
        }
        Ok((layers, false))
    }

    /// The node that takes what the last one gave. Of several, the way to the probabilities.
    fn next(&self, layers: &[Layer]) -> Option<&'a Node> {
        let mut takers = self.nodes.iter().filter(|node| node.input.iter().any(|name| name == self.at));
        let first = takers.next()?;
        let is_soft_max = |node: &&Node| node.op_type == "Softmax";
        if layers.is_empty() || is_soft_max(&first) {
            Some(first)
        } else {
            takers.find(is_soft_max).or(Some(first))
        }
    }

    /// The layer of a matrix product; without biases, if it has none, they are zeros.
    fn product(&self, node: &Node) -> core::result::Result<Layer, String> {
        let (values, dims) = self.constant(node.input.get(1))?;
        let [rows, cols] = dims[..] else {
            return Err(format!(
                "the weights of `{}` have {} dimensions where a layer has two",
                node.name,
                dims.len()
            ));
        };
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
        for name in ["alpha", "beta"] {
            if attribute(name).is_some_and(|attribute| attribute.f.to_bits() != 1.0_f32.to_bits()) {
                return Err(format!("`{}` has another {name} than 1", node.name));
            }
        }
        if attribute("transA").is_some_and(|attribute| attribute.i != 0) {
            return Err(format!("`{}` transposes its input", node.name));
        }
        let by_unit = attribute("transB").is_some_and(|attribute| attribute.i != 0);
        let (inputs, units) = if by_unit { (cols, rows) } else { (rows, cols) };
        let weights = if by_unit { transposed(&values, units, inputs) } else { values };
        let biases = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.constant(Some(name))?.0,
            None => vec![0.0; units],
        };
        if biases.len() != units {
            return Err(format!("`{}` has {units} units, but {} biases", node.name, biases.len()));
        }
        Ok(Layer { inputs, weights, biases })
    }

    /// The numbers of a constant, and its dimensions.
    fn constant(&self, name: Option<&String>) -> core::result::Result<(Vec<f64>, Vec<usize>), String> {
        let name = name.map_or("", String::as_str);
        let tensor = self
            .constants
            .get(name)
            .ok_or_else(|| format!("the weights `{name}` are not constants of the file"))?;
        if tensor.data_location != 0 {
            return Err(format!("the numbers of `{name}` are in another file: save the network as one file"));
        }
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
        let raw = &tensor.raw_data;
        let values: Vec<f64> = match tensor.data_type {
            DOUBLE if raw.is_empty() => tensor.double_data.clone(),
            DOUBLE => raw.chunks_exact(8).map(|word| f64::from_le_bytes(bytes(word))).collect(),
            FLOAT if raw.is_empty() => tensor.float_data.iter().map(|&value| value.into()).collect(),
            FLOAT => raw.chunks_exact(4).map(|word| f32::from_le_bytes(bytes(word)).into()).collect(),
            other => return Err(format!("`{name}` holds numbers of the kind {other}: use float or double")),
        };
        let wanted = dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
        if wanted != Some(values.len()) {
            return Err(format!("`{name}` has {} numbers, but dimensions of {dims:?}", values.len()));
        }
        Ok((values, dims))
    }
}

impl Layer {
    fn has_biases(&self) -> bool {
        self.biases.iter().any(|bias| *bias != 0.0)
    }
}

fn bytes<const N: usize>(word: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| word[at])
}
