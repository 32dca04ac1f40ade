"""Estimates against trainings."""

from __future__ import annotations

import numpy as np
import pytest

import shamisen


@pytest.mark.parametrize(
    ("rows", "features", "classes", "estimator"),
    [
        (300, 8, 3, shamisen.MLPClassifier((16,), batch_size=32, max_iter=5)),
        (500, 20, 2, shamisen.MLPClassifier((100, 50), batch_size=128, max_iter=3, n_threads=2)),
        (257, 8, 5, shamisen.MLPClassifier((), solver="sgd", max_iter=4)),
        (257, 8, 2, shamisen.MLPClassifier((9, 9, 9), refresh=8, batch_size=16, max_iter=4)),
        (400, 30, 4, shamisen.MLPClassifier((64,), solver="sgd", momentum=0.0, learning_rate_init=0.01, max_iter=3)),
    ],
)
def test_rounds_and_bytes_are_those_of_the_training(rows, features, classes, estimator):
    X = np.random.default_rng(0).normal(size=(rows, features))
    expected = shamisen.estimate(X.shape, estimator, n_classes=classes)
    estimator.set_params(tol=0.0, n_iter_no_change=100).fit(X, np.arange(rows) % classes)
    assert expected.batches == estimator.n_iter_ * -(-rows // min(estimator.batch_size if estimator.batch_size != "auto" else 200, rows))
    assert sum(expected.bytes_sent) == estimator.cost_["bytes_sent"]
    assert expected.rounds == estimator.cost_["rounds"]
    assert 0 < expected.seconds < expected.seconds_lan < expected.seconds_wan
    assert "mini-batches" in str(expected)


def test_what_a_training_refuses_is_refused():
    with pytest.raises(ValueError, match="a layer of 100000 units is too wide"):
        shamisen.estimate((100, 5), shamisen.MLPClassifier((100_000,)))
    with pytest.raises(ValueError, match="X_shape must be"):
        shamisen.estimate((0, 5))
