"""The three servers of a cluster: their data sets, models and jobs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from ._estimators import MLPClassifier, MLPRegressor


def connect(cluster: str | os.PathLike[str], key: str | os.PathLike[str], *, timeout: float = 30.0) -> Cluster:
    """Connects to three servers as an analyst.

    Parameters
    ----------
    cluster : path
        The file with addresses and fingerprints of the three servers, as their operators give it.
    key : path
        The directory of the own key, as `shamisen keygen --role analyst` made it.
    timeout : float, default=30.0
        Longest wait for an answer of a server, in seconds.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is not there or makes no sense.
    ConnectionError, TimeoutError
        If none of the servers can be reached, or answers in time.
    PermissionError
        If the servers do not know the key.
    """
    connected = Cluster(cluster, key, timeout)
    connected.who_am_i()
    return connected


@dataclass(frozen=True)
class DataSet:
    """A data set that an owner has given to the three servers, as secret shares: what is public about it."""

    name: str
    id: str
    owner: str
    #: `classification` or `regression`; None without a target.
    task: str | None
    #: Rows to train on, and to test on.
    rows: int
    test_rows: int
    features: tuple[str, ...]
    target: str
    #: Of a classification.
    classes: tuple[str, ...]
    #: On what terms it is given, by the names of `terms.toml`.
    terms: dict[str, Any] = field(repr=False)
    #: Trainings that were admitted so far.
    trainings: int
    #: Whether the last day of the terms is over.
    expired: bool
    cluster: Cluster = field(repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows to train on, and features."""
        return self.rows, len(self.features)

    @classmethod
    def _described(cls, cluster: Cluster, told: dict[str, Any]) -> DataSet:
        schema = told["schema"]
        return cls(
            name=told["name"],
            id=told["id"],
            owner=told["owner"],
            task=told["task"],
            rows=told["rows"],
            test_rows=told["test_rows"],
            features=tuple(schema["features"]),
            target=schema["target"],
            classes=tuple(schema["classes"]),
            terms=told["terms"],
            trainings=told["trainings"],
            expired=told["expired"],
            cluster=cluster,
        )


class Cluster:
    """Three servers, asked with a key. It is pickled as the places of its two files."""

    def __init__(self, file: str | os.PathLike[str], key: str | os.PathLike[str], timeout: float = 30.0) -> None:
        self.file, self.key, self.timeout = Path(file).absolute(), Path(key).absolute(), float(timeout)
        self._connection: _core.Cluster | None = None

    @property
    def connection(self) -> _core.Cluster:
        """The servers and the key, read when they are needed first."""
        if self._connection is None:
            self._connection = _core.Cluster(self.file, self.key, self.timeout)
        return self._connection

    @property
    def fingerprint(self) -> str:
        """Of the own key: what owners put into their terms."""
        return self.connection.fingerprint

    def who_am_i(self) -> dict[str, str]:
        """As whom the servers know the key: name, role and fingerprint."""
        known: dict[str, str] = json.loads(self.connection.who_am_i())
        return known

    def datasets(self) -> list[DataSet]:
        """The data sets whose terms name the own key, by their names."""
        found = [DataSet._described(self, told) for told in json.loads(self.connection.datasets())]
        return sorted(found, key=lambda data: (data.name, data.id))

    def dataset(self, name: str) -> DataSet:
        """The data set with a name or id. Raises LookupError if there is none that this key may know of."""
        return DataSet._described(self, json.loads(self.connection.dataset(name)))

    def models(self) -> list[dict[str, Any]]:
        """What is public of the models that the servers keep and this key may use, the latest first."""
        models: list[dict[str, Any]] = json.loads(self.connection.models())
        return models

    def model(self, name: str) -> MLPClassifier | MLPRegressor:
        """A fitted estimator for the model with a name, an id, or the beginning of an id; the latest one of that name.

        Raises LookupError if there is none that this key may know of.
        """
        from ._cluster_training import from_model

        return from_model(self, json.loads(self.connection.model(name)))

    def jobs(self) -> list[dict[str, Any]]:
        """The status of the own jobs, the latest first."""
        jobs: list[dict[str, Any]] = json.loads(self.connection.jobs())
        return jobs

    def cancel(self, job: str) -> None:
        """Cancels the job with a name, an id, or the beginning of an id, at all three servers."""
        self.connection.cancel(job)

    def __repr__(self) -> str:
        return f"Cluster({str(self.file)!r}, key={str(self.key)!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Cluster:
        # `clone` copies parameters; a copy would be the same servers.
        return self

    def __reduce__(self) -> tuple[type[Cluster], tuple[str, str, float]]:
        return Cluster, (str(self.file), str(self.key), self.timeout)
