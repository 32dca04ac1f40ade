"""Networks in the clear, for those whom the parties have given all three shares."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _core
from ._columns import CLIP, Columns, default_names
from ._validation import Floats

if TYPE_CHECKING:
    from ._estimators import MLPClassifier, MLPRegressor


#: The layers of a regression with weights or biases above this are made smaller: below 16 they can be shared.
LARGE = 4.0

_Format = Literal["onnx", "safetensors"]


@dataclass
class RevealedModel:
    """A network with open weights: what `reveal` gives, and what `share` makes an estimator of."""

    #: Weights of each layer, a row for each input.
    coefs: list[Floats]
    #: Biases of each layer.
    intercepts: list[Floats]
    #: Names and scaling of the columns, which are applied before the network and after it.
    columns: Columns

    @classmethod
    def from_parameters(cls, layers: list[int], parameters: Floats, columns: Columns) -> RevealedModel:
        """The network of a vector of parameters: of each layer the weights, row by row, and then the biases."""
        coefs, intercepts, at = [], [], 0
        for inputs, units in zip(layers[:-1], layers[1:]):
            coefs.append(parameters[at : at + inputs * units].reshape(inputs, units).copy())
            at += inputs * units
            intercepts.append(parameters[at : at + units].copy())
            at += units
        return cls(coefs, intercepts, columns)

    @property
    def layers(self) -> list[int]:
        """Widths of all layers, the input's first."""
        return [self.coefs[0].shape[0], *(len(biases) for biases in self.intercepts)]

    @property
    def is_classifier(self) -> bool:
        """Whether the outputs are logits of classes."""
        return self.columns.target is None

    def parameters(self) -> Floats:
        """All weights and biases as one vector."""
        parts = [part.ravel() for pair in zip(self.coefs, self.intercepts) for part in pair]
        return np.concatenate(parts)

    def share(self) -> MLPClassifier | MLPRegressor:
        """A fitted estimator with this network, its weights shared among three parties: for secure inference, or for further
        training with `warm_start=True`.

        Raises ValueError if a weight leaves the range of the fixed-point numbers.
        """
        from ._estimators import from_network
        from ._models import SharedNetwork

        plan = _core.Plan(
            "classification" if self.is_classifier else "regression",
            self.layers,
            feature_bits=self.columns.feature_bits,
        )
        model = _core.SharedModel.share(plan, np.ascontiguousarray(self.parameters()))
        columns = dataclasses.replace(self.columns)
        return from_network(SharedNetwork(model, columns), columns)

    def to_sklearn(self) -> Any:
        """scikit-learn's own `MLPClassifier` or `MLPRegressor` with these weights.

        Where features are scaled, it is the last step of a `Pipeline` that does so, and clips them where they were clipped in training.
        """
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import FunctionTransformer, LabelBinarizer, StandardScaler

        hidden = tuple(self.layers[1:-1])
        coefs, intercepts = [w.copy() for w in self.coefs], [b.copy() for b in self.intercepts]
        network: Any
        if self.columns.target is None:
            network = MLPClassifier(hidden_layer_sizes=hidden)
            # scikit-learn has classes in their order.
            order = np.argsort(self.columns.classes)
            network.classes_ = self.columns.classes[order]
            coefs[-1], intercepts[-1] = coefs[-1][:, order], intercepts[-1][order]
            network._label_binarizer = LabelBinarizer().fit(network.classes_)
            if len(order) == 2:
                # Two logits are one, of their difference.
                coefs[-1] = coefs[-1][:, 1:] - coefs[-1][:, :1]
                intercepts[-1] = intercepts[-1][1:] - intercepts[-1][:1]
            network.out_activation_ = "logistic" if len(order) == 2 else "softmax"
        else:
            network = MLPRegressor(hidden_layer_sizes=hidden)
            offset, factor = self.columns.target
            coefs[-1] /= factor
            intercepts[-1] = intercepts[-1] / factor + offset
            network.out_activation_ = "identity"
        network.coefs_, network.intercepts_ = coefs, intercepts
        network.n_features_in_ = self.layers[0]
        network.n_layers_ = len(self.layers)
        network.n_outputs_ = intercepts[-1].shape[0]
        network.n_iter_, network.t_, network.loss_curve_ = 0, 0, []
        names = self.columns.given_names
        if not self.columns.changes:
            if names is not None:
                network.feature_names_in_ = names
            return network
        scaler = StandardScaler()
        constant = self.columns.factor == 0.0
        scaler.mean_ = self.columns.offset.copy()
        scaler.scale_ = np.divide(1.0, self.columns.factor, out=np.ones(self.layers[0]), where=~constant)
        scaler.var_ = scaler.scale_**2
        scaler.n_features_in_ = self.layers[0]
        if names is not None:
            scaler.feature_names_in_ = names
        scaler.n_samples_seen_ = 0
        # A column that was constant in training says nothing.
        coefs[0][constant] = 0.0
        steps: list[tuple[str, Any]] = [("scale", scaler)]
        if self.columns.standard:
            clip = FunctionTransformer(np.clip, kw_args={"a_min": -CLIP, "a_max": CLIP})
            steps.append(("clip", clip.fit(np.zeros((1, self.layers[0])))))
        return Pipeline([*steps, ("network", network)])

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Writes an ONNX file (operators of version 23), with the scaling in the graph.

        Its input is `X`, float32 rows of features as they were trained on. A classifier gives `label` and `probabilities`, a regressor
        `variable`. Weights are double-precision floats, which hold them without loss.
        """
        self._write(path, "onnx")

    def to_safetensors(self, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file: `layers.0.weight` with a row for each unit, `layers.0.bias`, ..., and the scaling in the metadata."""
        self._write(path, "safetensors")

    @classmethod
    def from_onnx(cls, path: str | os.PathLike[str]) -> RevealedModel:
        """The perceptron of an ONNX file: layers of Gemm, or of MatMul and Add, with Relu between them.

        Raises ValueError if it is no such network, and FileNotFoundError.
        """
        return cls._read(path, "onnx")

    @classmethod
    def from_safetensors(cls, path: str | os.PathLike[str]) -> RevealedModel:
        """The perceptron of a safetensors file with a tensor NAME.weight and a tensor NAME.bias for each layer.

        Raises ValueError if it is no such network, and FileNotFoundError.
        """
        return cls._read(path, "safetensors")

    def _write(self, path: str | os.PathLike[str], format: _Format) -> None:
        _core.write_open_model(Path(path), format, self.layers, self.parameters(), self.columns.described())

    @classmethod
    def _read(cls, path: str | os.PathLike[str], format: _Format) -> RevealedModel:
        layers, parameters, described = _core.read_open_model(Path(path), format)
        return cls.from_parameters(layers, parameters, Columns.from_description(json.loads(described)))

    @classmethod
    def from_sklearn(cls, estimator: Any) -> RevealedModel:
        """The network of a fitted `MLPClassifier` or `MLPRegressor` of scikit-learn, or of a `Pipeline` of `StandardScaler` and one, such as
        `to_sklearn` gives; also in a `TransformedTargetRegressor` with a `StandardScaler` for the target.

        Features are then scaled as `StandardScaler` does it, without the clip at ten deviations that trainings here have, unless the
        `Pipeline` has it as well. Features beyond the range of the fixed-point numbers are refused when they are predicted for.

        Raises ValueError for another activation than ReLU, for several targets or labels at once, and for outputs that are
        neither classes nor numbers.
        """
        if hasattr(estimator, "regressor_"):
            return cls._of_scaled_target(estimator)
        scaler, network, clipped = None, estimator, False
        if hasattr(estimator, "steps"):
            # The clip of `to_sklearn` is part of the scaling here.
            steps = [step for _, step in estimator.steps if not _is_clip(step)]
            clipped = len(steps) < len(estimator.steps)
            scaler, network = (steps[0], steps[1]) if len(steps) == 2 else (None, None)
            if type(scaler).__name__ != "StandardScaler" or not hasattr(network, "coefs_"):
                raise ValueError("a Pipeline must have two steps, StandardScaler and a fitted MLPClassifier or MLPRegressor")
        if not hasattr(network, "coefs_"):
            raise ValueError(f"{type(network).__name__} has no weights: fit it first")
        coefs = [np.array(weights, dtype=np.float64) for weights in network.coefs_]
        intercepts = [np.array(biases, dtype=np.float64) for biases in network.intercepts_]
        if network.activation != "relu" and len(coefs) > 1:
            raise ValueError(f"the activation is {network.activation!r}: only networks with 'relu' can be shared")
        width = coefs[0].shape[0]
        columns = Columns("none", np.zeros(width), np.ones(width), _names(network, width))
        if scaler is not None:
            columns.names = _names(scaler, width)
            columns.scaling = "standard" if clipped else "none"
            if scaler.mean_ is not None:
                columns.offset = np.array(scaler.mean_)
            if scaler.scale_ is not None:
                columns.factor = 1.0 / np.array(scaler.scale_)
        if network.out_activation_ not in ("identity", "logistic", "softmax"):
            raise ValueError(
                f"the activation of the outputs is {network.out_activation_!r}: only networks with 'identity', 'logistic' or 'softmax' "
                "can be shared, which a loss such as 'squared_error' gives"
            )
        if network.out_activation_ == "identity":
            if intercepts[-1].shape[0] != 1:
                raise ValueError(f"the network has {intercepts[-1].shape[0]} targets: only one can be shared")
            columns.target = _take_out(coefs, intercepts)
        else:
            columns.classes = np.array(network.classes_)
            if network.out_activation_ == "logistic":
                if intercepts[-1].shape[0] != 1:
                    raise ValueError("a network for several labels at once cannot be shared: train one for each label")
                coefs[-1] = np.hstack([-coefs[-1] / 2.0, coefs[-1] / 2.0])
                intercepts[-1] = np.concatenate([-intercepts[-1] / 2.0, intercepts[-1] / 2.0])
        return cls(coefs, intercepts, columns)


    @classmethod
    def _of_scaled_target(cls, estimator: Any) -> RevealedModel:
        """The network of a fitted `TransformedTargetRegressor`."""
        scaler = estimator.transformer_
        if type(scaler).__name__ != "StandardScaler":
            raise ValueError(f"the transformer of the target is {type(scaler).__name__}: only a StandardScaler can be taken over")
        model = cls.from_sklearn(estimator.regressor_)
        mean = 0.0 if scaler.mean_ is None else float(scaler.mean_[0])
        scale = 1.0 if scaler.scale_ is None else float(scaler.scale_[0])
        offset, factor = model.columns.target or (0.0, 1.0)
        model.columns.target = (offset * scale + mean, factor / scale)
        return model


