"""What is refused, and in which words."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import shamisen
from shamisen import _validation

X = np.arange(24.0).reshape(12, 2)
CLASSES = np.arange(12) % 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"activation": "tanh"}, "activation='tanh' is not available in MLPClassifier: use 'relu'"),
        ({"solver": "lbfgs"}, "solver='lbfgs' is not available in MLPClassifier: use 'adam' or 'sgd'"),
        ({"learning_rate": "adaptive"}, "learning_rate='adaptive' is not available"),
        ({"shuffle": False}, "shuffle=False is not available"),
        ({"solver": "sgd", "nesterovs_momentum": True}, "nesterovs_momentum=True is not available"),
        ({"hidden_layer_sizes": None}, "hidden_layer_sizes of MLPClassifier must be positive integers. Got None"),
        ({"hidden_layer_sizes": True}, "hidden_layer_sizes of MLPClassifier must be positive integers. Got True"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes of MLPClassifier must be positive integers"),
        ({"max_iter": 0}, "max_iter of MLPClassifier must be an integer of at least 1. Got 0"),
        ({"alpha": -1.0}, "alpha of MLPClassifier must be a number of at least 0. Got -1.0"),
        ({"tol": float("nan")}, "tol of MLPClassifier must be a number of at least 0. Got nan"),
        ({"learning_rate_init": 2.0}, "the learning rate is 2, it must be above 1e-7 and at most 1"),
        ({"solver": "sgd", "momentum": 0.3}, "the momentum is 0.3, it must be 0 or 0.5 to 0.99"),
        ({"beta_1": 0.9999}, "Adam's decays are 0.9999"),
        ({"hidden_layer_sizes": (100_000,)}, "a layer of 100000 units is too wide"),
        ({"scaling": "robust"}, "scaling='robust' is not available"),
        ({"backend": "cloud"}, "backend='cloud' is not available in MLPClassifier: use 'local' or 'plain'"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must be between 0 and 1"),
    ],
)
def test_parameters(settings, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        shamisen.MLPClassifier(**settings).fit(X, CLASSES)


@pytest.mark.parametrize(
    ("features", "target", "error", "words"),
    [
        (X[:, 0], CLASSES, ValueError, "Expected 2D array, got 1D array instead"),
        (X[:0], CLASSES[:0], ValueError, r"Found array with 0 sample\(s\)"),
        (X, CLASSES[:5], ValueError, r"inconsistent numbers of samples: \[12, 5\]"),
        (np.where(X == 3, np.nan, X), CLASSES, ValueError, "Input X contains NaN(.|\n)*SimpleImputer"),
        (np.where(X == 3, np.inf, X), CLASSES, ValueError, "Input X contains infinity"),
        (X.astype(complex), CLASSES, ValueError, "Complex data not supported"),
        (X.astype(str), CLASSES, ValueError, "could not convert string to float: '0.0'"),
        (scipy.sparse.csr_matrix(X), CLASSES, TypeError, "Sparse data was passed for X"),
        (X, None, ValueError, "requires y to be passed, but the target y is None"),
        (X, CLASSES + 0.5, ValueError, "Unknown label type: continuous"),
        (X, CLASSES * 0, ValueError, "all samples are of one class, 0:"),
        (X, np.column_stack([CLASSES, CLASSES]), ValueError, "y should be a 1d array, got an array of shape"),
    ],
)
def test_data(features, target, error, words):
    with pytest.raises(error, match=words):
        shamisen.MLPClassifier((4,), max_iter=1).fit(features, target)


def test_arguments_of_fit():
    with pytest.raises(ValueError, match="join='rows' is for data sets of a cluster: give arrays as X and y, and no join"):
        shamisen.MLPRegressor().fit(X, CLASSES, join="rows")
    with pytest.raises(ValueError, match="sample_weight is not available in MLPRegressor: all rows count alike"):
        shamisen.MLPRegressor().fit(X, CLASSES, sample_weight=np.ones(12))
    with pytest.raises(TypeError, match="unexpected keyword argument 'weights'"):
        shamisen.MLPClassifier().fit(X, CLASSES, weights=None)


def test_a_column_of_text_is_named():
    table = pd.DataFrame({"age": [1.0, 2.0, 3.0], "city": ["Lyon", "Oslo", "Kyoto"]})
    for cities in (table["city"], table["city"].astype("category")):
        with pytest.raises(ValueError, match="'Lyon' in column 'city' of X(.|\n)*OneHotEncoder"):
            shamisen.MLPClassifier().fit(table.assign(city=cities), [0, 1, 0])


def test_missing_cells_of_pandas():
    table = pd.DataFrame({"age": pd.array([1, None, 3], dtype="Int64")})
    with pytest.raises(ValueError, match="Input X contains NaN.\nMissing values are in the column age."):
        shamisen.MLPClassifier().fit(table, [0, 1, 0])


MOMENTS = ["1970-01-02", "2026-03-01 12:00"]
DAYS = [1.0, 20513.5]


@pytest.mark.parametrize(
    "dates",
    [
        np.array(MOMENTS, "datetime64[s]"),
        np.array(MOMENTS, "datetime64[ns]"),
        pd.to_datetime(pd.Series(MOMENTS), format="mixed"),
        pd.to_datetime(pd.Series(MOMENTS), format="mixed").dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        pd.Series([datetime.date(1970, 1, 2), datetime.datetime(2026, 3, 1, 12)], dtype=object),
        pl.Series([datetime.datetime(1970, 1, 2), datetime.datetime(2026, 3, 1, 12)]),
        pa.array([datetime.datetime(1970, 1, 2), datetime.datetime(2026, 3, 1, 12)]),
    ],
)
def test_dates_are_days(dates):
    table = {"age": [30.0, 40.0], "born": dates}
    made = {pl.Series: pl.DataFrame, pa.TimestampArray: pa.table}.get(type(dates), pd.DataFrame)(table)
    assert _validation.features(made, "owner").tolist() == [[30.0, DAYS[0]], [40.0, DAYS[1]]]
    assert _validation.targets(dates, 2, "owner").tolist() == DAYS


def test_missing_dates_and_spans_of_time():
    dates = np.array(["1970-01-02", "NaT"], "datetime64[s]")
    for table in (dates.reshape(-1, 1), pd.DataFrame({"born": dates, "age": [1.0, 2.0]})):
        with pytest.raises(ValueError, match="Input X contains NaN"):
            shamisen.MLPClassifier().fit(table, [0, 1])
    spans = np.array([1, 2], "timedelta64[D]")
    with pytest.raises(ValueError, match="X holds spans of time in column 'stay', of which a model does not know the unit"):
        shamisen.MLPClassifier().fit(pd.DataFrame({"stay": spans, "age": [1.0, 2.0]}), [0, 1])
    with pytest.raises(ValueError, match="X holds spans of time, of which"):
        shamisen.MLPClassifier().fit(spans.reshape(-1, 1), [0, 1])
    with pytest.raises(ValueError, match="y holds spans of time, of which"):
        shamisen.MLPRegressor().fit(X[:2], spans)


def test_missing_cells_among_objects():
    for missing in (None, np.nan, pd.NA, pd.NaT):
        table = pd.DataFrame({"age": pd.Series([1.0, missing, 3.0], dtype=object)})
        with pytest.raises(ValueError, match="Input X contains NaN.\nMissing values are in the column age."):
            shamisen.MLPClassifier().fit(table, [0, 1, 0])
        with pytest.raises(ValueError, match="Input X contains NaN."):
            shamisen.MLPClassifier().fit(table.to_numpy(), [0, 1, 0])
        for estimator in (shamisen.MLPClassifier(), shamisen.MLPRegressor()):
            with pytest.raises(ValueError, match="Input y contains NaN."):
                estimator.fit(X[:3], pd.Series([1, missing, 0], dtype=object))


def test_cells_that_are_no_numbers_have_a_place():
    cells = X.astype(object)
    cells[3, 1] = {}
    with pytest.raises(TypeError, match="X, row 3, column 1: float.. argument must be a string or a real number, not 'dict'"):
        shamisen.MLPClassifier().fit(cells, CLASSES)
    cells[3, 1] = 10**400
    with pytest.raises(ValueError, match="X, row 3, column 1: int too large to convert to float"):
        shamisen.MLPClassifier().fit(cells, CLASSES)
    with pytest.raises(ValueError, match="X, row 3 in column 'age': int too large to convert to float"):
        shamisen.MLPClassifier().fit(pd.DataFrame({"age": cells[:, 1], "dose": 1.0}), CLASSES)
    with pytest.raises(ValueError, match=r"kinds that have no order among them \(int and str\)"):
        shamisen.MLPClassifier().fit(X, np.array([1, "a"] * 6, dtype=object))


def test_numbers_of_numpy_as_parameters():
    settings = {"hidden_layer_sizes": np.int64(4), "max_iter": np.int32(2), "n_iter_no_change": np.inf}
    classifier = shamisen.MLPClassifier(**settings, backend="plain").fit(X, CLASSES)
    assert classifier.reveal().layers == [2, 4, 2] and classifier.n_iter_ == 2


def test_targets_of_a_regression():
    for target in (np.array(["a", "b"] * 6), np.array(["a", "b"] * 6, dtype=object)):
        with pytest.raises(ValueError, match="MLPRegressor predicts numbers, but y holds text: use MLPClassifier"):
            shamisen.MLPRegressor().fit(X, target)
    with pytest.raises(ValueError, match="y holds 1e\\+06, beyond ±512"):
        shamisen.MLPRegressor(target_scaling=None).fit(X, CLASSES * 1e6)


def test_features_beyond_the_range():
    table = pd.DataFrame({"small": X[:, 0], "large": X[:, 1] * 1e3})
    with pytest.raises(ValueError, match="X, row 0, column 'large': the value 1000 is beyond ±512"):
        shamisen.MLPClassifier(scaling=None).fit(table, CLASSES)


def test_before_fit_and_with_other_columns():
    classifier = shamisen.MLPClassifier((4,), max_iter=1)
    for use in (classifier.predict, classifier.predict_proba, lambda X: classifier.reveal(), lambda X: classifier.save("x")):
        with pytest.raises(NotFittedError, match="This MLPClassifier instance is not fitted yet"):
            use(X)
    classifier.fit(X, CLASSES)
    with pytest.raises(ValueError, match="X has 1 features, but MLPClassifier is expecting 2 features as input"):
        classifier.predict(X[:, :1])


@pytest.mark.parametrize("backend", ["local", "plain"])
def test_a_training_that_fails_leaves_the_last_network(backend, monkeypatch):
    from shamisen import _core

    names = np.array(["no", "yes"])[CLASSES]
    classifier = shamisen.MLPClassifier((4,), max_iter=1, backend=backend).fit(X, names)
    before = classifier.predict_proba(X)

    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(_core, "train", interrupt)
        patched.setattr(_core, "train_plain", interrupt)
        with pytest.raises(KeyboardInterrupt):
            classifier.fit(X, np.arange(12) % 3)
    assert list(classifier.classes_) == ["no", "yes"] and set(classifier.predict(X)) <= {"no", "yes"}
    assert (classifier.predict_proba(X) == before).all()
    # A warning that is made an error comes when all is there.
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning):
            classifier.fit(X, np.arange(12) % 3)
    assert list(classifier.classes_) == [0, 1, 2] and classifier.predict_proba(X).shape == (12, 3)


def test_the_twin_has_no_shares_to_keep(tmp_path):
    plain = shamisen.MLPClassifier((4,), max_iter=1, backend="plain").fit(X, CLASSES)
    with pytest.raises(ValueError, match="has no shares to keep"):
        plain.save(tmp_path / "model")


INTERRUPTED = """
import sys, time, warnings, numpy as np, shamisen
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(4000, 50))
print("go", flush=True)
try:
    shamisen.MLPClassifier(max_iter=100_000, backend=sys.argv[1], tol=0.0, n_iter_no_change=100_000).fit(X, np.arange(4000) % 2)
