"""Models that are kept, opened, exported and imported."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import shamisen
from shamisen._columns import Columns, labels


def test_a_kept_model_is_the_same(line, tmp_path):
    X, y = line
    regressor = shamisen.MLPRegressor((8,), max_iter=5, random_state=0).fit(X, y)
    regressor.save(tmp_path / "model")
    again = shamisen.load(tmp_path / "model")
    assert isinstance(again, shamisen.MLPRegressor) and again.hidden_layer_sizes == (8,)
    # The shares are the same words; what differs is rounding.
    assert (again.reveal().parameters() == regressor.reveal().parameters()).all()
    assert again.predict(X) == pytest.approx(regressor.predict(X), abs=0.02)
    with pytest.raises(FileExistsError, match="exists already: name a new directory"):
        regressor.save(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="is no directory"):
        shamisen.load(tmp_path / "other")


def test_what_the_program_says_of_columns_is_kept(tmp_path):
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"ward": list("ABC") * 20, "age": generator.normal(50.0, 10.0, 60)})
    rows["stay"] = rows["age"] / 10.0 + generator.normal(size=60)
    rows.loc[3, "age"] = None
    rows.to_csv(tmp_path / "rows.csv", index=False)
    about = ["--target", "stay", "--task", "regression", "--categorical", "ward", "--missing", "mean", "--hidden", "4"]
    flags = ["--data", tmp_path / "rows.csv", "--model", tmp_path / "first", *about]
    subprocess.run([os.environ["SHAMISEN"], "train", *flags], check=True, capture_output=True)
    first = shamisen.load(tmp_path / "first")
    assert list(first.feature_names_in_) == ["ward=A", "ward=B", "ward=C", "age"]
    first.save(tmp_path / "second")
    first.reveal().to_safetensors(tmp_path / "model.safetensors")
    shamisen.RevealedModel.from_safetensors(tmp_path / "model.safetensors").share().save(tmp_path / "third")
    kept = [json.loads((tmp_path / name / "preprocessing.json").read_text()) for name in ("first", "second", "third")]
    assert kept[0]["content"]["target_name"] == "stay" and len(kept[0]["content"]["columns"]) == 2
    assert kept[1] == kept[2] == kept[0]
    flags = ["--data", tmp_path / "rows.csv", "--output", tmp_path / "predictions.csv"]
    subprocess.run([os.environ["SHAMISEN"], "predict", "--model", tmp_path / "second", *flags], check=True, capture_output=True)
    predicted = pd.read_csv(tmp_path / "predictions.csv").iloc[:, -1]
    filled = pd.get_dummies(rows.drop(columns="stay"), columns=["ward"], prefix_sep="=").astype(float)
    filled = filled.fillna(filled["age"].mean())[list(first.feature_names_in_)]
    assert predicted.to_numpy()[4:] == pytest.approx(first.predict(filled)[4:], abs=0.05)
    # Other columns are described anew.
    revealed = first.reveal()
    revealed.columns.names = list("abcd")
    revealed.share().save(tmp_path / "renamed")
    renamed = json.loads((tmp_path / "renamed" / "preprocessing.json").read_text())["content"]
    assert renamed["feature_names"] == list("abcd") and "columns" not in renamed


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """A table with categories, dates and missing values, and a model that the program has trained on it."""
    directory = tmp_path_factory.mktemp("visits")
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"ward": list("ABC") * 40, "age": generator.normal(50.0, 10.0, 120), "room": [1, 2] * 60})
    days = pd.to_datetime("2026-01-01") + pd.to_timedelta(generator.integers(0, 300, 120), unit="D")
    rows["admitted"], rows["born"] = days.strftime("%d.%m.%Y"), "1980-0" + pd.Series(generator.integers(1, 9, 120).astype(str)) + "-01"
    rows["stay"] = rows["age"] / 10.0 + (rows["ward"] == "B") * 5.0 + generator.normal(size=120)
    rows.loc[3, "age"] = None
    rows.loc[5, "ward"] = None
    rows.to_csv(directory / "rows.csv", index=False)
    rows["born"] = pd.to_datetime(rows["born"])
    about = ["--target", "stay", "--task", "regression", "--categorical", "ward", "--categorical", "room", "--hidden", "4"]
    about += ["--date", "born", "--date", "admitted=%d.%m.%Y", "--missing", "age=mean", "--missing", "ward=mean"]
    flags = ["--data", directory / "rows.csv", "--model", directory / "model", "--epochs", "20", "--learning-rate", "0.02", *about]
    subprocess.run([os.environ["SHAMISEN"], "train", *flags], check=True, capture_output=True)
    flags = ["--data", directory / "rows.csv", "--output", directory / "predictions.csv"]
    subprocess.run([os.environ["SHAMISEN"], "predict", "--model", directory / "model", *flags], check=True, capture_output=True)
    return rows.drop(columns="stay"), directory


@pytest.mark.parametrize("table", [lambda rows: rows, pl.from_pandas, pa.Table.from_pandas])
def test_columns_are_encoded_as_the_program_does(visits, table):
    rows, directory = visits
    expected = pd.read_csv(directory / "predictions.csv").iloc[:, 0].to_numpy()
    model = shamisen.load(directory / "model")
    assert list(model.feature_names_in_) == ["ward=A", "ward=B", "ward=C", "age", "room=1", "room=2", "admitted", "born"]
    assert model.predict(table(rows)) == pytest.approx(expected, abs=0.05)
    # In any order, and also of a network in the clear that was shared again.
    shared = model.reveal().share()
    assert shared.predict(table(rows[rows.columns[::-1]])) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("ward", "D", "X, row 7, column 'ward': the category 'D' is unknown to the model, which has A, B, C"),
        ("room", None, "X, row 7, column 'room': there is no value, and the model has no rule for missing ones"),
        ("admitted", "2026-03-01", "X, row 7, column 'admitted': '2026-03-01' is no date of the format %d.%m.%Y"),
        ("age", "old", "could not convert string to float: 'old' in column 'age' of X"),
        ("born", None, "Input X contains NaN"),
    ],
)
def test_cells_that_cannot_be_encoded(visits, column, value, words):
    rows, directory = visits
    wrong = rows.astype({column: object})
    wrong.loc[7, column] = value
    with pytest.raises(ValueError, match=words):
        shamisen.load(directory / "model").predict(wrong)


def test_other_columns_than_those_that_are_encoded(visits):
    rows, directory = visits
    model = shamisen.load(directory / "model")
    with pytest.raises(ValueError, match="unseen at fit time:\n- stay"):
        model.predict(rows.assign(stay=1.0))
    with pytest.raises(ValueError, match="yet now missing:\n- age"):
        model.predict(rows.drop(columns="age"))


def test_a_damaged_share_is_refused(blobs, tmp_path):
    X, y = blobs
    shamisen.MLPClassifier((8,), max_iter=2, random_state=0).fit(X, y).save(tmp_path / "model")
    path = tmp_path / "model" / "party2.share"
    words = bytearray(path.read_bytes())
    words[len(words) // 2] ^= 1
    path.write_bytes(words)
    with pytest.raises(ValueError, match=r"party2.share is damaged"):
        shamisen.load(tmp_path / "model")


@pytest.mark.parametrize("scaling", ["standard", None])
def test_scikit_learn_gets_the_same_classifier(scaling):
    for load in (load_digits, load_breast_cancer):
        X, y = load(return_X_y=True)
        X = X / np.abs(X).max(axis=0).clip(1e-9) if scaling is None else X
        classifier = shamisen.MLPClassifier((16,), max_iter=8, random_state=0, scaling=scaling).fit(X, y)
        known = classifier.reveal().to_sklearn()
        assert (scaling is None) == isinstance(known, MLPClassifier)
        assert known.predict_proba(X) == pytest.approx(classifier.predict_proba(X), abs=2e-3)
        assert (known.predict(X) == classifier.predict(X)).mean() > 0.998
        back = shamisen.RevealedModel.from_sklearn(known).share()
        assert back.predict_proba(X[:100]) == pytest.approx(classifier.predict_proba(X[:100]), abs=2e-3)


@pytest.mark.parametrize("names", [["10", "2", "-1"], ["top", "low", "middle"], ["yes", "no"]])
def test_classes_in_any_order(names, blobs):
    X, _ = blobs
    places = np.arange(len(X)) % 3 % len(names)
    revealed = shamisen.MLPClassifier((8,), max_iter=60, learning_rate_init=0.02, random_state=0).fit(X, places).reveal()
    revealed.columns.classes = labels(names)
    shared = revealed.share()
    y = shared.classes_[places]
    known = revealed.to_sklearn()
    assert list(known.classes_) == sorted(shared.classes_)
    assert (known.predict(X) == shared.predict(X)).mean() > 0.98 and shared.score(X, y) > 0.6
    columns = [list(shared.classes_).index(label) for label in known.classes_]
    assert known.predict_proba(X) == pytest.approx(shared.predict_proba(X)[:, columns], abs=2e-3)
    # And further training.
    before = shared.score(X, y)
    assert shared.set_params(warm_start=True, max_iter=3).fit(X, y).score(X, y) >= before - 0.02


def test_scikit_learn_gets_the_same_regressor(line):
    X, y = line
    for scaling in ("standard", None):
        regressor = shamisen.MLPRegressor((8,), max_iter=20, random_state=0, scaling=scaling).fit(X, y)
        known = regressor.reveal().to_sklearn()
        assert known.predict(X) == pytest.approx(regressor.predict(X), abs=0.02)


def test_a_network_of_scikit_learn_is_shared(blobs, line):
    X, y = blobs
    for labels in (y, y == "low"):
        known = MLPClassifier((8,), max_iter=30, random_state=0).fit(X, labels)
        shared = shamisen.RevealedModel.from_sklearn(known).share()
        assert shared.predict_proba(X) == pytest.approx(known.predict_proba(X), abs=2e-3)
        assert list(shared.classes_) == list(known.classes_)
    X, y = line
    scaled = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0)).fit(X, y / 40.0)
    shared = shamisen.RevealedModel.from_sklearn(scaled).share()
    assert shared.predict(X) == pytest.approx(scaled.predict(X), abs=2e-3)
    # And further training.
    shared.set_params(warm_start=True, max_iter=10)
    before = shared.score(X, y / 40.0)
    assert shared.fit(X, y / 40.0).score(X, y / 40.0) > before


def test_a_scaler_of_scikit_learn_clips_nothing(line):
    X, y = line
    # A row that is 50 deviations away, which trainings here would clip at ten.
    far = np.array([[50.0, 0.0, 0.0], [-20.0, 1.0, 0.0]])
    scaled = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=30, random_state=0)).fit(X, y / 40.0)
    shared = shamisen.RevealedModel.from_sklearn(scaled).share()
    assert shared.predict(far) == pytest.approx(scaled.predict(far), abs=0.02)
    with pytest.raises(ValueError, match="beyond ±512, which leaves the range of the fixed-point numbers"):
        shared.predict([[1000.0, 0.0, 0.0]])
    # The clip of a training goes with its network, there and back.
    fitted = shamisen.MLPRegressor((8,), max_iter=30, random_state=0).fit(X, y)
    back = shamisen.RevealedModel.from_sklearn(fitted.reveal().to_sklearn())
    assert back.columns.standard
    assert back.share().predict(far) == pytest.approx(fitted.predict(far), abs=0.05)


def test_a_target_that_scikit_learn_scales(line):
    X, y = line
    network = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), max_iter=50, random_state=0))
    known = TransformedTargetRegressor(network, transformer=StandardScaler()).fit(X, 1000.0 * y)
    shared = shamisen.RevealedModel.from_sklearn(known).share()
    assert shared.predict(X) == pytest.approx(known.predict(X), abs=20.0)
    # One that is not scaled, and therefore has large weights.
    large = MLPRegressor(hidden_layer_sizes=(8, 8), learning_rate_init=1.0, max_iter=200, random_state=0).fit(X, 4000.0 * y)
    assert max(np.abs(part).max() for part in large.coefs_ + large.intercepts_) > 16.0
    shared = shamisen.RevealedModel.from_sklearn(large).share()
    assert shared.predict(X) == pytest.approx(large.predict(X), rel=2e-3)
    with pytest.raises(ValueError, match="the transformer of the target is FunctionTransformer: only a StandardScaler"):
        shamisen.RevealedModel.from_sklearn(TransformedTargetRegressor(network, func=np.log, inverse_func=np.exp).fit(X, y))


def test_networks_that_cannot_be_shared(blobs):
    X, y = blobs
    tanh = MLPClassifier((4,), activation="tanh", max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="only networks with 'relu' can be shared"):
        shamisen.RevealedModel.from_sklearn(tanh)
    labels = np.column_stack([y == "low", y == "top"])
    for count in (2, 3):
        several = MLPClassifier((4,), max_iter=2).fit(X, np.column_stack([labels, y == "middle"])[:, :count])
        with pytest.raises(ValueError, match="a network for several labels at once cannot be shared"):
            shamisen.RevealedModel.from_sklearn(several)
    exponential = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(X, np.arange(len(X)))
    exponential.out_activation_ = "exp"
    with pytest.raises(ValueError, match="the activation of the outputs is 'exp': only networks with 'identity'"):
        shamisen.RevealedModel.from_sklearn(exponential)
    with pytest.raises(ValueError, match="has no weights: fit it first"):
        shamisen.RevealedModel.from_sklearn(MLPClassifier())
    large = MLPClassifier((4,), max_iter=2).fit(X, y)
    large.coefs_[0][0, 0] = 20.0
    with pytest.raises(ValueError, match="leaves the fixed-point range"):
        shamisen.RevealedModel.from_sklearn(large).share()


def test_revealed_and_shared_again_is_the_same(blobs):
    X, y = blobs
    revealed = shamisen.MLPClassifier((8,), max_iter=5, random_state=0).fit(X, y).reveal()
    again = revealed.share().reveal()
    assert (again.parameters() == revealed.parameters()).all()
    assert again.layers == revealed.layers == [4, 8, 3]


@pytest.mark.parametrize("scaling", ["standard", None])
def test_onnx_runtime_gets_the_same_classifier(scaling, tmp_path):
    import onnx
    import onnxruntime

    for load in (load_digits, load_breast_cancer):
        X, y = load(return_X_y=True)
        X = X / np.abs(X).max(axis=0).clip(1e-9) if scaling is None else X
        labels = y if load is load_digits else np.array(["malignant", "benign"])[y]
        classifier = shamisen.MLPClassifier(
            (16,), max_iter=8, learning_rate_init=0.01, random_state=0, scaling=scaling
        ).fit(X, labels)
        classifier.reveal().to_onnx(tmp_path / "model.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        found, probabilities = session.run(["label", "probabilities"], {"X": X.astype(np.float32)})
        assert probabilities == pytest.approx(classifier.predict_proba(X), abs=2e-3)
        assert (found == classifier.predict(X)).mean() > 0.998
        # Taken over again, it is the same network.
        again = shamisen.RevealedModel.from_onnx(tmp_path / "model.onnx")
        assert (again.parameters() == classifier.reveal().parameters()).all()
        assert list(again.columns.classes) == list(classifier.classes_)
        assert again.share().predict_proba(X) == pytest.approx(classifier.predict_proba(X), abs=2e-3)


@pytest.mark.parametrize("scaling", ["min-max", "none"])
def test_maps_without_a_clip_are_exported(scaling, blobs, tmp_path):
    import onnxruntime

    X, y = blobs
    offset, factor = X.min(axis=0), 1.0 / np.ptp(X, axis=0)
    fitted = shamisen.MLPClassifier((8,), max_iter=5, random_state=0, scaling=None).fit((X - offset) * factor, y)
    revealed = fitted.reveal()
    revealed.columns = Columns(scaling, offset, factor, list("abcd"), classes=fitted.classes_)
    revealed.share().save(tmp_path / "model")
    again = shamisen.load(tmp_path / "model")
    expected = fitted.predict_proba((X - offset) * factor)
    assert again.predict_proba(pd.DataFrame(X, columns=list("abcd"))) == pytest.approx(expected, abs=2e-3)
    assert again.reveal().columns.scaling == scaling
    again.reveal().to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    _, probabilities = session.run(["label", "probabilities"], {"X": X.astype(np.float32)})
    assert probabilities == pytest.approx(expected, abs=2e-3)
    known = again.reveal().to_sklearn()
    assert [name for name, _ in known.steps] == ["scale", "network"]
    assert known.predict_proba(pd.DataFrame(X, columns=list("abcd"))) == pytest.approx(expected, abs=2e-3)


def test_onnx_runtime_gets_the_same_regressor(line, tmp_path):
    import onnxruntime

    X, y = line
    regressor = shamisen.MLPRegressor((8,), max_iter=20, random_state=0).fit(X, y)
    regressor.reveal().to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["variable"], {"X": X.astype(np.float32)})
    assert found.ravel() == pytest.approx(regressor.predict(X), abs=0.02)
    again = shamisen.RevealedModel.from_onnx(tmp_path / "model.onnx").share()
    assert again.predict(X) == pytest.approx(regressor.predict(X), abs=0.02)


def test_safetensors(blobs, tmp_path):
    from safetensors.numpy import load_file

    X, y = blobs
    revealed = shamisen.MLPClassifier((8, 5), max_iter=3, random_state=0).fit(X, y).reveal()
    revealed.to_safetensors(tmp_path / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "layers.0.weight": (8, 4),
        "layers.0.bias": (8,),
        "layers.1.weight": (5, 8),
        "layers.1.bias": (5,),
        "layers.2.weight": (3, 5),
        "layers.2.bias": (3,),
    }
    assert (tensors["layers.1.weight"].T == revealed.coefs[1]).all()
    again = shamisen.RevealedModel.from_safetensors(tmp_path / "model.safetensors")
    assert (again.parameters() == revealed.parameters()).all()
    assert list(again.columns.classes) == ["low", "middle", "top"]
    with pytest.raises(ValueError, match="is no network that shamisen can take over: it is no safetensors file"):
        (tmp_path / "letter").write_text("A letter.")
        shamisen.RevealedModel.from_safetensors(tmp_path / "letter")
    with pytest.raises(FileNotFoundError, match="missing"):
        shamisen.RevealedModel.from_onnx(tmp_path / "missing.onnx")


def test_an_onnx_network_of_others_is_taken_over(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    shapes = {"w1": (3, 4), "b1": (4,), "w2": (2, 4), "b2": (2,)}
    weights = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("MatMul", ["in", "w1"], ["p1"]),
        helper.make_node("Add", ["p1", "b1"], ["s1"]),
        helper.make_node("Relu", ["s1"], ["a1"]),
        helper.make_node("Gemm", ["a1", "w2", "b2"], ["s2"], transB=1),
        helper.make_node("Softmax", ["s2"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    shared = shamisen.RevealedModel.from_onnx(tmp_path / "other.onnx").share()
    X = generator.normal(size=(50, 3))
    logits = np.maximum(X @ weights["w1"] + weights["b1"], 0.0) @ weights["w2"].T + weights["b2"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert shared.predict_proba(X) == pytest.approx(expected, abs=2e-3)
