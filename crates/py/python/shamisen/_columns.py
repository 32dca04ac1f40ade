"""What leads from the columns of a table to the inputs of a network, and from its outputs back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._validation import Floats

#: Standardised features are clipped at this many standard deviations.
CLIP = 10.0


@dataclass
class Columns:
    """Names and scaling of the columns of a model.

    These are statistics of the training data. Who predicts needs them; the parties do not.
    """

    #: How features are scaled: `standard` clips them after that, `min-max` and `none` do not.
    scaling: _core.Scaling
    #: What is subtracted from each feature, and what it is then multiplied with: 0 for a constant column.
    offset: Floats
    factor: Floats
    names: list[str]
    #: Offset and factor of the target of a regression.
    target: tuple[float, float] | None = None
    #: The classes in the order of the outputs; none for a regression.
    classes: npt.NDArray[Any] = field(default_factory=lambda: np.array([]))
    #: All that a file says of the columns, in JSON: it is written again, as long as it agrees with the rest.
    whole: str | None = field(default=None, repr=False)

    @classmethod
    def fit(cls, X: Floats, names: list[str] | None, standard: bool) -> Columns:
        """The columns of training data, standardised or taken as they are."""
        width = X.shape[1]
        offset, factor = standard_maps(X) if standard else (np.zeros(width), np.ones(width))
        scaling: _core.Scaling = "standard" if standard else "none"
        return cls(scaling, offset, factor, names or default_names(width))

    @property
    def given_names(self) -> npt.NDArray[np.object_] | None:
        """The names, unless they stand in for names that nobody has given."""
        return None if self.names == default_names(len(self.names)) else np.array(self.names, dtype=object)

    @property
    def standard(self) -> bool:
        """Whether features are clipped."""
        return self.scaling == "standard"

    @property
    def changes(self) -> bool:
        """Whether features become other numbers before they are the inputs of the network."""
        return self.standard or bool((self.offset != 0.0).any() or (self.factor != 1.0).any())

    def scale(self, X: Floats) -> Floats:
        """The inputs of the network."""
        scaled = (X - self.offset) * self.factor
        if self.standard:
            np.clip(scaled, -CLIP, CLIP, out=scaled)
        beyond = np.abs(scaled) > _core.LIMIT
        if beyond.any():
            row, column = (int(place) for place in np.argwhere(beyond)[0])
            raise ValueError(
                f"X, row {row}, column {self.names[column]!r}: the value {X[row, column]:g} is beyond ±{_core.LIMIT:g}, which leaves "
                "the range of the fixed-point numbers: use scaling='standard', or scale the features"
            )
        return np.ascontiguousarray(scaled)

    @property
    def feature_bits(self) -> int:
        """No scaled feature is above two to this power."""
        return math.ceil(math.log2(CLIP if self.standard else _core.LIMIT))

    def scale_target(self, y: Floats) -> Floats:
        """The target as the network learns it, a column."""
        offset, factor = self.target or (0.0, 1.0)
        scaled = (y - offset) * factor
        largest = float(np.abs(scaled).max())
        if largest > _core.LIMIT:
            raise ValueError(
                f"y holds {largest:g}, beyond ±{_core.LIMIT:g}, which leaves the range of the fixed-point numbers: use "
                "target_scaling='standard', or scale the target"
            )
        return scaled.reshape(-1, 1)

    def target_of(self, outputs: Floats) -> Floats:
        """The target in its own unit."""
        offset, factor = self.target or (0.0, 1.0)
        return np.asarray(outputs[:, 0] / factor + offset)

    def described(self) -> _core.Columns:
        """The columns as a model directory keeps them."""
        return {
            "feature_names": [str(name) for name in self.names],
            "target_name": "y",
            "scaling": self.scaling,
            "offset": self.offset.tolist(),
            "factor": self.factor.tolist(),
            "target": self.target,
            "classes": [str(label) for label in self.classes],
            "whole": self.whole,
        }

    @classmethod
    def from_description(cls, described: dict[str, Any]) -> Columns:
        """The columns of a model directory."""
        return cls(
            scaling=described["scaling"],
            offset=np.array(described["offset"], dtype=np.float64),
            factor=np.array(described["factor"], dtype=np.float64),
            names=list(described["feature_names"]),
            target=tuple(described["target"]) if described["target"] is not None else None,
            classes=labels(described["classes"]),
            whole=described["whole"],
        )


def standard_maps(X: Floats) -> tuple[Floats, Floats]:
    """Offset and factor that take each column to mean 0 and standard deviation 1; the factor is 0 where all values are equal, or too
    close for a finite one."""
    unit = unit_of(X)
    # In units, no square overflows or vanishes.
    values = X / unit
    least = X.min(axis=0)
    mean, deviation = values.mean(axis=0) * unit, values.std(axis=0) * unit
    with np.errstate(divide="ignore", over="ignore"):
        factor = 1.0 / deviation
    # The deviation of equal values may be a rounding error away from 0.
    varies = (least < X.max(axis=0)) & np.isfinite(factor)
    return np.where(varies, mean, least), np.where(varies, factor, 0.0)


def unit_of(X: Floats) -> Floats:
    """The power of two below the largest magnitude of each column: to divide by it loses no digit."""
    _, exponent = np.frexp(np.abs(X).max(axis=0))
    return np.asarray(np.ldexp(1.0, exponent - 1))


def default_names(width: int) -> list[str]:
    """Names for columns without any."""
    return [f"x{column}" for column in range(width)]


def labels(names: list[str]) -> npt.NDArray[Any]:
    """Classes as truth values or numbers, where that is what all of their names are written from; otherwise as text."""
    if set(names) == {"False", "True"}:
        return np.array([name == "True" for name in names])
    for kind in (np.int64, np.float64):
        try:
            numbers = [kind(name) for name in names]
        except (ValueError, OverflowError):
            continue
        # Other ways to write a number, such as 01 or 1_000, are names of their own.
        if np.isfinite(numbers).all() and [str(number) for number in numbers] == names:
            return np.array(numbers)
    return np.array(names)
