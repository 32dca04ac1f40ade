"""scikit-learn's conventions."""

from __future__ import annotations

import copy
import pickle
import shutil
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import shamisen
from shamisen._columns import labels

#: Truncation under sharing rounds at random, with an error in the last place of a number with 14 to 20 fractional bits. These checks
#: compare two trainings, or two predictions, with tolerances for floats that are always rounded alike. One that passes is an error
#: (`xfail_strict`).
ROUNDED = {
    "check_estimators_pickle": "compares two predictions to 1e-7; they differ by less than 1e-3",
    "check_fit_idempotent": "compares two trainings to 1e-7; their predictions differ by about 1e-3",
}

#: What compares numbers, where classes are the same.
ROUNDED_NUMBERS = {
    "check_regressor_data_not_an_array": "compares two trainings to 1e-2, of a target up to 300",
    "check_supervised_y_2d": "compares two trainings to 1e-7",
}


def expected_failures(estimator):
    if estimator.backend == "plain":
        return {}
    return ROUNDED | (ROUNDED_NUMBERS if isinstance(estimator, shamisen.MLPRegressor) else {})


@parametrize_with_checks(
    [
        kind(max_iter=60, backend=backend)
        for kind in (shamisen.MLPClassifier, shamisen.MLPRegressor)
        for backend in ("local", "plain")
    ],
    expected_failed_checks=expected_failures,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_two_predictions_differ_by_rounding_alone(blobs, line, tmp_path):
    # What makes check_estimators_pickle fail.
    classifier = shamisen.MLPClassifier((8,), max_iter=5, random_state=0).fit(*blobs)
    classifier.save(tmp_path / "classifier")
    again = shamisen.load(tmp_path / "classifier")
    assert 0.0 < np.abs(classifier.predict_proba(blobs[0]) - again.predict_proba(blobs[0])).max() < 1e-3
    regressor = shamisen.MLPRegressor((8,), max_iter=5, random_state=0).fit(*line)
    regressor.save(tmp_path / "regressor")
    again = shamisen.load(tmp_path / "regressor")
    assert 0.0 < np.abs(regressor.predict(line[0]) - again.predict(line[0])).max() < 1e-2


def test_predictions_of_the_same_rows_agree(blobs):
    X, y = blobs
    classifier = shamisen.MLPClassifier((8,), max_iter=5, random_state=0).fit(X, y)
    probabilities = classifier.predict_proba(X)
    probabilities_again = classifier.predict_proba(X)
    assert (probabilities_again == probabilities).all()
    assert (classifier.predict(X) == classifier.classes_[probabilities.argmax(axis=1)]).all()
    # Other rows of the same shape are predicted anew, and what a caller does to its result stays there.
    other = classifier.predict_proba(X[::-1])
    assert other == pytest.approx(probabilities[::-1], abs=1e-3)
    other[:] = 0.0
    assert classifier.predict_proba(X[::-1]).sum() == pytest.approx(len(X))
    # A new training has new predictions.
    assert np.abs(classifier.fit(X + 1.0, y).predict_proba(X) - probabilities).max() > 0.0


def test_a_grid_search_in_a_pipeline():
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = Pipeline([("scale", StandardScaler()), ("network", shamisen.MLPClassifier(max_iter=8, random_state=0))])
    grid = {"network__hidden_layer_sizes": [(8,), (16,)], "network__learning_rate_init": [0.001, 0.01]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert search.best_score_ > 0.93
    assert search.best_params_["network__learning_rate_init"] == 0.01


def test_cross_validation_and_clone(line):
    X, y = line
    regressor = shamisen.MLPRegressor((8,), max_iter=40, learning_rate_init=0.01, random_state=0)
    assert cross_val_score(clone(regressor), X, y, cv=3).mean() > 0.8
    assert clone(regressor).get_params() == regressor.get_params()
    assert not hasattr(regressor, "n_features_in_")


@pytest.mark.parametrize("table", [pd.DataFrame, lambda data: pl.DataFrame(data), lambda data: pa.table(data)])
def test_tables_with_names(line, table):
    X, y = line
    data = {"age": X[:, 0], "weight": X[:, 1], "dose": X[:, 2]}
    regressor = shamisen.MLPRegressor((8,), max_iter=5, random_state=0).fit(table(data), y)
    assert list(regressor.feature_names_in_) == ["age", "weight", "dose"]
    assert regressor.predict(table(data)) == pytest.approx(regressor.predict(table(data)), abs=0.05)
    other = {"age": X[:, 0], "weight": X[:, 1], "drug": X[:, 2]}
    with pytest.raises(ValueError, match="unseen at fit time:\n- drug"):
        regressor.predict(table(other))


@pytest.mark.parametrize("scaling", ["standard", None])
def test_names_stay_with_a_model(scaling, line, tmp_path):
    X, y = line
    table = pd.DataFrame(X, columns=["age", "weight", "dose"])
    permuted = table[["dose", "age", "weight"]]
    regressor = shamisen.MLPRegressor((8,), max_iter=2, random_state=0, warm_start=True, scaling=scaling).fit(table, y)
    regressor.save(tmp_path / "model")
    known = regressor.reveal().to_sklearn()
    for model in (regressor, shamisen.load(tmp_path / "model"), regressor.reveal().share(), known):
        assert list(model.feature_names_in_) == list(table)
        assert model.predict(table) == pytest.approx(regressor.predict(table), abs=0.05)
        with pytest.raises(ValueError, match="same order as they were in fit"):
            model.predict(permuted)
    with pytest.raises(ValueError, match="same order as they were in fit"):
        regressor.fit(permuted, y)
    regressor.fit(table, y)
    without = shamisen.MLPRegressor((8,), max_iter=2, random_state=0, scaling=scaling).fit(X, y)
    assert not hasattr(without, "feature_names_in_")
    without.save(tmp_path / "without")
    assert not hasattr(shamisen.load(tmp_path / "without"), "feature_names_in_")
    assert not hasattr(without.reveal().to_sklearn(), "feature_names_in_")


def test_warnings_are_of_the_line_that_called(line, recwarn):
    X, y = line
    table = pd.DataFrame(X, columns=["age", "weight", "dose"])
    regressor = shamisen.MLPRegressor((4,), max_iter=1, batch_size=1000, random_state=0, warm_start=True, backend="plain")
    warnings.simplefilter("always")
    regressor.fit(table, y.reshape(-1, 1))
    regressor.fit(X, y)
    regressor.predict(X)
    regressor.score(X, y)
    classifier = shamisen.MLPClassifier((4,), max_iter=1, random_state=0, backend="plain").fit(table, y > 40.0)
    classifier.predict_log_proba(X)
    said = [str(warning.message) for warning in recwarn]
    for words, times in [("column-vector y", 1), ("it is clipped", 2), ("valid feature names", 4), ("converged", 3)]:
        assert sum(words in message for message in said) == times, said
    assert {warning.filename for warning in recwarn} == {__file__}


def test_classes_of_any_kind(blobs):
    X, y = blobs
    for labels in (y, np.unique(y, return_inverse=True)[1] * 10, pd.Series(y, dtype="category"), pl.Series(list(y))):
        classifier = shamisen.MLPClassifier((8,), max_iter=60, learning_rate_init=0.02, random_state=0).fit(X, labels)
        assert set(classifier.predict(X)) <= set(np.unique(np.asarray(labels)))
        assert classifier.score(X, labels) > 0.9


def test_a_copy_writes_nothing(blobs, home):
    X, y = blobs
    classifier = shamisen.MLPClassifier((8,), max_iter=3, random_state=0).fit(X, y)
    copied = copy.deepcopy(classifier)
    assert (copied.predict_proba(X) == classifier.predict_proba(X)).all()
    copied.fit(X, y == "low")
    assert list(classifier.classes_) == ["low", "middle", "top"] and classifier.predict_proba(X).shape == (120, 3)
    assert not home.exists()


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["-1", "10", "2"], np.array([-1, 10, 2])),
        (["0.5", "2.0"], np.array([0.5, 2.0])),
        (["False", "True"], np.array([False, True])),
        (["01", "1"], np.array(["01", "1"])),
        (["1_000", "2"], np.array(["1_000", "2"])),
        (["inf", "nan"], np.array(["inf", "nan"])),
        (["12345678901234567890", "2"], np.array(["12345678901234567890", "2"])),
    ],
)
def test_names_of_classes(names, classes):
    found = labels(names)
    assert found.dtype == classes.dtype and list(found) == list(classes)


