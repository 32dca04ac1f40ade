#!/usr/bin/env python3
"""Compares the scores of Shamisen's estimators with those of scikit-learn's, and ends with status 1 if they are lower than allowed.

    scripts/compare_scores.py [--seeds N] [--california] [TABLE...]

Each table is split by each seed, and on the same split both packages train the same network with the same hyper-parameters: Shamisen under
sharing, by the real protocol, and scikit-learn in the clear behind a StandardScaler, since Shamisen standardises by itself. The mean of the
seeds counts: accuracy on the test rows of a classification may be 1 point lower than scikit-learn's, R2 of a regression 0.03. Prints a table
in Markdown, and says on the standard error how far it is.

The tables are `digits`, `breast-cancer` and `diabetes` of scikit-learn, and `california`, which is generated: as many rows and columns as
California housing, with columns of the same kind, and a target that depends on income and place in a similar way. It is the same on every
machine. With --california it is the real one, if scikit-learn has it in its cache; nothing is ever fetched.

Needs the packages `shamisen` and scikit-learn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import fetch_california_housing, load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._testing import ignore_warnings

import shamisen

#: How much lower than scikit-learn's the mean score may be.
BOUNDS = {"accuracy": 0.01, "R2": 0.03}

#: Places of many houses: latitude, longitude, spread in degrees, share of the rows, and how much dearer houses are there.
CITIES = [
    (34.05, -118.25, 0.35, 0.38, 0.55),
    (37.75, -122.30, 0.30, 0.22, 0.95),
    (32.80, -117.10, 0.20, 0.09, 0.50),
    (38.55, -121.40, 0.30, 0.08, 0.05),
    (36.75, -119.75, 0.40, 0.06, -0.15),
    (37.10, -120.40, 1.60, 0.17, 0.0),
]


@dataclass(frozen=True)
class Table:
    """Rows to train and test on, and the network for them."""

    load: Callable[[], tuple[np.ndarray, np.ndarray]]
    metric: str
    settings: dict[str, Any]


def main() -> int:
    chosen = arguments()
    lines, missed = [], []
    for name in chosen.tables:
        table = TABLES[name]
        X, y = real_california() if name == "california" and chosen.california else table.load()
        ours, theirs = scores(name, table, X, y, range(chosen.seeds))
        difference, bound = float(np.mean(ours) - np.mean(theirs)), BOUNDS[table.metric]
        if difference < -bound:
            missed.append(f"{name}: {table.metric} is {-difference:.4f} lower than scikit-learn's, which is more than {bound}")
        lines.append(line(name, table, X, y, ours, theirs))
    print(f"| table | rows | network | epochs | score, mean of {chosen.seeds} seeds | Shamisen | scikit-learn | difference | least |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))
    for sentence in missed:
        print(f"compare_scores: {sentence}", file=sys.stderr)
    return 1 if missed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", metavar="TABLE", nargs="*", help=f"of {', '.join(TABLES)}; all of them by default")
    parser.add_argument("--seeds", type=int, default=5, help="seeds, from 0; by default 5")
    parser.add_argument("--california", action="store_true", help="take the real table from scikit-learn's cache")
    chosen = parser.parse_args()
    for name in chosen.tables:
        if name not in TABLES:
            parser.error(f"there is no table {name!r}: choose from {', '.join(TABLES)}")
    if chosen.seeds < 1:
        parser.error("--seeds must be at least 1")
    chosen.tables = chosen.tables or list(TABLES)
    return chosen


@ignore_warnings(category=ConvergenceWarning)
def scores(name: str, table: Table, X: np.ndarray, y: np.ndarray, seeds: range) -> tuple[list[float], list[float]]:
    """Of each seed our score, and scikit-learn's."""
    ours, theirs = [], []
    for seed in seeds:
        is_classes = table.metric == "accuracy"
        split = train_test_split(X, y, random_state=seed, stratify=y if is_classes else None)
        X_train, X_test, y_train, y_test = split
        for made, estimator in ((ours, shared(table, seed)), (theirs, in_the_clear(table, seed))):
            made.append(float(estimator.fit(X_train, y_train).score(X_test, y_test)))
        print(f"{name}, seed {seed}: {ours[-1]:.4f} on shares, {theirs[-1]:.4f} in the clear", file=sys.stderr)
    return ours, theirs


def shared(table: Table, seed: int) -> Any:
    """Our estimator."""
    kind = shamisen.MLPClassifier if table.metric == "accuracy" else shamisen.MLPRegressor
    return kind(**table.settings, random_state=seed)


def in_the_clear(table: Table, seed: int) -> Any:
    """scikit-learn's estimator, which scales as ours does."""
    if table.metric == "accuracy":
        return make_pipeline(StandardScaler(), sklearn.neural_network.MLPClassifier(**table.settings, random_state=seed))
    regressor = sklearn.neural_network.MLPRegressor(**table.settings, random_state=seed)
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), regressor), transformer=StandardScaler())


