"""Trainings under sharing against scikit-learn, and against the float twin."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import shamisen

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


def test_scores_are_as_good_as_those_of_scikit_learn():
    command = [sys.executable, SCRIPTS / "compare_scores.py", "--seeds", "3", "digits", "breast-cancer", "diabetes"]
    compared = subprocess.run(command, capture_output=True, text=True)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert [line.split(" | ")[0] for line in compared.stdout.splitlines()[2:]] == ["| digits", "| breast-cancer", "| diabetes"]


def test_lower_scores_than_those_of_scikit_learn_are_an_error(tmp_path):
    # As the script, with bounds that no training meets.
    script = (SCRIPTS / "compare_scores.py").read_text()
    (tmp_path / "compare_scores.py").write_text(script.replace('"R2": 0.03', '"R2": -1.0'))
    command = [sys.executable, tmp_path / "compare_scores.py", "--seeds", "1", "diabetes"]
    compared = subprocess.run(command, capture_output=True, text=True)
    assert compared.returncode == 1 and "compare_scores: diabetes: R2 is " in compared.stderr, compared.stderr


def test_onnx_runtime_has_the_classes_of_secure_prediction(tmp_path):
    X, y = load_digits(return_X_y=True)
    for name, count, values in [("train", 1400, slice(0, 1400)), ("t10k", 397, slice(1400, None))]:
        images, labels = X[values].astype(np.uint8).tobytes(), y[values].astype(np.uint8).tobytes()
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(np.array([0x803, count, 8, 8], dtype=">u4").tobytes() + images)
        with gzip.open(tmp_path / f"{name}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(np.array([0x801, count], dtype=">u4").tobytes() + labels)
    command = [sys.executable, SCRIPTS / "compare_onnx.py", tmp_path, "--hidden", "32", "--epochs", "10", "--batch-size", "32"]
    compared = subprocess.run(command, capture_output=True, text=True)
    # One of so few images is more than is allowed of ten thousand.
    assert compared.returncode == 0 or "other classes         1," in compared.stdout, compared.stdout + compared.stderr
    assert "test images           397" in compared.stdout and "NOT within rounding" not in compared.stdout
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    compared = subprocess.run(command, capture_output=True, text=True)
    assert "has no t10k-images-idx3-ubyte: name the directory" in compared.stderr, compared.stderr


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
    for backend in ("local", "plain"):
        classifier = shamisen.MLPClassifier((4,), batch_size=7, max_iter=3, verbose=True, random_state=0, backend=backend)
        losses = classifier.fit(X, y).loss_curve_
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(",")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
        assert [float(line.split(" = ")[1]) for line in lines] == pytest.approx(losses, abs=1e-6)


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
