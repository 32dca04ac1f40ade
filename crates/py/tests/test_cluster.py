"""Trainings and predictions at three real servers."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import shamisen
from shamisen._cluster_training import _JobProgress
from three import Three

TERMS = """
trainers = ["{analyst}"]
max_epochs = 5000
max_jobs = 100
least_rows = 50
expires = 2100-01-01
outputs = ["metrics", "loss", "predictions", "model"]
"""


#: Of 400 rows.
WARDS = list("ABCA") * 100
ADMITTED = pd.date_range("2026-01-01", periods=400).strftime("%Y-%m-%d")


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(1)
    data = pd.DataFrame(generator.normal(size=(400, 4)), columns=["age", "weight", "dose", "days"])
    data["readmitted"] = np.where(data.age + np.abs(data.dose) > 0.5, "yes", "no")
    data["cost"] = 500.0 + 80.0 * data.age - 30.0 * data.days
    return data


@pytest.fixture(scope="module")
def three(tmp_path_factory, table):
    directory = tmp_path_factory.mktemp("three")
    three = Three(directory)
    try:
        terms = TERMS.format(analyst=shamisen.Cluster(three.cluster, three.key("analyst")).fingerprint)
        csv = directory / "table.csv"
        table.drop(columns="cost").to_csv(csv, index=False)
        three.put(csv, "hospital-a", "readmitted", "classification", terms)
        strict = terms.replace('"loss", "predictions", "model"', '"loss"').replace("5000", "3")
        three.put(csv, "strict", "readmitted", "classification", strict)
        table.drop(columns="cost")[::-1].to_csv(csv, index=False)
        three.put(csv, "hospital-b", "readmitted", "classification", terms.replace(', "loss"', ""))
        laboratory = pd.DataFrame({"iron": table.dose**2, "sodium": table.days, "readmitted": table.readmitted})
        laboratory.to_csv(csv, index=False)
        three.put(csv, "laboratory", "readmitted", "classification", terms)
        table.drop(columns="readmitted").to_csv(csv, index=False)
        three.put(csv, "costs", "cost", "regression", terms, "--target-scaling", "standard")
        visits = table.drop(columns=["cost", "days"]).assign(ward=WARDS, admitted=ADMITTED)
        visits.to_csv(csv, index=False)
        flags = ["--categorical", "ward=A,B,C", "--date", "admitted"]
        three.put(csv, "visits", "readmitted", "classification", terms, *flags)
        yield three
    finally:
        three.end()


@pytest.fixture
def cluster(three):
    return shamisen.connect(three.cluster, key=three.key("analyst"))


def classifier(cluster, **settings):
    settings = {"max_iter": 12, "batch_size": 32, "learning_rate_init": 0.02, "random_state": 0, **settings}
    return shamisen.MLPClassifier((8,), cluster=cluster, **settings)


def test_a_classifier_is_trained_and_predicts(cluster, table, capsys):
    names = ["costs", "hospital-a", "hospital-b", "laboratory", "strict", "visits"]
    assert [data.name for data in cluster.datasets()] == names
    data = cluster.dataset("hospital-a")
    assert (data.shape, data.classes, data.terms["max_epochs"]) == ((320, 4), ("no", "yes"), 5000)

    fitted = classifier(cluster, verbose=True).fit(data, target="readmitted")
    assert "epoch 12/12" in capsys.readouterr().err
    assert len(fitted.loss_curve_) == 12 and fitted.loss_ < fitted.loss_curve_[0]
    assert fitted.metrics_["accuracy"] > 0.85 and "cross_entropy" in fitted.metrics_

    X, y = table[list(fitted.feature_names_in_)], table["readmitted"]
    assert fitted.score(X, y) > 0.85
    probabilities = fitted.predict_proba(X[:20])
    assert probabilities.shape == (20, 2) and np.allclose(probabilities.sum(axis=1), 1.0)
    # What is kept of it is the place of the model.
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict_proba(X[:20]) == pytest.approx(probabilities, abs=1e-3)
    found = cluster.model(fitted.job_[:12])
    assert found.predict_proba(X[:20]) == pytest.approx(probabilities, abs=1e-3)
    assert found.loss_curve_ == fitted.loss_curve_
    with pytest.raises(PermissionError, match="the model hospital-a is not for analyst"):
        fitted.reveal()
    assert clone(fitted).cluster is cluster and copy.deepcopy(cluster) is cluster


def test_a_regression_whose_model_comes_out(cluster, table, tmp_path):
    regressor = shamisen.MLPRegressor((8,), max_iter=20, batch_size=32, learning_rate_init=0.02, random_state=0, cluster=cluster)
    regressor.fit(cluster.dataset("costs"), outputs=["metrics", "predictions", "model"], name="prices")
    assert regressor.loss_curve_ is None and regressor.metrics_["r2"] > 0.8
    X, y = table[list(regressor.feature_names_in_)], table["cost"]
    assert regressor.score(X, y) > 0.8
    # In the target's own unit.
    assert regressor.metrics_["mse"] == pytest.approx(np.mean((regressor.predict(X) - y) ** 2), rel=0.5)
    regressor.save(tmp_path / "model")
    assert shamisen.load(tmp_path / "model").predict(X[:50]) == pytest.approx(regressor.predict(X[:50]), abs=2.0)
    assert regressor.reveal().layers == [4, 8, 1]
    assert cluster.models()[0]["name"] == "prices" and cluster.jobs()[0]["state"] == "done"


def test_data_sets_are_put_together(cluster, table):
    a, b, laboratory = (cluster.dataset(name) for name in ("hospital-a", "hospital-b", "laboratory"))
    rows = classifier(cluster).fit([a, b], target="readmitted", join="rows", columns=["dose", "age"])
    assert list(rows.feature_names_in_) == ["dose", "age"] and rows.t_ == 12 * 640
    # What comes out is what the terms of both allow.
    assert rows.loss_curve_ is None and rows.metrics_["accuracy"] > 0.85
    assert rows.score(table[["dose", "age"]], table["readmitted"]) > 0.85

    columns = classifier(cluster).fit((a, laboratory), join="columns", columns=["iron", "age", "sodium"])
    assert list(columns.feature_names_in_) == ["age", "iron", "sodium"] and columns.t_ == 12 * 320
    assert columns.metrics_["accuracy"] > 0.85
    given = pd.DataFrame({"age": table.age, "iron": table.dose**2, "sodium": table.days})
    assert columns.score(given, table["readmitted"]) > 0.85
    all_of_them = classifier(cluster, max_iter=1).fit([a, laboratory], join="columns")
    assert list(all_of_them.feature_names_in_) == ["age", "weight", "dose", "days", "iron", "sodium"]
    found = cluster.model(columns.job_)
    assert list(found.feature_names_in_) == list(columns.feature_names_in_)


def test_columns_of_categories_and_dates_are_encoded(cluster, table):
    fitted = classifier(cluster, max_iter=4).fit(cluster.dataset("visits"))
    inputs = ["age", "weight", "dose", "ward=A", "ward=B", "ward=C", "admitted"]
    assert list(fitted.feature_names_in_) == inputs
    visits = table[["age", "weight", "dose"]].assign(ward=WARDS, admitted=pd.to_datetime(ADMITTED))
    encoded = pd.get_dummies(visits, columns=["ward"], prefix_sep="=")[inputs]
    expected = fitted.predict_proba(encoded)
    assert fitted.predict_proba(visits) == pytest.approx(expected, abs=1e-3)
    # What they were made from, the servers do not know: an order of columns and dates as text neither.
    assert fitted.predict_proba(visits[visits.columns[::-1]]) == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="row 1, column 'ward': the category 'E' is unknown to the model, which has A, B, C"):
        fitted.predict(visits[:3].assign(ward=["A", "E", "C"]))
    with pytest.raises(ValueError, match="make dates of text, for example with pandas.to_datetime"):
        fitted.predict(visits.assign(admitted=ADMITTED))


def test_what_the_terms_forbid(cluster, table):
    strict = cluster.dataset("strict")
    with pytest.raises(PermissionError, match="the rule `max_epochs` forbids it: 12 epochs are asked for, at most 3"):
        classifier(cluster).fit(strict)
    with pytest.raises(PermissionError, match="the rule `outputs` forbids it: predictions must not come out"):
        classifier(cluster, max_iter=1).fit(strict, outputs=["metrics", "predictions"])
    # What they allow comes out without being asked for.
    fitted = classifier(cluster, max_iter=1).fit(strict)
    assert fitted.metrics_ and len(fitted.loss_curve_) == 1
    with pytest.raises(PermissionError, match="the servers have not kept the network"):
        fitted.predict(table[["age", "weight", "dose", "days"]])


@pytest.mark.parametrize(
    ("settings", "fitting", "error", "words"),
    [
        ({}, {"target": "cost"}, ValueError, "the target of the data set hospital-a is 'readmitted'"),
        ({}, {"outputs": ["weights"]}, ValueError, "is no output: the outputs are 'metrics'"),
        ({}, {"y": [1]}, ValueError, "leave y out"),
        ({}, {"join": "both"}, ValueError, "join=.both. is no way to put data sets together: use 'rows' or 'columns'"),
        ({}, {"columns": ["height"]}, ValueError, "the data set hospital-a has no column .height."),
        ({}, {"columns": "age"}, TypeError, r"columns must be a list of names, such as \['age'\]"),
        ({}, {"X": []}, TypeError, "is fitted on a data set of the cluster"),
        ({}, {"X": np.zeros((4, 2))}, TypeError, "is fitted on a data set of the cluster"),
        ({"cluster": None}, {}, ValueError, "give its servers as cluster="),
        ({"cluster": "cluster.toml"}, {}, TypeError, "must be what shamisen.connect returns"),
        ({"early_stopping": True}, {}, ValueError, "early_stopping=True is not available"),
        ({"learning_rate_init": 2.0}, {}, ValueError, "the learning rate is 2, it must be above 1e-7"),
    ],
)
def test_what_makes_no_sense(cluster, settings, fitting, error, words):
    fitting = {"X": cluster.dataset("hospital-a"), **fitting}
    estimator = classifier(cluster).set_params(**settings)
    with pytest.raises(error, match=words):
        estimator.fit(**fitting)
    assert not hasattr(estimator, "classes_")


def test_what_is_not_there(cluster, three, tmp_path):
    with pytest.raises(LookupError, match='there is no data set "hospital-z" that you may know of'):
        cluster.dataset("hospital-z")
    with pytest.raises(LookupError, match="there is no model"):
        cluster.model("nothing")
    with pytest.raises(ValueError, match="the data set costs is for regression: use MLPRegressor"):
        classifier(cluster).fit(cluster.dataset("costs"))
    with pytest.raises(FileNotFoundError, match="none.toml"):
        shamisen.connect(tmp_path / "none.toml", key=three.key("analyst"))
    with pytest.raises(ValueError, match="timeout has to be a number of seconds above 0"):
        shamisen.connect(three.cluster, key=three.key("analyst"), timeout=0)
    stranger = tmp_path / "stranger"
    keygen = [os.environ["SHAMISEN"], "keygen", "--role", "analyst", "--name", "a stranger", "--out", stranger]
    subprocess.run(keygen, check=True, stdout=subprocess.DEVNULL)
    with pytest.raises(PermissionError, match="hint"):
        shamisen.connect(three.cluster, key=stranger)


def elsewhere(three, path, port):
    """The clients' file with all three servers at one port, by addresses that are this machine."""
    hosts = iter(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    lines = three.cluster.read_text().splitlines()
    path.write_text("\n".join(f'address = "{next(hosts)}:{port}"' if line.startswith("address") else line for line in lines))
    return path


def test_servers_that_are_down(three, tmp_path):
    with socket.socket() as nobody:
        # Bound, and nobody listens.
        nobody.bind(("0.0.0.0", 0))
        file = elsewhere(three, tmp_path / "cluster.toml", nobody.getsockname()[1])
        with pytest.raises(ConnectionError, match="server 0: 127.0.0.1:.* cannot be reached(.|\n)*server 2"):
            shamisen.connect(file, key=three.key("analyst"))


def test_servers_that_say_nothing(three, tmp_path):
    with socket.socket() as silent:
        silent.bind(("0.0.0.0", 0))
        silent.listen()
        file = elsewhere(three, tmp_path / "cluster.toml", silent.getsockname()[1])
        with pytest.raises(TimeoutError, match="did not answer within 1 seconds"):
            shamisen.connect(file, key=three.key("analyst"), timeout=1.0)


def test_a_job_on_a_terminal_and_elsewhere(monkeypatch):
    at = {"training": 0, "epochs": 2, "batches": 4}
    states = [
        {"state": "queued"},
        {"state": "running", "progress": {**at, "epoch": 1, "batch": 2, "loss": 0.5}},
        {"state": "interrupted", "reason": "server 2 is\x1b[2Jaway"},
        {"state": "running", "progress": {**at, "epoch": 2, "batch": 4, "loss": 0.25}},
        {"state": "done"},
    ]
    for is_terminal in (True, False):
        stream = io.StringIO()
        stream.isatty = lambda: is_terminal
        monkeypatch.setattr(sys, "stderr", stream)
        told = _JobProgress(True, 2)
        for state in states:
            told(json.dumps(state))
        told.close()
        said = stream.getvalue()
        assert "queued" in said and "interrupted: server 2 is [2Jaway" in said and "\x1b" not in said
        assert ("epoch 2/2: 100%|████████████████████| 8/8" in said) == is_terminal
        assert ("epoch 2/2, loss = 0.25" in said) != is_terminal


INTERRUPTED = """
import sys, shamisen
cluster = shamisen.connect(sys.argv[1], key=sys.argv[2])
data = cluster.dataset("hospital-a")
print("go", flush=True)
try:
    shamisen.MLPClassifier((8,), max_iter=5000, batch_size=32, cluster=cluster).fit(data, name="long")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_cancels_the_job(cluster, three):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, three.cluster, three.key("analyst")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "go\n"

    def state():
        return next((job["state"] for job in cluster.jobs() if job["name"] == "long"), None)

    deadline = time.monotonic() + 60.0
    while state() != "running":
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("interrupted\n", 0), err
    while state() != "cancelled":
        assert time.monotonic() < deadline, state()
        time.sleep(0.05)