except KeyboardInterrupt:
    print("interrupted")
# The process is as good as before.
print(shamisen.MLPClassifier((4,), max_iter=2).fit(X[:50], np.arange(50) % 2).n_iter_)
"""


@pytest.mark.parametrize("backend", ["local", "plain"])
def test_ctrl_c_ends_a_training(backend):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, backend], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "go\n"
    time.sleep(1.0)
    assert process.poll() is None, process.stderr.read()
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out.splitlines(), process.returncode) == (["interrupted", "2"], 0), err


def test_other_threads_run_during_a_training():
    import threading

    steps = 0
    done = threading.Event()

    def count():
        nonlocal steps
        while not done.is_set():
            steps += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    shamisen.MLPClassifier((16,), max_iter=60, tol=0.0, n_iter_no_change=100, random_state=0).fit(
        np.random.default_rng(0).normal(size=(600, 10)), np.arange(600) % 2
    )
    elapsed = time.monotonic() - start
    done.set()
    thread.join()
    assert steps > 20 * elapsed, f"{steps} steps in {elapsed} s"


NO_SKLEARN = """
import sys
sys.modules["sklearn"] = None
import numpy as np, shamisen
X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)
classifier = shamisen.MLPClassifier((8,), max_iter=40, learning_rate_init=0.02, random_state=0)
print(classifier.set_params(max_iter=30).get_params()["max_iter"], classifier.fit(X, y).score(X, y) > 0.9)
try:
    shamisen.MLPRegressor().predict(X)
except ValueError as error:
    print(type(error).__name__)
try:
    classifier.set_params(depth=3)
except ValueError as error:
    print(str(error)[:43])
"""


def test_scikit_learn_is_not_needed():
    out = subprocess.run([sys.executable, "-W", "ignore", "-c", NO_SKLEARN], capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines() == ["30 True", "NotFittedError", "MLPClassifier has no parameter 'depth': it "]
