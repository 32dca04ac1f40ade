"""Networks that three servers train and keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, _validation
from ._cluster import Cluster, DataSet
from ._columns import Columns, labels
from ._models import LastOutputs, SharedNetwork
from ._progress import Progress
from ._validation import Floats

if TYPE_CHECKING:
    from ._estimators import MLPClassifier, MLPRegressor
    from ._perceptron import Perceptron


class ClusterNetwork:
    """A network that was trained at three servers, which keep it, still shared, if predictions or the model were to come out."""

    def __init__(
        self, cluster: Cluster, job: str, features: list[str], layers: list[int], rows: int, kept: bool
    ) -> None:
        self.cluster = cluster
        self.job = job
        self.features = features
        #: Widths of all layers, the input's first.
        self.layers = layers
        self.rows = rows
        self.kept = kept
        self._columns: Columns | None = None
        self._last = LastOutputs()

    @property
    def columns(self) -> Columns:
        """Names and scaling of the columns, which the servers have as shares: asked for when they are needed first."""
        self._check_kept()
        if self._columns is None:
            columns = Columns.from_description(json.loads(self.cluster.connection.columns(self.job)))
            if columns.names != self.features:
                raise RuntimeError("the statistics that the servers sent are of another data set than the model")
            self._columns = columns
        return self._columns

    def outputs(self, inputs: Floats) -> Floats:
        """Probabilities of the classes, or numbers, computed by the servers and opened here."""
        self._check_kept()
        return self._last.of(inputs, lambda rows: self.cluster.connection.predict(self.job, rows))

    def reveal(self) -> Floats:
        """The parameters in the clear, if the model was to come out."""
        self._check_kept()
        return self.cluster.connection.fetch(self.job).reveal()

    def save(self, directory: Path) -> None:
        """Writes a model directory, if the model was to come out."""
        self._check_kept()
        SharedNetwork(self.cluster.connection.fetch(self.job), self.columns, self.rows).save(directory)

    def __getstate__(self) -> dict[str, Any]:
        # Predictions are not pickled.
        return {**self.__dict__, "_last": LastOutputs()}

    def _check_kept(self) -> None:
        if not self.kept:
            raise PermissionError(
                f"the servers have not kept the network of the job {self.job}, since neither predictions nor the model were to come out "
                "of it: fit with outputs=['metrics', 'predictions'], if the terms of the data set allow it"
            )


def is_at_servers(data: Any) -> bool:
    """Whether these are one or several data sets of a cluster."""
    several = data if isinstance(data, (list, tuple)) else [data]
    return bool(several) and all(isinstance(one, DataSet) for one in several)


def fit(
    estimator: Perceptron,
    data: Any,
    y: Any,
    target: str | None,
    join: str | None,
    columns: Sequence[str] | None,
    outputs: Sequence[str] | None,
    name: str | None,
) -> None:
    """Has the servers train an estimator on one or several data sets, and waits for it."""
    owner, cluster = type(estimator).__name__, estimator.cluster
    if cluster is None:
        raise ValueError(f"a data set of a cluster was passed to {owner}: give its servers as cluster=...")
    if not isinstance(cluster, Cluster):
        raise TypeError(f"cluster of {owner} must be what shamisen.connect returns. Got {cluster!r} instead.")
    if not is_at_servers(data):
        raise TypeError(
            f"{owner}(cluster=...) is fitted on a data set of the cluster, such as cluster.dataset('hospital-a'), or on a list of them. "
            f"Got {type(data).__name__} instead."
        )
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, such as [{columns!r}]. Got {columns!r} instead.")
    if y is not None:
        raise ValueError("the target of a data set is part of it: leave y out, and name the column as target=... if you like")
    several: list[DataSet] = [data] if isinstance(data, DataSet) else list(data)
    # The target is that of the first one that has one.
    first, chosen = next((one for one in several if one.task), None), list(columns or [])
    if first is None:
        raise ValueError(
            f"there is no target in {', '.join(one.name for one in several)}: fit with a data set that has one, and join='columns'"
        )
    _check(estimator, first, target)
    table: _core.Table = {"datasets": [one.id for one in several], "join": join or "rows", "columns": chosen}
    rows = first.rows if join == "columns" else sum(one.rows for one in several)
    wanted = _allowed(several, cluster.fingerprint) if outputs is None else list(outputs)
    batch = min(200 if estimator.batch_size == "auto" else int(estimator.batch_size), rows)
    training: _core.Training = {
        "hidden": estimator._hidden(),
        "epochs": int(estimator.max_iter),
        "batch_size": batch,
        "optimizer": estimator.solver,
        "learning_rate": float(estimator.learning_rate_init),
        "weight_decay": float(estimator.alpha) / batch,
        "momentum": float(estimator.momentum),
        "beta_1": float(estimator.beta_1),
        "beta_2": float(estimator.beta_2),
        "refresh": int(estimator.refresh),
        "seed": _validation.seed(estimator.random_state),
    }
    told = _JobProgress(estimator.verbose, training["epochs"])
    try:
        status = json.loads(cluster.connection.train(name or first.name, table, training, wanted, told))
    finally:
        told.close()
    if status["state"] != "done":
        verb = "was cancelled" if status["state"] == "cancelled" else "failed"
        raise RuntimeError(f"the job {status['id']} {verb}: {_printable(status.get('reason') or 'no reason is given')}")
    if join == "columns":
        # Each data set has its part of them.
        features = [column for one in several for column in chosen or one.features if column in one.features]
    else:
        features = chosen or list(first.features)
    widths = [len(features), *training["hidden"], max(len(first.classes), 1)]
    kept = bool({"predictions", "model"} & set(wanted))
    network = ClusterNetwork(cluster, status["id"], features, widths, rows, kept)
    _take(estimator, network, first.classes, status["results"][0], training["epochs"])


def from_model(cluster: Cluster, told: dict[str, Any]) -> MLPClassifier | MLPRegressor:
    """A fitted estimator with a model that servers keep."""
    from ._estimators import MLPClassifier, MLPRegressor

    plan, schema = told["plan"], told["schema"]
    kind = MLPClassifier if schema["classes"] else MLPRegressor
    estimator = kind(
        tuple(plan["layers"][1:-1]),
        batch_size=plan["batch_size"],
        learning_rate_init=plan["learning_rate"],
        max_iter=plan["epochs"],
        cluster=cluster,
    )
    network = ClusterNetwork(
        cluster, told["id"], schema["features"], plan["layers"], told["rows"], kept=True
    )
    _take(estimator, network, schema["classes"], told["result"], plan["epochs"])
    return estimator


def _check(estimator: Perceptron, data: DataSet, target: str | None) -> None:
    """Refuses what makes no sense for a data set, and parameters that mean nothing at servers."""
    owner = type(estimator).__name__
    if target is not None and target != data.target:
        raise ValueError(
            f"the target of the data set {data.name} is {data.target!r}, which its owner has chosen. Got target={target!r} instead."
        )
    if data.task != estimator._task:
        other = "MLPRegressor" if data.task == "regression" else "MLPClassifier"
        raise ValueError(f"the data set {data.name} is for {data.task}: use {other} instead of {owner}")
    fixed = {
        "backend": ("local", "the servers train by the real protocol"),
        "early_stopping": (False, "the servers train for max_iter epochs"),
        "warm_start": (False, "the servers train a network from its beginning"),
        "n_threads": (None, "the operators of the servers decide it"),
        "scaling": ("standard", "the owner has scaled the data set before it was shared"),
        "target_scaling": ("standard", "the owner has scaled the data set before it was shared"),
    }
    for parameter, (needed, reason) in fixed.items():
        value = getattr(estimator, parameter, needed)
        if value != needed:
            raise ValueError(f"{parameter}={value!r} is not available in {owner}(cluster=...): {reason}")


def _allowed(data: list[DataSet], fingerprint: str) -> list[str]:
    """What comes out without being asked for: all that the terms of all data sets allow but the model in the clear."""

    def allows(terms: dict[str, Any], output: str) -> bool:
        receivers = terms.get("predictions_to") or terms["trainers"]
        return output in terms["outputs"] and (output != "predictions" or fingerprint in receivers)

    return [output for output in ("metrics", "loss", "predictions") if all(allows(one.terms, output) for one in data)]


def _take(
    estimator: Perceptron, network: ClusterNetwork, classes: Sequence[str], result: dict[str, Any], epochs: int
) -> None:
    """Gives an estimator what came out of a training."""
    layers, losses = network.layers, result.get("loss") or None
    estimator._network = network
    estimator.job_ = network.job
    estimator.n_features_in_, estimator.n_layers_, estimator.n_outputs_ = layers[0], len(layers), layers[-1]
    estimator.feature_names_in_ = np.array(network.features, dtype=object)
    estimator.n_iter_, estimator.t_ = epochs, epochs * network.rows
    estimator.loss_curve_ = losses
    estimator.loss_, estimator.best_loss_ = (losses[-1], min(losses)) if losses else (None, None)
    estimator.validation_scores_ = estimator.best_validation_score_ = estimator.cost_ = None
    if classes:
        estimator.classes_ = labels(list(classes))
    estimator.metrics_ = {name: result[name] for name in ("accuracy", "cross_entropy", "r2") if name in result}
    if "mse" in result and network.kept:
        factor = (network.columns.target or (0.0, 1.0))[1]
        estimator.metrics_["mse"] = result["mse"] / factor**2


class _JobProgress:
    """Shows how far a job is."""

    def __init__(self, verbose: bool, epochs: int) -> None:
        self.progress = Progress(epochs) if verbose else None

    def __call__(self, text: str) -> None:
        """Takes note of the status of the job, in JSON."""
        if self.progress is None:
            return
        status = json.loads(text)
        if status["state"] == "running" and status.get("progress"):
            at = status["progress"]
            if self.progress.live:
                self.progress(at["epoch"], at["batch"], at["batches"], at.get("loss"))
            else:
                loss = f", loss = {at['loss']:.8f}" if "loss" in at and at["batch"] == at["batches"] else ""
                self.progress.say(f"epoch {at['epoch']}/{at['epochs']}{loss}")
        else:
            last = f"epoch {self.progress.epochs}/{self.progress.epochs}"
            if status["state"] == "done" and not self.progress.live and not self.progress.said.startswith(last):
                # The last look at the running job was some epochs before.
                losses = status["results"][0].get("loss")
                self.progress.say(last + (f", loss = {losses[-1]:.8f}" if losses else ""))
            reason = f": {_printable(status['reason'])}" if status.get("reason") else ""
            self.progress.say(status["state"] + reason)

    def close(self) -> None:
        """Leaves the last state."""
        if self.progress is not None:
            self.progress.close()


def _printable(text: str) -> str:
    """A server's words, without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
