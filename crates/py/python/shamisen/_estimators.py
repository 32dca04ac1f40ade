"""`MLPClassifier` and `MLPRegressor` after scikit-learn's conventions."""

from __future__ import annotations

import numbers
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _core, _validation
from ._columns import Columns
from ._models import PlainNetwork, SharedNetwork
from ._progress import Progress
from ._revealed import RevealedModel
from ._sklearn import (
    BaseEstimator,
    ClassifierMixin,
    ConvergenceWarning,
    NotFittedError,
    RegressorMixin,
)
from ._validation import Floats

#: Inputs and targets of the network, row by row.
Rows = tuple[Floats, Floats]


class _Perceptron(BaseEstimator):
    """What classifier and regressor have in common."""

    _task: Literal["classification", "regression"]
    n_features_in_: int

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
        n_iter_no_change: int = 10,
        refresh: int = 1,
        scaling: str | None = "standard",
        backend: str = "local",
        n_threads: int | None = None,
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

    def fit(self, X: Any, y: Any) -> Any:
        """Shares the rows among three parties, which train the network.

        Parameters
        ----------
        X : array or DataFrame of shape (n_samples, n_features)
            Finite numbers.
        y : array of shape (n_samples,)
            A class or a number for each row.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data or parameters make no sense, with a sentence that says what to do.
        ArithmeticError
            If a number leaves the range of the fixed-point numbers during the training.
        """
        owner = type(self).__name__
        self._check_parameters()
        matrix = _validation.features(X, owner)
        names = _validation.feature_names(X)
        continued = self.warm_start and hasattr(self, "_network")
        if continued:
            _validation.check_width(matrix, self.n_features_in_, owner)
        columns = self._network.columns if continued else None
        columns, targets = self._prepare(matrix, y, names, columns)
        seed = _validation.seed(self.random_state)
        inputs = columns.scale(matrix)
        held = self._hold_out(targets, seed)
        rows: Rows = (inputs[~held], targets[~held])
        validation: Rows | None = (inputs[held], targets[held]) if held.any() else None
        layers = [inputs.shape[1], *self._hidden(), targets.shape[1]]
        start = self._network if continued else None
        if start is not None and start.layers != layers:
            raise ValueError(
                f"warm_start=True goes on with the network {start.layers}, but the parameters and the data ask for {layers}: set "
                "warm_start=False, or keep hidden_layer_sizes"
            )
        largest = float(np.abs(rows[1]).max())
        self._train(self._plan(layers, len(rows[0]), columns, largest, seed), rows, validation, columns, start)
        self.n_features_in_ = inputs.shape[1]
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
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
        sizes = self.hidden_layer_sizes
        return [sizes] if isinstance(sizes, int) else [int(size) for size in sizes]

    def _hold_out(self, targets: Floats, seed: int) -> npt.NDArray[np.bool_]:
        """Which rows the training is validated on."""
        held = np.zeros(len(targets), dtype=bool)
        if not self.early_stopping:
            return held
        generator = np.random.default_rng(seed)
        for rows in self._strata(targets):
            count = int(np.ceil(self.validation_fraction * len(rows)))
            held[generator.permutation(rows)[: min(count, len(rows) - 1)]] = True
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
            warnings.warn(f"batch_size={batch} is larger than the number of samples, {count}: it is clipped", stacklevel=3)
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
    ) -> None:
        patience = int(min(self.n_iter_no_change, self.max_iter))
        stopping: _core.Stopping = {"tol": float(self.tol), "patience": patience}
        progress = Progress(self.max_iter) if self.verbose else None
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
                    start=start.model if isinstance(start, SharedNetwork) else None,
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
        if not converged and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _outputs(self, X: Any) -> Floats:
        """What the network gives for rows."""
        owner = type(self).__name__
        network = self._fitted()
        _validation.check_names(X, getattr(self, "feature_names_in_", None), owner)
        matrix = _validation.features(X, owner)
        _validation.check_width(matrix, self.n_features_in_, owner)
        return network.outputs(network.columns.scale(matrix))

    def _fitted(self) -> SharedNetwork | PlainNetwork:
        if not hasattr(self, "_network"):
            name = type(self).__name__
            raise NotFittedError(
                f"This {name} instance is not fitted yet. Call 'fit' with appropriate arguments before using this estimator."
            )
        network: SharedNetwork | PlainNetwork = self._network
        return network

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_network")

    def reveal(self) -> RevealedModel:
        """Opens the weights, which until then no party knows: for export, and for whoever may see them."""
        network = self._fitted()
        return RevealedModel.from_parameters(network.layers, network.reveal(), network.columns)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Keeps the model, still shared, in a new directory, as `shamisen train --model` does: a share for each party, and what is
        public. `shamisen.load` and `shamisen predict --model` read it.
        """
        network = self._fitted()
        if not isinstance(network, SharedNetwork):
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
        listed = [sizes] if isinstance(sizes, int) else sizes
        if isinstance(listed, str) or not all(isinstance(size, numbers.Integral) and int(size) > 0 for size in listed):
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


class MLPClassifier(ClassifierMixin, _Perceptron):
    """A multi-layer perceptron for classes, trained on secret shares.

    Three parties train by the real protocol, as threads of this process; none of them sees a feature, a class, a weight or a
    prediction. Opened are the shape of the job, the mean loss every 16 mini-batches and at the end of each epoch, and with
    `early_stopping` the accuracy on the validation rows after each epoch.

    Parameters and attributes have the names and defaults of scikit-learn's `MLPClassifier`, where they mean the same.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Widths of the hidden layers; `()` is logistic regression.
    activation : {'relu'}, default='relu'
    solver : {'adam', 'sgd'}, default='adam'
        Adam as published, or stochastic gradient descent.
    alpha : float, default=0.0001
        L2 penalty, divided by the rows of a mini-batch as in scikit-learn. `loss_curve_` does not include it.
    batch_size : int or 'auto', default='auto'
        Rows of a mini-batch, up to 2048; 'auto' is `min(200, n_samples)`.
    learning_rate : {'constant'}, default='constant'
    learning_rate_init : float, default=0.001
    max_iter : int, default=200
        Largest number of epochs.
    shuffle : {True}, default=True
    random_state : int, RandomState or None, default=None
        Decides the public seed of weights, order of rows and validation rows. The masks of the shares come from the operating system,
        and truncation rounds at random, so that results vary a little.
    tol, n_iter_no_change : float, default=1e-4; int, default=10
        The training ends when the loss (or with `early_stopping` the score) has not become better by `tol` for more than
        `n_iter_no_change` epochs in a row.
    verbose : bool, default=False
        Show progress: a bar on a terminal and in a notebook, otherwise a line for each epoch.
    warm_start : bool, default=False
        Go on with the network of the last `fit`, with its classes and its scaling; the optimiser begins anew.
    momentum : float, default=0.9
        Of 'sgd': 0, or 0.5 to 0.99.
    nesterovs_momentum : {False}, default=False
        The momentum is the classical one.
    early_stopping, validation_fraction : bool, default=False; float, default=0.1
        Hold out rows, and keep the network with the best score on them.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Of 'adam'.
    refresh : int, default=1
        Adam computes its preconditioner anew every so many steps: 1 is Adam as published, 16 is cheaper.
    scaling : {'standard', None}, default='standard'
        Standardise features by statistics of the training rows and clip them at ten deviations, or take them as they are. This is done
        where the rows are, before they are shared.
    backend : {'local', 'plain'}, default='local'
        Three local parties, or the float twin: the same training in the clear.
    n_threads : int or None, default=None
        Threads of each party, where the network is large enough: 4096 parameters a thread. By default a third of the cores, and for
        Adam at least two.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    loss_, best_loss_, loss_curve_ : float, float or None, list of float
        Mean cross-entropy of the rows of an epoch, as each mini-batch had it before its update.
    validation_scores_, best_validation_score_ : list of float or None, float or None
    n_iter_, t_, n_layers_, n_outputs_, n_features_in_ : int
    feature_names_in_ : array, if the features had names
    cost_ : dict or None
        Rounds, and bytes that all three parties sent, in the training.
    """

    _task = "classification"

    def _prepare(
        self, X: Floats, y: Any, names: npt.NDArray[np.object_] | None, known: Columns | None
    ) -> tuple[Columns, Floats]:
        labels = _validation.classes(y, len(X), type(self).__name__)
        classes, places = np.unique(labels, return_inverse=True)
        if known is None:
            if len(classes) < 2:
                raise ValueError(
                    f"all samples are of one class, {classes[0]}: {type(self).__name__} needs at least two classes to tell apart"
                )
            known = self._new_columns(X, names)
            known.classes = classes
        else:
            places = np.searchsorted(known.classes, labels)
            places[places == len(known.classes)] = 0
            if (known.classes[places] != labels).any():
                raise ValueError(
                    "warm_start can only be used where `self.classes_` has all classes of y; previously got "
                    f"{known.classes}, and y has {classes}"
                )
        self.classes_ = known.classes
        targets = np.zeros((len(X), len(known.classes)))
        targets[np.arange(len(X)), places] = 1.0
        return known, targets

    def _strata(self, targets: Floats) -> list[npt.NDArray[np.intp]]:
        classes = targets.argmax(axis=1)
        return [np.flatnonzero(classes == label) for label in range(targets.shape[1])]

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities of the classes, computed under sharing and opened to the caller: shape (n_samples, n_classes)."""
        probabilities = np.clip(self._outputs(X), 0.0, None)
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))

    def predict_log_proba(self, X: Any) -> Floats:
        """Logarithms of the probabilities."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable class of each row."""
        best = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the rows whose class is predicted."""
        right = self.predict(X) == _validation.classes(y, len(X), type(self).__name__)
        return float(np.average(right, weights=sample_weight))


class MLPRegressor(RegressorMixin, _Perceptron):
    """A multi-layer perceptron for numbers, trained on secret shares.

    As `MLPClassifier`, with half the mean squared error as the loss. Besides, the magnitude of the largest scaled target is public, as a
    power of two; with `early_stopping` R2 is what is opened after each epoch.

    Parameters
    ----------
    target_scaling : {'standard', None}, default='standard'
        Standardise the target before it is shared, or take it as it is. Losses are those of the scaled target; predictions and scores
        are in the target's own unit.
    """

    _task = "regression"

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
        n_iter_no_change: int = 10,
        refresh: int = 1,
        scaling: str | None = "standard",
        target_scaling: str | None = "standard",
        backend: str = "local",
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            refresh=refresh,
            scaling=scaling,
            backend=backend,
            n_threads=n_threads,
        )
        self.target_scaling = target_scaling

    def _prepare(
        self, X: Floats, y: Any, names: npt.NDArray[np.object_] | None, known: Columns | None
    ) -> tuple[Columns, Floats]:
        if self.target_scaling not in ("standard", None):
            raise ValueError(f"target_scaling={self.target_scaling!r} is not available: use 'standard' or None")
        target = _validation.targets(y, len(X), type(self).__name__)
        if known is None:
            known = self._new_columns(X, names)
            deviation = float(target.std())
            if self.target_scaling == "standard":
                known.target = (float(target.mean()), 1.0 / deviation if deviation > 0.0 else 1.0)
            else:
                known.target = (0.0, 1.0)
        return known, known.scale_target(target)

    def _strata(self, targets: Floats) -> list[npt.NDArray[np.intp]]:
        return [np.arange(len(targets))]

    def predict(self, X: Any) -> Floats:
        """The number for each row, computed under sharing and opened to the caller."""
        outputs = self._outputs(X)
        return self._fitted().columns.target_of(outputs)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination, R2."""
        truth = _validation.targets(y, len(X), type(self).__name__)
        weights = np.ones(len(truth)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        errors = float((weights * (truth - self.predict(X)) ** 2).sum())
        spread = float((weights * (truth - np.average(truth, weights=weights)) ** 2).sum())
        if spread == 0.0:
            return 1.0 if errors == 0.0 else 0.0
        return 1.0 - errors / spread


def from_network(network: SharedNetwork, columns: Columns) -> MLPClassifier | MLPRegressor:
    """A fitted estimator with a shared network."""
    layers = network.layers
    hidden = tuple(layers[1:-1])
    scaling = "standard" if columns.standard else None
    estimator: MLPClassifier | MLPRegressor
    if columns.target is None:
        estimator = MLPClassifier(hidden, scaling=scaling)
        estimator.classes_ = columns.classes
    else:
        estimator = MLPRegressor(hidden, scaling=scaling)
    estimator._network = network
    estimator.n_features_in_, estimator.n_layers_, estimator.n_outputs_ = layers[0], len(layers), layers[-1]
    return estimator
