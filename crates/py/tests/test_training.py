"""Trainings under sharing against scikit-learn, and against the float twin."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import shamisen

SEEDS = range(3)


def parts(load, seed):
    X, y = load(return_X_y=True)
    return train_test_split(X, y, random_state=seed, stratify=y if len(np.unique(y)) < 20 else None)


@pytest.mark.parametrize(("load", "epochs"), [(load_digits, 20), (load_breast_cancer, 50)])
def test_classes_are_predicted_as_well_as_by_scikit_learn(load, epochs):
    ours, theirs = [], []
    for seed in SEEDS:
        X_train, X_test, y_train, y_test = parts(load, seed)
        settings = {"hidden_layer_sizes": (32,), "batch_size": 32, "max_iter": epochs, "random_state": seed}
        ours.append(shamisen.MLPClassifier(**settings).fit(X_train, y_train).score(X_test, y_test))
        known = make_pipeline(StandardScaler(), MLPClassifier(**settings))
        theirs.append(known.fit(X_train, y_train).score(X_test, y_test))
    assert np.mean(ours) > np.mean(theirs) - 0.01, (ours, theirs)


def test_numbers_are_predicted_as_well_as_by_scikit_learn():
    ours, theirs = [], []
    for seed in SEEDS:
        X_train, X_test, y_train, y_test = parts(load_diabetes, seed)
        settings = {"hidden_layer_sizes": (16,), "batch_size": 32, "max_iter": 100, "random_state": seed}
        ours.append(shamisen.MLPRegressor(**settings).fit(X_train, y_train).score(X_test, y_test))
        known = make_pipeline(StandardScaler(), MLPRegressor(**settings))
        known = TransformedTargetRegressor(known, transformer=StandardScaler())
        theirs.append(known.fit(X_train, y_train).score(X_test, y_test))
    assert np.mean(ours) > np.mean(theirs) - 0.03, (ours, theirs)


@pytest.mark.parametrize("settings", [{}, {"solver": "sgd", "learning_rate_init": 0.05}, {"refresh": 4}])
def test_the_parties_follow_the_twin(blobs, settings):
    X, y = blobs
    fits = [
        shamisen.MLPClassifier((8,), batch_size=16, max_iter=6, random_state=3, backend=backend, **settings).fit(X, y)
        for backend in ("local", "plain")
    ]
    secure, plain = fits
    assert secure.loss_curve_ == pytest.approx(plain.loss_curve_, abs=0.02)
    assert secure.predict_proba(X) == pytest.approx(plain.predict_proba(X), abs=0.03)
    assert secure.cost_["rounds"] > 48 * 30 and secure.cost_["bytes_sent"] > 0
    assert plain.cost_ is None


def test_a_training_ends_when_its_loss_stays(line):
    X, y = line
    regressor = shamisen.MLPRegressor((8,), max_iter=200, tol=0.5, n_iter_no_change=3, random_state=0).fit(X, y)
    # The first epoch is better than none, and three more may be no better; the next one ends it.
    assert regressor.n_iter_ == 5
    assert regressor.best_loss_ == min(regressor.loss_curve_)


@pytest.mark.parametrize("backend", ["local", "plain"])
def test_early_stopping_keeps_the_best_network(blobs, backend):
    X, y = blobs
    classifier = shamisen.MLPClassifier(
        (8,),
        early_stopping=True,
        validation_fraction=0.2,
        learning_rate_init=0.02,
        max_iter=60,
        n_iter_no_change=8,
        random_state=1,
        backend=backend,
    ).fit(X, y)
    scores = classifier.validation_scores_
    assert len(scores) == classifier.n_iter_ == len(classifier.loss_curve_)
    assert classifier.best_validation_score_ == max(scores)
    assert classifier.best_loss_ is None
    assert classifier.score(X, y) > 0.9


@pytest.mark.parametrize(
    ("rows", "fraction", "expected"),
    [
        # Of 40 classes with 5 rows each a tenth is half a row each.
        ([5] * 40, 0.1, 20),
        ([100, 10, 1], 0.1, 12),
        ([30, 20, 10], 0.25, 15),
        ([3, 3], 0.9, 4),
    ],
)
def test_as_many_rows_are_held_out_as_the_fraction_says(rows, fraction, expected):
    classes = np.repeat(np.arange(len(rows)), rows)
    targets = np.eye(len(rows))[classes]
    classifier = shamisen.MLPClassifier(early_stopping=True, validation_fraction=fraction)
    held = classifier._hold_out(targets, seed=1)
    assert held.sum() == expected
    parts = np.array(rows) * fraction
    of_each = targets[held].sum(axis=0)
    assert (of_each >= np.floor(parts)).all() and (of_each <= np.floor(parts) + 1).all() and (of_each < rows).all()


@pytest.mark.parametrize("backend", ["local", "plain"])
def test_a_warm_start_goes_on(line, backend):
    X, y = line
    regressor = shamisen.MLPRegressor((8,), max_iter=15, warm_start=True, random_state=0, backend=backend)
    first = regressor.fit(X, y).loss_curve_
    second = regressor.fit(X, y).loss_curve_
    assert second[0] < 1.1 * first[-1] and second[-1] < first[-1]
    regressor.set_params(hidden_layer_sizes=(9,))
    with pytest.raises(ValueError, match="warm_start=True goes on with the network"):
        regressor.fit(X, y)


@pytest.mark.parametrize(("first", "second"), [("plain", "local"), ("local", "plain")])
def test_a_warm_start_goes_on_with_another_backend(first, second, line):
    X, y = line
    regressor = shamisen.MLPRegressor((8,), max_iter=15, warm_start=True, random_state=0, backend=first)
    before = regressor.fit(X, y).loss_curve_
    after = regressor.set_params(backend=second).fit(X, y).loss_curve_
    assert after[0] < 1.1 * before[-1] and after[-1] < before[-1]


def test_numbers_of_any_magnitude_are_learnt(line):
    X, y = line
    settings = {"max_iter": 40, "learning_rate_init": 0.02, "random_state": 0, "backend": "plain"}
    expected = shamisen.MLPRegressor((8,), **settings).fit(X, y)
    assert expected.score(X, y) > 0.9
    units = 2.0 ** np.array([700, -560, 1000])
    for unit in 2.0 ** np.array([700.0, -560.0]):
        regressor = shamisen.MLPRegressor((8,), **settings).fit(X * units, y * unit)
        assert regressor.predict(X * units) / unit == pytest.approx(expected.predict(X), rel=1e-6)
        assert regressor.score(X * units, y * unit) == pytest.approx(expected.score(X, y), abs=1e-6)
    # What is constant, or too small for a finite factor, says nothing.
    columns = np.column_stack([X[:, 0], np.full(len(X), 0.1), np.where(X[:, 0] > 0.0, 5e-324, 0.0)])
    fitted = shamisen.MLPRegressor((8,), **{**settings, "max_iter": 1}).fit(columns, y)
    assert (fitted.reveal().columns.factor == 0.0).tolist() == [False, True, True]


def test_no_hidden_layer_is_linear_regression(line):
    X, y = line
    regressor = shamisen.MLPRegressor((), max_iter=100, learning_rate_init=0.02, alpha=0.0, random_state=0).fit(X, y)
    design = np.column_stack([X, np.ones(len(X))])
    best = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    assert regressor.predict(X) == pytest.approx(best, abs=0.5)


def test_a_wild_training_stops_with_a_sentence(line):
    X, y = line
    wild = shamisen.MLPRegressor((8, 8), solver="sgd", learning_rate_init=1.0, max_iter=50, random_state=0)
    with pytest.raises(ArithmeticError, match="left the range of the fixed-point numbers in epoch(.|\n)*learning_rate_init"):
        wild.fit(X, y)


def test_progress_is_a_line_for_each_epoch_off_a_terminal(blobs, capsys):
    X, y = blobs
    shamisen.MLPClassifier((4,), max_iter=3, verbose=True, random_state=0).fit(X, y)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]


def test_progress_is_a_bar_on_a_terminal():
    import io

    from shamisen._progress import Progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    progress = Progress(2, terminal)
    progress(1, 3, 5, 0.5)
    progress(2, 5, 5, 0.25)
    progress.close()
    shown = terminal.getvalue().split("\r")
    assert "epoch 1/2:  30%|██████" in shown[1] and "3/10" in shown[1]
    assert "epoch 2/2: 100%|████████████████████| 10/10" in shown[-1] and "loss=0.25" in shown[-1]
