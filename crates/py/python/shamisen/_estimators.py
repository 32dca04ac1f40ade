"""`MLPClassifier` and `MLPRegressor` after scikit-learn's conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _validation
from ._cluster import Cluster
from ._columns import Columns, standard_maps, unit_of
from ._models import SharedNetwork
from ._perceptron import Perceptron
from ._sklearn import ClassifierMixin, RegressorMixin
from ._validation import Floats


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multi-layer perceptron for classes, trained on secret shares.

    Three parties train by the real protocol, as threads of this process; none of them sees a feature, a class, a weight or a
    prediction. Opened are the shape of the job, the mean loss after mini-batches 1, 2, 4, 8, every 16th and the last of each
    epoch, and with `early_stopping` the accuracy on the validation rows after each epoch.

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
        `n_iter_no_change` epochs in a row; never before `max_iter` if that is infinite.
    verbose : bool, default=False
        Show progress: a bar on a terminal and in a notebook, otherwise a line for each epoch.
    warm_start : bool, default=False
        Go on with the network of the last `fit`, with its classes and its scaling; the optimiser begins anew.
    momentum : float, default=0.9
        Of 'sgd': 0, or 0.5 to 0.99.
    nesterovs_momentum : {False}, default=False
        The momentum is the classical one.
    early_stopping, validation_fraction : bool, default=False; float, default=0.1
        Hold out rows, of each class its part, and keep the network with the best score on them.
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
    cluster : Cluster or None, default=None
        Three servers that train, on a data set of theirs, and predict; from `shamisen.connect`. They train for `max_iter` epochs, whatever
        `tol` and `n_iter_no_change` are, on features that the owner has scaled. Rows to predict for are shared on this machine, and
        predictions are opened on it. Ctrl-C cancels the training; if this process is killed, it goes on, and `cluster.model` finds
        the model.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    loss_, best_loss_, loss_curve_ : float, float or None, list of float
        Mean cross-entropy of the rows of an epoch, as each mini-batch had it before its update.
    validation_scores_, best_validation_score_ : list of float or None, float or None
    n_iter_, t_, n_layers_, n_outputs_, n_features_in_ : int
    feature_names_in_ : array, if the features had names
    cost_ : dict or None
        `rounds` of messages, of the party that takes part in most, and `bytes_sent` by all three parties in the training; None of
        `backend='plain'` and of a training at servers.
    job_, metrics_ : str, dict
        Of a training at servers: the id of its job, which is that of its model, and the scores on the owner's test rows (accuracy and
        cross_entropy, or r2 and mse). `loss_curve_` and `loss_` are None, if the terms do not let the loss out.
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
            _validation.check_kind(labels, known.classes, type(self).__name__)
            order = np.argsort(known.classes)
            places = np.searchsorted(known.classes, labels, sorter=order)
            places[places == len(known.classes)] = 0
            places = order[places]
            if (known.classes[places] != labels).any():
                raise ValueError(
                    "warm_start can only be used where `self.classes_` has all classes of y; previously got "
                    f"{known.classes}, and y has {classes}"
                )
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
        owner = type(self).__name__
        self._fitted()
        labels = _validation.classes(y, len(X), owner)
        _validation.check_kind(labels, self.classes_, owner)
        right = self.predict(X) == labels
        return float(np.average(right, weights=sample_weight))


class MLPRegressor(RegressorMixin, Perceptron):
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
        n_iter_no_change: float = 10,
        refresh: int = 1,
        scaling: str | None = "standard",
        target_scaling: str | None = "standard",
        backend: str = "local",
        n_threads: int | None = None,
        cluster: Cluster | None = None,
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
            cluster=cluster,
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
            known.target = (0.0, 1.0)
            if self.target_scaling == "standard":
                offset, factor = standard_maps(target)
                known.target = (float(offset), float(factor) or 1.0)
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
        # In units, no square overflows or vanishes.
        unit = unit_of(truth)
        predicted, truth = self.predict(X) / unit, truth / unit
        errors = float((weights * (truth - predicted) ** 2).sum())
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
    names = columns.given_names
    if names is not None:
        estimator.feature_names_in_ = names
    return estimator
