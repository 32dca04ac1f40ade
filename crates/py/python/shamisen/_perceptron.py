"""What `MLPClassifier` and `MLPRegressor` have in common."""

from __future__ import annotations

import dataclasses
import numbers
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _cluster_training, _core, _validation
from ._cluster import Cluster
from ._cluster_training import ClusterNetwork
from ._columns import Columns
from ._encoding import encoded
from ._models import PlainNetwork, SharedNetwork
from ._progress import Progress
from ._revealed import RevealedModel
from ._sklearn import BaseEstimator, ConvergenceWarning, NotFittedError
from ._validation import Floats

#: Inputs and targets of the network, row by row.
Rows = tuple[Floats, Floats]


class Perceptron(BaseEstimator):
    """A multi-layer perceptron, without what is to be learnt."""

    _task: Literal["classification", "regression"]
    _network: SharedNetwork | PlainNetwork | ClusterNetwork
    n_features_in_: int
    loss_: float | None
    best_loss_: float | None
    loss_curve_: list[float] | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    cost_: dict[str, int] | None
    job_: str
    metrics_: dict[str, float]
    feature_names_in_: npt.NDArray[np.object_]
    classes_: npt.NDArray[Any]

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        refresh: int = 1,
        scaling: str | None = "standard",
        backend: str = "local",
        n_threads: int | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.refresh = refresh
        self.scaling = scaling
        self.backend = backend
        self.n_threads = n_threads
        self.cluster = cluster

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        target: str | None = None,
        join: str | None = None,
        columns: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        name: str | None = None,
        **lacking: Any,
    ) -> Any:
        """Shares the rows among three parties, which train the network; or has three servers train it on data sets that they have.

        Parameters
        ----------
        X : array or DataFrame of shape (n_samples, n_features), DataSet, or list of DataSet
            Finite numbers; or a data set of `cluster`, or several that are put together.
        y : array of shape (n_samples,)
            A class or a number for each row; none for a data set.
        target : str, optional
            The target of the data set, to say which one is meant: its owner has chosen it.
        join : {'rows', 'columns'}, optional
            How several data sets are put together: one below the other, with the same columns, by default; or side by side, the same
            rows in the same order, with the target of the first one.
        columns : sequence of str, optional
            The features of the data sets that are used, in this order; by default all.
        outputs : sequence of {'metrics', 'loss', 'predictions', 'model'}, optional
            What comes out of the servers. By default all that the terms of all data sets allow but the model in the clear.
        name : str, optional
            Name of the job and its model at the servers; that of the (first) data set by default.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data or parameters make no sense, with a sentence that says what to do.
        ArithmeticError
            If a number leaves the range of the fixed-point numbers during the training.
        PermissionError
            If the terms of the data set forbid it, with the name of the rule.
        ConnectionError, TimeoutError
            If a server cannot be reached, or does not answer in time.
        RuntimeError
            If the job fails at the servers, or somebody cancels it.
        KeyboardInterrupt
            After Ctrl-C, when the training has ended; at the servers it is cancelled.
        """
        owner = type(self).__name__
        if "sample_weight" in lacking:
            raise ValueError(
                f"sample_weight is not available in {owner}: all rows count alike. Repeat rows, or leave some out, to weigh them"
            )
        for argument in lacking:
            raise TypeError(f"{owner}.fit() got an unexpected keyword argument {argument!r}")
        self._check_parameters()
        if self.cluster is not None or _cluster_training.is_at_servers(X):
            _cluster_training.fit(self, X, y, target, join, columns, outputs, name)
            return self
        of_data_sets = {"target": target, "join": join, "columns": columns, "outputs": outputs, "name": name}
        for parameter, value in of_data_sets.items():
            if value is not None:
                raise ValueError(f"{parameter}={value!r} is for data sets of a cluster: give arrays as X and y, and no {parameter}")
        matrix = _validation.features(X, owner)
        names = _validation.feature_names(X)
        start = self._network if self.warm_start and hasattr(self, "_network") else None
        if isinstance(start, ClusterNetwork):
            raise ValueError("warm_start=True goes on with a network here, but this one is at servers: save() and load() it first")
        if start is not None:
            _validation.check_names(X, getattr(self, "feature_names_in_", None), owner)
            _validation.check_width(matrix, self.n_features_in_, owner)
        known, targets = self._prepare(matrix, y, names, None if start is None else start.columns)
        seed = _validation.seed(self.random_state)
        inputs = known.scale(matrix)
        held = self._hold_out(targets, seed)
        rows: Rows = (inputs[~held], targets[~held])
        validation: Rows | None = (inputs[held], targets[held]) if held.any() else None
        layers = [inputs.shape[1], *self._hidden(), targets.shape[1]]
        if start is not None and start.layers != layers:
            raise ValueError(
                f"warm_start=True goes on with the network {start.layers}, but the parameters and the data ask for {layers}: set "
                "warm_start=False, or keep hidden_layer_sizes"
            )
        largest = float(np.abs(rows[1]).max())
        plan = self._plan(layers, len(rows[0]), known, largest, seed)
        converged = self._train(plan, rows, validation, known, start)
        # From here on nothing fails: an estimator is never half of one network and half of another.
        self.n_features_in_ = inputs.shape[1]
        if known.target is None:
            self.classes_ = known.classes
        if start is None:
            self.__dict__.pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
        # What only a training at servers gives.
        for attribute in ("job_", "metrics_"):
            self.__dict__.pop(attribute, None)
        if not converged and self.n_iter_ == self.max_iter:
            _validation.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
            )
        return self

    def _prepare(
        self, X: Floats, y: Any, names: npt.NDArray[np.object_] | None, known: Columns | None
    ) -> tuple[Columns, Floats]:
        """Columns, and the targets of the network."""
        raise NotImplementedError

    def _strata(self, targets: Floats) -> list[npt.NDArray[np.intp]]:
        """The rows, in groups of which each gives its part for the validation."""
        raise NotImplementedError

    def _new_columns(self, X: Floats, names: npt.NDArray[np.object_] | None) -> Columns:
        return Columns.fit(X, None if names is None else list(names), self.scaling == "standard")

    def _hidden(self) -> list[int]:
        sizes: Any = self.hidden_layer_sizes
        return [int(sizes)] if isinstance(sizes, numbers.Integral) else [int(size) for size in sizes]

    def _hold_out(self, targets: Floats, seed: int) -> npt.NDArray[np.bool_]:
        """Which rows the training is validated on."""
        held = np.zeros(len(targets), dtype=bool)
        if not self.early_stopping:
            return held
        strata = self._strata(targets)
        parts = [self.validation_fraction * len(rows) for rows in strata]
        counts = [int(part) for part in parts]
        rest = int(np.ceil(self.validation_fraction * len(targets))) - sum(counts)
        # The largest remainders are rounded up, and each stratum keeps a row to train on.
        by_remainder = sorted(range(len(strata)), key=lambda place: counts[place] - parts[place])
        for place in [place for place in by_remainder if counts[place] + 1 < len(strata[place])][:rest]:
            counts[place] += 1
        generator = np.random.default_rng(seed)
        for rows, count in zip(strata, counts):
            held[generator.permutation(rows)[:count]] = True
        if not held.any() or held.all():
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {len(targets)} samples leaves none to train or to validate on: "
                "choose another fraction, or early_stopping=False"
            )
        return held

    def _plan(self, layers: list[int], count: int, columns: Columns, largest: float, seed: int) -> _core.Plan:
        """The plan for so many rows, where no scaled target is above the largest in magnitude."""
        batch = min(200, count) if self.batch_size == "auto" else int(self.batch_size)
        if batch > count:
            _validation.warn(f"batch_size={batch} is larger than the number of samples, {count}: it is clipped")
            batch = count
        return _core.Plan(
            self._task,
            layers,
            optimizer=self.solver,
            learning_rate=float(self.learning_rate_init),
            # scikit-learn divides the penalty by the rows of the mini-batch.
            weight_decay=float(self.alpha) / batch,
            momentum=float(self.momentum) if self.solver == "sgd" else 0.0,
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            refresh=int(self.refresh),
            batch_size=batch,
            epochs=int(self.max_iter),
            seed=seed,
            feature_bits=columns.feature_bits,
            target_bits=int(np.ceil(np.log2(largest))) if largest > 1.0 else 0,
        )

    def _train(
        self,
        plan: _core.Plan,
        rows: Rows,
        validation: Rows | None,
        columns: Columns,
        start: SharedNetwork | PlainNetwork | None,
    ) -> bool:
        """Trains the network, and returns whether that ended before the last epoch."""
        patience = int(min(self.n_iter_no_change, self.max_iter))
        stopping: _core.Stopping = {"tol": float(self.tol), "patience": patience}
        progress = Progress(self.max_iter, batch_size=plan.batch_size, rows=len(rows[0])) if self.verbose else None
        started = time.monotonic()
        network: SharedNetwork | PlainNetwork
        try:
            if self.backend == "plain":
                parameters, told = _core.train_plain(
                    plan,
                    rows,
                    validation=validation,
                    stopping=stopping,
                    start=None if start is None else start.reveal(),
                    progress=progress,
                )
                network, self.cost_ = PlainNetwork(plan.layers, parameters, columns), None
            else:
                model, told, (rounds, sent) = _core.train(
                    plan,
                    rows,
                    validation=validation,
                    stopping=stopping,
                    start=None if start is None else start.shared(plan),
                    threads=self.n_threads,
                    progress=progress,
                )
                self.cost_ = {"rounds": rounds, "bytes_sent": sent}
                seconds = time.monotonic() - started
                network = SharedNetwork(model, columns, len(rows[0]), seconds, told[0][-1])
        finally:
            if progress is not None:
                progress.close()
        losses, scores, converged = told
        self.loss_curve_, self.loss_, self.n_iter_ = losses, losses[-1], len(losses)
        self.validation_scores_ = scores if self.early_stopping else None
        self.best_validation_score_ = max(scores) if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else min(losses)
        self.n_layers_, self.n_outputs_ = len(plan.layers), plan.layers[-1]
        self.t_ = self.n_iter_ * len(rows[0])
        self._network = network
        return converged

    def _outputs(self, X: Any) -> Floats:
        """What the network gives for rows."""
        owner = type(self).__name__
        network = self._fitted()
        matrix = encoded(X, network.columns, owner)
        if matrix is None:
            _validation.check_names(X, getattr(self, "feature_names_in_", None), owner)
            matrix = _validation.features(X, owner)
            _validation.check_width(matrix, self.n_features_in_, owner)
        return network.outputs(network.columns.scale(matrix))

    def _fitted(self) -> SharedNetwork | PlainNetwork | ClusterNetwork:
        if not hasattr(self, "_network"):
            name = type(self).__name__
            raise NotFittedError(
                f"This {name} instance is not fitted yet. Call 'fit' with appropriate arguments before using this estimator."
            )
        return self._network

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_network")

    def reveal(self) -> RevealedModel:
        """Opens the weights, which until then no party knows: for export, and for whoever may see them.

        Of a network at servers it needs the output `model`; without it, it raises PermissionError.
        """
        network = self._fitted()
        return RevealedModel.from_parameters(network.layers, network.reveal(), dataclasses.replace(network.columns))

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Keeps the model, still shared, in a new directory, as `shamisen train --model` does: a share for each party, and what is
        public. `shamisen.load` and `shamisen predict --model` read it. Of a network at servers it needs the output `model`.
        """
        network = self._fitted()
        if isinstance(network, PlainNetwork):
            raise ValueError("a network of backend='plain' has no shares to keep: pickle the estimator, or reveal() and export it")
        network.save(Path(directory))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Under sharing, truncation rounds at random.
        tags.non_deterministic = self.backend != "plain"
        return tags

    def _check_parameters(self) -> None:
        """Refuses parameters that make no sense, and those that this package lacks."""
        name = type(self).__name__
        sizes: Any = self.hidden_layer_sizes
        try:
            listed = [sizes] if isinstance(sizes, numbers.Integral) else list(sizes)
        except TypeError:
            listed = [sizes]
        if not all(isinstance(size, numbers.Integral) and not isinstance(size, bool) and int(size) > 0 for size in listed):
            raise ValueError(f"hidden_layer_sizes of {name} must be positive integers. Got {sizes!r} instead.")
        lacking = {
            "activation": ("relu",),
            "learning_rate": ("constant",),
            "shuffle": (True,),
            "epsilon": (1e-8,),
            "solver": ("adam", "sgd"),
            "scaling": ("standard", None),
            "backend": ("local", "plain"),
        }
        for parameter, known in lacking.items():
            value = getattr(self, parameter)
            if value not in known:
                allowed = " or ".join(repr(choice) for choice in known)
                raise ValueError(f"{parameter}={value!r} is not available in {name}: use {allowed}")
        if self.solver == "sgd" and self.nesterovs_momentum:
            raise ValueError(f"nesterovs_momentum=True is not available in {name}: use False, for classical momentum")
        self._check_number("max_iter", numbers.Integral, 1)
        if self.n_iter_no_change != float("inf"):
            self._check_number("n_iter_no_change", numbers.Integral, 1)
        self._check_number("refresh", numbers.Integral, 1)
        self._check_number("alpha", numbers.Real, 0)
        self._check_number("tol", numbers.Real, 0)
        if self.batch_size != "auto":
            self._check_number("batch_size", numbers.Integral, 1)
        if self.n_threads is not None:
            self._check_number("n_threads", numbers.Integral, 1)
        if self.early_stopping and not 0.0 < self.validation_fraction < 1.0:
            raise ValueError(f"validation_fraction must be between 0 and 1. Got {self.validation_fraction!r} instead.")

    def _check_number(self, parameter: str, kind: type, least: float) -> None:
        value: Any = getattr(self, parameter)
        is_kind = isinstance(value, kind)
        if not is_kind or isinstance(value, bool) or not value >= least:
            what = "an integer" if kind is numbers.Integral else "a number"
            raise ValueError(f"{parameter} of {type(self).__name__} must be {what} of at least {least}. Got {value!r} instead.")
