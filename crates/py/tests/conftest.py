"""What the tests have in common."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Pickled estimators keep their shares here."""
    monkeypatch.setenv("SHAMISEN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def quiet():
    """Short trainings do not converge, and need not say so."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.fixture
def blobs():
    """Features and classes that are easy to tell apart."""
    generator = np.random.default_rng(1)
    y = np.arange(120) % 3
    X = generator.normal(size=(120, 4)) + 3.0 * np.eye(3, 4)[y]
    return X, np.array(["low", "middle", "top"])[y]


@pytest.fixture
def line():
    """Features and a number that follows from them."""
    generator = np.random.default_rng(2)
    X = generator.normal(size=(150, 3))
    return X, 40.0 + 12.0 * X[:, 0] - 5.0 * np.abs(X[:, 1]) + generator.normal(size=150)