def test_truth_values_are_kept(blobs, tmp_path):
    X, y = blobs
    classifier = shamisen.MLPClassifier((8,), max_iter=60, learning_rate_init=0.02, random_state=0).fit(X, y == "low")
    classifier.save(tmp_path / "model")
    again = shamisen.load(tmp_path / "model")
    assert again.classes_.dtype == bool and again.score(X, y == "low") == again.score(X, (y == "low").astype(int)) > 0.9


def test_labels_of_another_kind_have_no_score(blobs):
    X, y = blobs
    classifier = shamisen.MLPClassifier((8,), max_iter=2, random_state=0, warm_start=True).fit(X, y)
    numbers = np.unique(y, return_inverse=True)[1]
    for use in (classifier.score, classifier.fit):
        with pytest.raises(ValueError, match="y holds numbers, but the classes of MLPClassifier are text, such as 'low'"):
            use(X, numbers)
        with pytest.raises(ValueError, match="y holds truth values, but the classes of MLPClassifier are text"):
            use(X, y == "low")
    classifier.set_params(warm_start=False).fit(X, numbers)
    with pytest.raises(ValueError, match="y holds text, but the classes of MLPClassifier are numbers, such as 0"):
        classifier.score(X, y.astype(object))


def test_a_pickle_has_the_place_of_the_shares_and_no_weights(blobs, home):
    X, y = blobs
    classifier = shamisen.MLPClassifier((50,), max_iter=3, random_state=0).fit(X, y)
    assert not home.exists()
    pickled = pickle.dumps(classifier)
    weights = classifier.reveal().coefs[0]
    assert len(pickled) < weights.nbytes + 3000
    assert str(home).encode() in pickled
    (directory,) = (home / "models").iterdir()
    assert {path.name for path in directory.iterdir()} == {
        "model.json",
        "preprocessing.json",
        "party0.share",
        "party1.share",
        "party2.share",
    }
    # No bit pattern of a weight, as float or as fixed point, is in the pickle or in a single share.
    shares = [(directory / f"party{party}.share").read_bytes() for party in range(3)]
    for weight in weights.ravel()[:50]:
        fixed = int(round(weight * 2**20)).to_bytes(8, "little", signed=True)
        assert all(fixed not in text and np.float64(weight).tobytes() not in text for text in [pickled, *shares])
    again = pickle.loads(pickled)
    assert again.predict_proba(X) == pytest.approx(classifier.predict_proba(X), abs=1e-3)
    assert len(list((home / "models").iterdir())) == 1
    # Another model in its place is none.
    directory.rename(home / "moved")
    shamisen.MLPClassifier((50,), max_iter=1, random_state=0).fit(X, y).save(directory)
    with pytest.raises(ValueError, match="has another model than the one that was pickled, whose id is [0-9a-f]{32}"):
        pickle.loads(pickled).predict(X)
    shutil.rmtree(directory)
    (home / "moved").rename(directory)
    (directory / "party1.share").unlink()
    with pytest.raises((FileNotFoundError, ValueError), match="party1.share is missing"):
        pickle.loads(pickled).predict(X)
