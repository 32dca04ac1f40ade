use prost::Message;

use super::proto::{FLOAT, Graph, INT64, Model, Node, STRING, Tensor, ValueInfo};
use super::*;

fn preprocessing(classes: &[&str], scaling: Scaling) -> Preprocessing {
    Preprocessing {
        feature_names: vec!["age".to_owned(), "dose".to_owned()],
        columns: vec![],
        images: None,
        target_name: "outcome".to_owned(),
        scaling,
        offset: vec![0.1, -7.0],
        factor: vec![1.0 / 3.0, 0.0],
        target: classes.is_empty().then_some(Affine { offset: 40.0, factor: 0.3 }),
        classes: classes.iter().map(|&class| class.to_owned()).collect(),
    }
}

/// A network with weights that single precision does not hold.
fn network(widths: &[usize], classes: &[&str], scaling: Scaling) -> OpenModel {
    let count: usize = widths.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
    let weights: Vec<f64> =
        (0..count).map(|at| (at as f64 * 1_000_003.0 % 33_554_431.0 - 16_777_215.0) / 1_048_576.0).collect();
    OpenModel::from_parameters(widths, &weights, preprocessing(classes, scaling)).unwrap()
}

type Write = fn(&Path, &OpenModel) -> Result<()>;
type Read = fn(&Path) -> Result<OpenModel>;
const FORMATS: [(&str, Write, Read); 2] =
    [("onnx", write_onnx, read_onnx), ("safetensors", write_safetensors, read_safetensors)];

#[test]
fn what_is_written_is_read_without_loss() {
    let dir = tempfile::tempdir().unwrap();
    for (suffix, write, read) in FORMATS {
        for (widths, classes) in
            [(&[2, 5, 3][..], &["a", "b", "c"][..]), (&[2, 4, 4, 1], &[]), (&[2, 2], &["0", "1"])]
        {
            for scaling in [Scaling::Standard, Scaling::MinMax, Scaling::None] {
                let model = network(widths, classes, scaling);
                let path = dir.path().join(format!("model.{suffix}"));
                write(&path, &model).unwrap();
                assert_eq!(read(&path).unwrap(), model, "{suffix}, {widths:?}, {scaling:?}");
            }
        }
    }
}

#[test]
fn features_are_scaled_in_the_graph_wherever_that_changes_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let before_the_layers = |model: &OpenModel| {
        write_onnx(&path, model).unwrap();
        let graph = Model::decode(&fs::read(&path).unwrap()[..]).unwrap().graph.unwrap();
        let operators = graph.node.into_iter().map(|node| node.op_type);
        operators.take_while(|operator| operator != "Gemm").collect::<Vec<_>>()
    };
    for (scaling, of_maps, of_none) in [
        (Scaling::Standard, &["Cast", "Sub", "Mul", "Clip"][..], &["Cast", "Clip"][..]),
        (Scaling::MinMax, &["Cast", "Sub", "Mul"], &["Cast"]),
        (Scaling::None, &["Cast", "Sub", "Mul"], &["Cast"]),
    ] {
        let mut model = network(&[2, 2], &["no", "yes"], scaling);
        assert_eq!(before_the_layers(&model), of_maps, "{scaling:?}");
        (model.preprocessing.offset, model.preprocessing.factor) = (vec![0.0; 2], vec![1.0; 2]);
        assert_eq!(before_the_layers(&model), of_none, "{scaling:?}");
    }
}

#[test]
fn labels_are_integers_where_all_classes_are_written_like_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    for (classes, kind) in [(["-1", "10"], INT64), (["01", "1"], STRING), (["1", "one"], STRING)] {
        write_onnx(&path, &network(&[2, 2], &classes, Scaling::None)).unwrap();
        let graph = Model::decode(&fs::read(&path).unwrap()[..]).unwrap().graph.unwrap();
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == "classes").unwrap();
        assert_eq!(tensor.data_type, kind, "{classes:?}");
    }
}

#[test]
fn layers_are_in_the_order_of_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep.safetensors");
    let model = network(&[2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2], &["no", "yes"], Scaling::None);
    write_safetensors(&path, &model).unwrap();
    assert_eq!(read_safetensors(&path).unwrap(), model);
}

#[test]
fn a_preprocessing_that_contradicts_itself_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (suffix, write, read) in FORMATS {
        let path = dir.path().join(format!("model.{suffix}"));
        let refused = |change: fn(&mut Preprocessing), words: &str| {
            let mut model = network(&[2, 2], &["no", "yes"], Scaling::Standard);
            change(&mut model.preprocessing);
            write(&path, &model).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(words), "{suffix}: {message}");
        };
        refused(
            |of| of.target = Some(Affine::IDENTITY),
            "it must have either classes or a scaling of the target",
        );
        refused(|of| of.classes.clear(), "neither classes nor a scaling");
        refused(|of| of.factor.push(1.0), "the statistics are not as many as the features");
    }
}

