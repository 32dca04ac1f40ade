"""Models that are kept, opened, exported and imported."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import shamisen


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


def test_networks_that_cannot_be_shared(blobs):
    X, y = blobs
    tanh = MLPClassifier((4,), activation="tanh", max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="only networks with 'relu' can be shared"):
        shamisen.RevealedModel.from_sklearn(tanh)
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
