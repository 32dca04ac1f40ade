"""Trained networks: shared among three parties, or in the clear; and where shared ones are kept."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._columns import Columns
from ._validation import Floats

if TYPE_CHECKING:
    from ._estimators import MLPClassifier, MLPRegressor


def model_home() -> Path:
    """The directory in which pickled estimators keep their shares, a directory for each model.

    It is `$SHAMISEN_HOME/models`, or `shamisen/models` in the user's directory for application data.
    """
    home = os.environ.get("SHAMISEN_HOME")
    if home:
        return Path(home) / "models"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "shamisen" / "models"


def load(directory: str | os.PathLike[str]) -> MLPClassifier | MLPRegressor:
    """An estimator with the model of a directory, as `save` or `shamisen train --model` wrote it.

    Raises FileNotFoundError if a file is missing, and ValueError if one is damaged or of another model.
    """
    from ._estimators import from_network

    network = SharedNetwork.load(Path(directory))
    return from_network(network, network.columns)


class LastOutputs:
    """What a network gave for the rows that it was last asked for.

    The same rows again have the same outputs, which are not computed anew: truncation rounds at random, and `predict`, `predict_proba`
    and `score` of the same rows must agree with one another.
    """

    def __init__(self) -> None:
        #: A digest of the inputs, and the outputs.
        self._last: tuple[bytes, Floats] | None = None

    def of(self, inputs: Floats, compute: Callable[[Floats], Floats]) -> Floats:
        """The outputs for these inputs."""
        digest = hashlib.sha256(repr(inputs.shape).encode() + np.ascontiguousarray(inputs).tobytes()).digest()
        if self._last is None or self._last[0] != digest:
            self._last = (digest, compute(inputs))
        return self._last[1].copy()


class SharedNetwork:
    """A network whose parameters are shared among three parties.

    It is pickled as the place and the id of its share files, never as weights.
    """

    def __init__(
        self,
        model: _core.SharedModel | None,
        columns: Columns,
        rows: int = 0,
        seconds: float = 0.0,
        loss: float | None = None,
    ) -> None:
        self._model = model
        self.columns = columns
        #: Of its training: rows, wall time, and the loss of the last epoch.
        self.training = (rows, seconds, loss)
        #: Where its files are, and its id in them.
        self._kept: tuple[Path, str] | None = None
        self._last = LastOutputs()

    @property
    def model(self) -> _core.SharedModel:
        """The shares; read from their files if this was unpickled."""
        if self._model is None:
            assert self._kept is not None
            directory, wanted = self._kept
            network = SharedNetwork.load(directory)
            if network._kept != self._kept:
                raise ValueError(f"{directory} has another model than the one that was pickled, whose id is {wanted}: put that one back")
            self._model = network.model
        return self._model

    @property
    def layers(self) -> list[int]:
        """Widths of all layers, the input's first."""
        return self.model.layers

    def outputs(self, inputs: Floats) -> Floats:
        """Probabilities of the classes, or numbers, computed under sharing."""
        return self._last.of(inputs, self.model.predict)

    def shared(self, plan: _core.Plan) -> _core.SharedModel:
        """The shares, to go on from with a training by a plan."""
        return self.model

    def reveal(self) -> Floats:
        """The parameters in the clear."""
        return self.model.reveal()

    def save(self, directory: Path) -> str:
        """Writes a model directory, which must not exist, and returns the id of the model in it."""
        if directory.exists():
            raise FileExistsError(f"{directory} exists already: name a new directory for the model, or remove this one")
        directory.parent.mkdir(parents=True, exist_ok=True)
        staged = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
        staged.mkdir(mode=0o700)
        try:
            written = self.model.save(staged, self.columns.described(), *self.training)
            staged.rename(directory)
        except BaseException:
            for path in staged.iterdir():
                path.unlink()
            staged.rmdir()
            raise
        return written

    @classmethod
    def load(cls, directory: Path) -> SharedNetwork:
        """Reads a model directory."""
        if not directory.is_dir():
            raise FileNotFoundError(f"{directory} is no directory: name the directory of a model")
        model, text = _core.SharedModel.load(directory)
        described = json.loads(text)
        training = (described["rows"], described["seconds"], described["loss"])
        network = cls(model, Columns.from_description(described), *training)
        network._kept = (directory.absolute(), described["id"])
        return network

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedNetwork:
        # A training makes a new network: this one never changes.
        return self

    def __getstate__(self) -> dict[str, Any]:
        if self._kept is None:
            directory = (model_home() / uuid.uuid4().hex).absolute()
            self._kept = (directory, self.save(directory))
        directory, written = self._kept
        return {"columns": self.columns, "training": self.training, "directory": str(directory), "id": written}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(None, state["columns"], *state["training"])
        self._kept = (Path(state["directory"]), state["id"])


class PlainNetwork:
    """A network with open parameters, of the float twin."""

    def __init__(self, layers: list[int], parameters: Floats, columns: Columns) -> None:
        self.layers = layers
        self.parameters = parameters
        self.columns = columns

    def outputs(self, inputs: Floats) -> Floats:
        """Probabilities of the classes, or numbers."""
        outputs = _core.plain_outputs(self.layers, self.parameters, inputs)
        if self.columns.target is not None:
            return outputs
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def shared(self, plan: _core.Plan) -> _core.SharedModel:
        """The parameters, shared to go on from with a training by a plan."""
        return _core.SharedModel.share(plan, self.parameters)

    def reveal(self) -> Floats:
        """The parameters."""
        return self.parameters.copy()
