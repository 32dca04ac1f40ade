from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = tuple[Floats, Floats]
Report = Callable[[int, int, int, float | None], object]
Scaling = Literal["standard", "min-max", "none"]
Told = tuple[list[float], list[float], bool]

__version__: str
LIMIT: float
MAX_BATCH: int

class Stopping(TypedDict):
    tol: float
    patience: int

class Columns(TypedDict):
    feature_names: list[str]
    target_name: str
    scaling: Scaling
    offset: list[float]
    factor: list[float]
    target: tuple[float, float] | None
    classes: list[str]
    whole: str | None

class Table(TypedDict):
    datasets: list[str]
    join: str
    columns: list[str]

class Training(TypedDict):
    hidden: list[int]
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    momentum: float
    beta_1: float
    beta_2: float
    refresh: int
    seed: int

class Plan:
    def __init__(
        self,
        task: Literal["classification", "regression"],
        layers: list[int],
        *,
        optimizer: str = ...,
        learning_rate: float = ...,
        weight_decay: float = ...,
        momentum: float = ...,
        beta_1: float = ...,
        beta_2: float = ...,
        refresh: int = ...,
        batch_size: int = ...,
        epochs: int = ...,
        seed: int = ...,
        feature_bits: int = ...,
        target_bits: int = ...,
    ) -> None: ...
    @property
    def layers(self) -> list[int]: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def parameters(self) -> int: ...

class SharedModel:
    @staticmethod
    def share(plan: Plan, parameters: Floats) -> SharedModel: ...
    @property
    def layers(self) -> list[int]: ...
    @property
    def seed(self) -> int: ...
    def predict(self, features: Floats) -> Floats: ...
    def reveal(self) -> Floats: ...
    def save(self, directory: Path, columns: Columns, rows: int, seconds: float, loss: float | None) -> str: ...
    @staticmethod
    def load(directory: Path) -> tuple[SharedModel, str]: ...

class Cluster:
    def __init__(self, file: Path, key: Path, timeout: float) -> None: ...
    @property
    def fingerprint(self) -> str: ...
    def who_am_i(self) -> str: ...
    def datasets(self) -> str: ...
    def dataset(self, reference: str) -> str: ...
    def models(self) -> str: ...
    def model(self, reference: str) -> str: ...
    def jobs(self) -> str: ...
    def cancel(self, reference: str) -> str: ...
    def train(
        self, name: str, table: Table, training: Training, outputs: list[str], progress: Callable[[str], object]
    ) -> str: ...
    def predict(self, model: str, features: Floats) -> Floats: ...
    def columns(self, model: str) -> str: ...
    def fetch(self, model: str) -> SharedModel: ...

def train(
    plan: Plan,
    rows: Rows,
    *,
    validation: Rows | None = ...,
    stopping: Stopping,
    start: SharedModel | None = ...,
    threads: int | None = ...,
    progress: Report | None = ...,
) -> tuple[SharedModel, Told, tuple[int, int]]: ...
def train_plain(
    plan: Plan,
    rows: Rows,
    *,
    validation: Rows | None = ...,
    stopping: Stopping,
    start: Floats | None = ...,
    progress: Report | None = ...,
) -> tuple[Floats, Told]: ...
def estimate(
    plan: Plan, rows: int, *, threads: int | None = ...
) -> tuple[int, int, list[int], int, tuple[float, float, float]]: ...
def write_open_model(
    path: Path, format: Literal["onnx", "safetensors"], layers: list[int], parameters: Floats, columns: Columns
) -> None: ...
def read_open_model(path: Path, format: Literal["onnx", "safetensors"]) -> tuple[list[int], Floats, str]: ...
def plain_outputs(layers: list[int], parameters: Floats, features: Floats) -> Floats: ...
