"""What a training will cost, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import _core
from ._columns import CLIP, Columns
from ._estimators import MLPClassifier, MLPRegressor


@dataclass(frozen=True)
class Estimate:
    """What the training of an estimator will cost, if it runs for all of its epochs."""

    #: Mini-batches of all epochs.
    batches: int
    #: Rounds of messages that depend on each other.
    rounds: int
    #: Bytes that each of the three parties sends.
    bytes_sent: tuple[int, int, int]
    #: Memory of a party, in bytes; about.
    memory_bytes: int
    #: Wall time with the three parties on this machine.
    seconds: float
    #: The same with a local network between them: 0.1 ms one way, 10 Gbit/s.
    seconds_lan: float
    #: The same with a wide area between them: 20 ms one way, 100 Mbit/s.
    seconds_wan: float

    def __str__(self) -> str:
        return (
            f"{self.batches} mini-batches, {self.rounds} rounds, {sum(self.bytes_sent) / 1e6:.2f} MB sent by all parties together, "
            f"about {self.memory_bytes / 1e6:.0f} MB of memory for each party; {self.seconds:.1f} s here, {self.seconds_lan:.1f} s "
            f"over a LAN, {self.seconds_wan:.1f} s over a WAN"
        )


def estimate(
    X_shape: tuple[int, int], estimator: MLPClassifier | MLPRegressor | None = None, *, n_classes: int = 2
) -> Estimate:
    """Estimates what `fit` will cost for data of a shape: (n_samples, n_features), and for a classifier the number of classes.

    Rounds and bytes are exact for all `max_iter` epochs without early stopping: the training code counts them on a few mini-batches of
    zeros, whose time is measured. Without an estimator it is that of a `MLPClassifier` with defaults.

    Raises ValueError if the training cannot be carried out.
    """
    estimator = MLPClassifier() if estimator is None else estimator
    rows, features = (int(size) for size in X_shape)
    if rows < 1 or features < 1:
        raise ValueError(f"X_shape must be at least one row and one feature. Got {X_shape!r} instead.")
    estimator._check_parameters()
    standard = estimator.scaling == "standard"
    columns = Columns("standard" if standard else "none", np.zeros(features), np.ones(features), [])
    outputs = n_classes if isinstance(estimator, MLPClassifier) else 1
    layers = [features, *estimator._hidden(), outputs]
    # Of a standardised target hardly a value is more than this many deviations away.
    plan = estimator._plan(layers, rows, columns, CLIP, seed=0)
    batches, rounds, sent, memory, (here, lan, wan) = _core.estimate(plan, rows, threads=estimator.n_threads)
    return Estimate(batches, rounds, (sent[0], sent[1], sent[2]), memory, here, lan, wan)