#[test]
fn parameters_must_be_as_many_as_the_widths_say() {
    let of = |widths: &[usize], count: usize| {
        let parameters = vec![0.5; count];
        OpenModel::from_parameters(widths, &parameters, preprocessing(&["a", "b"], Scaling::None))
    };
    assert_eq!(of(&[2, 3, 2], 17).unwrap().widths(), [2, 3, 2]);
    assert_eq!(of(&[2, 3, 2], 17).unwrap().parameters(), [0.5; 17]);
    for (widths, count) in [(&[2, 3, 2][..], 16), (&[2, 3, 2], 18), (&[2], 0), (&[usize::MAX, 3], 5)] {
        assert_eq!(of(widths, count), None);
    }
}

#[test]
fn garbage_is_an_error_and_damage_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    for (suffix, write, read) in FORMATS {
        let path = dir.path().join(format!("model.{suffix}"));
        let model = network(&[2, 3, 2], &["a", "b"], Scaling::Standard);
        write(&path, &model).unwrap();
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(read(&path).is_err() || suffix == "onnx", "{suffix} of {length} bytes");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            // Most of it is weights, which may be any number.
            drop(read(&path));
        }
        fs::write(&path, b"This is a letter, and no network.").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains("no network that shamisen can take over"), "{message}");
        assert!(read(&dir.path().join("missing")).unwrap_err().to_string().contains("missing"));
    }
}

/// A foreign file: nodes as (operator, inputs, output), and matrices by name.
fn foreign(nodes: &[(&str, &[&str], &str)], matrices: &[(&str, &[i64])]) -> Vec<u8> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let node = |&(op, inputs, output): &(&str, &[&str], &str)| Node {
        input: owned(inputs),
        output: owned(&[output]),
        name: output.to_owned(),
        op_type: op.to_owned(),
        ..Node::default()
    };
    let tensor = |&(name, dims): &(&str, &[i64])| Tensor {
        dims: dims.to_vec(),
        data_type: FLOAT,
        float_data: (0..dims.iter().product()).map(|at| at as f32 + 0.5).collect(),
        name: name.to_owned(),
        ..Tensor::default()
    };
    let graph = Graph {
        node: nodes.iter().map(node).collect(),
        initializer: matrices.iter().map(tensor).collect(),
        input: vec![ValueInfo { name: "in".to_owned(), kind: None }],
        ..Graph::default()
    };
    Model { graph: Some(graph), ..Model::default() }.encode_to_vec()
}

#[test]
fn networks_of_others_are_read_or_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foreign.onnx");
    let weights: &[(&str, &[i64])] =
        &[("w1", &[2, 3]), ("b1", &[3]), ("w2", &[3, 2]), ("b2", &[2]), ("b3", &[7])];
    let layers: &[(&str, &[&str], &str)] =
        &[("MatMul", &["in", "w1"], "p1"), ("Add", &["b1", "p1"], "s1"), ("Relu", &["s1"], "a1")];
    let last: (&str, &[&str], &str) = ("Gemm", &["a1", "w2", "b2"], "s2");
    let read = |nodes: &[(&str, &[&str], &str)]| {
        fs::write(&path, foreign(nodes, weights)).unwrap();
        read_onnx(&path)
    };
    let model = read(&[layers, &[last, ("Softmax", &["s2"], "out")]].concat()).unwrap();
    assert_eq!(model.widths(), [2, 3, 2]);
    assert_eq!(model.layers[0].weights, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]);
    assert_eq!(model.layers[1].biases, [0.5, 1.5]);
    assert_eq!(model.preprocessing.classes, ["0", "1"]);
    for (nodes, words) in [
        ([layers, &[("Tanh", &["a1"], "t"), last]].concat(), "the operator Tanh of `t`"),
        (vec![("MatMul", &["in", "w1"][..], "a1"), last], "there is no Relu before `s2`"),
        (layers.to_vec(), "Relu follows its last layer"),
        ([layers, &[("Gemm", &["a1", "w2", "b3"], "s2")]].concat(), "2 units, but 7 biases"),
        (
            [layers, &[("Gemm", &["a1", "w1", "b1"], "s2")]].concat(),
            "layer 1 has 3 units, but layer 2 has 2 inputs",
        ),
        ([layers, &[("Gemm", &["a1", "w9"], "s2")]].concat(), "`w9` are not constants"),
        (vec![], "it has no layer with weights"),
    ] {
        let message = read(&nodes).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}