def _take_out(coefs: list[Floats], intercepts: list[Floats]) -> tuple[float, float]:
    """Makes large layers of a regression smaller, in place, and returns the offset and factor of the target that make up for it.

    A positive factor passes through ReLU, and powers of two lose no digit.
    """
    if max(float(np.abs(part).max()) for part in (*coefs, *intercepts)) <= LARGE:
        return 0.0, 1.0
    offset, scale = float(intercepts[-1][0]), 1.0
    intercepts[-1] = np.zeros(1)
    for at, (weights, biases) in enumerate(zip(coefs, intercepts)):
        largest = max(float(np.abs(weights).max()), scale * float(np.abs(biases).max()))
        factor = 2.0 ** -math.ceil(math.log2(largest)) if largest > 1.0 else 1.0
        scale *= factor
        coefs[at], intercepts[at] = weights * factor, biases * scale
    return offset, scale


def _is_clip(step: Any) -> bool:
    """Whether a step of a Pipeline clips as a training here does."""
    return getattr(step, "func", None) is np.clip and step.kw_args == {"a_min": -CLIP, "a_max": CLIP}


def _names(estimator: Any, width: int) -> list[str]:
    names = getattr(estimator, "feature_names_in_", None)
    return default_names(width) if names is None else [str(name) for name in names]
