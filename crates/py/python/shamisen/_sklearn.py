"""What scikit-learn brings, and small stand-ins where it is not installed."""

from __future__ import annotations

import inspect
from typing import Any

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
except ImportError:

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """An estimator is used before it is fitted."""

    class ConvergenceWarning(UserWarning):  # type: ignore[no-redef]
        """A training ended before it converged."""

    class DataConversionWarning(UserWarning):  # type: ignore[no-redef]
        """Data were converted to another shape."""

    class ClassifierMixin:  # type: ignore[no-redef]
        """Marks classifiers."""

        _estimator_type = "classifier"

    class RegressorMixin:  # type: ignore[no-redef]
        """Marks regressors."""

        _estimator_type = "regressor"

    class BaseEstimator:  # type: ignore[no-redef]
        """Reads and sets the parameters that the constructor names."""

        @classmethod
        def _parameters(cls) -> list[str]:
            return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """The parameters by name."""
            return {name: getattr(self, name) for name in self._parameters()}

        def set_params(self, **params: Any) -> BaseEstimator:
            """Sets parameters by name."""
            for name, value in params.items():
                if name not in self._parameters():
                    known = ", ".join(self._parameters())
                    raise ValueError(f"{type(self).__name__} has no parameter {name!r}: it has {known}")
                setattr(self, name, value)
            return self

        def __getstate__(self) -> dict[str, Any]:
            return self.__dict__.copy()

        def __repr__(self) -> str:
            shown = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
            return f"{type(self).__name__}({shown})"


__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "ConvergenceWarning",
    "DataConversionWarning",
    "NotFittedError",
    "RegressorMixin",
]