def line(name: str, table: Table, X: np.ndarray, y: np.ndarray, ours: list[float], theirs: list[float]) -> str:
    """A line of the table."""
    outputs = len(np.unique(y)) if table.metric == "accuracy" else 1
    network = "-".join(str(width) for width in (X.shape[1], *table.settings["hidden_layer_sizes"], outputs))
    told = [
        name,
        f"{len(X):,}",
        network,
        str(table.settings["max_iter"]),
        table.metric,
        *(f"{np.mean(made):.4f} ± {np.std(made):.4f}" for made in (ours, theirs)),
        f"{np.mean(ours) - np.mean(theirs):+.4f}",
        f"-{BOUNDS[table.metric]}",
    ]
    return f"| {' | '.join(told)} |"


def like_california() -> tuple[np.ndarray, np.ndarray]:
    """A table of the kind of California housing: 20,640 blocks of houses, and the median value of a house in 100,000 dollars.

    Columns are median income, age of the houses, rooms and bedrooms of a household, people, people of a household, latitude, longitude.
    Income, rooms and people have long tails, in which a few blocks are far out; ages end at 52 and values at 5.00001, where the
    many above them are put together.
    """
    # Unlike that of newer generators, its sequence never changes.
    random = np.random.RandomState(0)
    count = 20_640
    shares = np.array([share for *_, share, _ in CITIES])
    city = random.choice(len(CITIES), size=count, p=shares / shares.sum())
    centre = np.array([(latitude, longitude) for latitude, longitude, *_ in CITIES])[city]
    spread = np.array([spread for _, _, spread, *_ in CITIES])[city]
    latitude = np.clip(centre[:, 0] + spread * random.normal(size=count), 32.54, 41.95)
    longitude = np.clip(centre[:, 1] + spread * random.normal(size=count), -124.35, -114.31)
    # Inland, away from the line of the coast.
    coast = -117.2 - 0.92 * (latitude - 32.6)
    inland = np.maximum(longitude - coast, 0.0)
    premium = sum(
        dearer * np.exp(-((latitude - at) ** 2 + (longitude - along) ** 2) / (2.0 * (1.5 * width) ** 2))
        for at, along, width, _, dearer in CITIES
    )
    income = np.clip(np.exp(1.22 + 0.25 * premium - 0.05 * inland + 0.43 * random.normal(size=count)), 0.5, 15.0001)
    age = np.clip(np.round(28.0 + 6.0 * premium + 13.0 * random.normal(size=count)), 1.0, 52.0)
    far = random.uniform(size=count) < 0.004
    rooms = np.exp(1.35 + 0.18 * np.log(income) + 0.18 * random.normal(size=count) + far * random.gamma(4.0, 0.4, size=count))
    bedrooms = rooms * np.exp(-1.6 - 0.2 * np.log(income) + 0.08 * random.normal(size=count)) + 0.35
    people = np.clip(np.round(np.exp(7.02 + 0.7 * random.normal(size=count))), 3.0, 35_682.0)
    crowded = random.uniform(size=count) < 0.002
    household = np.exp(1.03 + 0.25 * random.normal(size=count) + crowded * random.gamma(5.0, 0.7, size=count))
    value = (
        -0.82
        + 0.78 * np.log(income)
        + 0.06 * np.maximum(income - 5.0, 0.0)
        + 0.75 * premium * (0.6 + 0.1 * np.minimum(income, 6.0))
        + 0.35 * np.exp(-inland / 0.25)
        - 0.45 * (np.log(household) - 1.03)
        + 0.004 * (age - 28.0)
        + 0.25 * np.log(bedrooms)
        + 0.22 * random.normal(size=count)
    )
    X = np.column_stack([income, age, rooms, bedrooms, people, household, latitude, longitude])
    return X, np.clip(np.exp(value), 0.14999, 5.00001)


def real_california() -> tuple[np.ndarray, np.ndarray]:
    """California housing itself, if it is on this machine."""
    try:
        return fetch_california_housing(return_X_y=True, download_if_missing=False)
    except OSError:
        sys.exit(
            "compare_scores: California housing is not in scikit-learn's cache: call sklearn.datasets.fetch_california_housing() once, or "
            "leave --california out for the table that is generated"
        )


TABLES = {
    "digits": Table(
        lambda: load_digits(return_X_y=True), "accuracy", {"hidden_layer_sizes": (64, 32), "batch_size": 32, "max_iter": 20}
    ),
    "breast-cancer": Table(
        lambda: load_breast_cancer(return_X_y=True), "accuracy", {"hidden_layer_sizes": (32, 16), "batch_size": 32, "max_iter": 50}
    ),
    "diabetes": Table(
        lambda: load_diabetes(return_X_y=True), "R2", {"hidden_layer_sizes": (16,), "batch_size": 32, "max_iter": 100}
    ),
    "california": Table(like_california, "R2", {"hidden_layer_sizes": (64, 32), "batch_size": 128, "max_iter": 30}),
}


if __name__ == "__main__":
    sys.exit(main())
