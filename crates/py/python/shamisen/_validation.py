"""Checks of what a user passes, with the words that users of scikit-learn know."""

from __future__ import annotations

import datetime
import inspect
import numbers
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ._sklearn import DataConversionWarning

Floats = npt.NDArray[np.float64]


def features(X: Any, owner: str) -> Floats:
    """The features as a matrix of finite numbers, row by row."""
    matrix = _numbers(X, "X", owner)
    if matrix.ndim != 2:
        kind = "scalar array" if matrix.ndim == 0 else f"{matrix.ndim}D array"
        raise ValueError(
            f"Expected 2D array, got {kind} instead. Reshape your data either using array.reshape(-1, 1) if your data has a "
            "single feature or array.reshape(1, -1) if it contains a single sample."
        )
    for axis, what in enumerate(["sample", "feature"]):
        if matrix.shape[axis] == 0:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={matrix.shape}) while a minimum of 1 is required by {owner}."
            )
    return np.ascontiguousarray(matrix)


def feature_names(X: Any) -> npt.NDArray[np.object_] | None:
    """The names of the columns of a table (pandas, polars, Arrow), if all are text."""
    names = getattr(X, "column_names", None)
    names = getattr(X, "columns", None) if names is None else names
    if names is None or callable(names) or not hasattr(X, "__array__"):
        return None
    names = list(names)
    text = [isinstance(name, str) for name in names]
    if any(text) and not all(text):
        kinds = sorted({type(name).__name__ for name in names})
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types. Convert them all to strings, for example with "
            "X.columns = X.columns.astype(str)."
        )
    return np.array(names, dtype=object) if names and all(text) else None


def check_names(X: Any, known: npt.NDArray[np.object_] | None, owner: str) -> None:
    """Compares the names of columns with those of the training data."""
    found = feature_names(X)
    if known is None and found is None:
        return
    if known is None:
        warn(f"X has feature names, but {owner} was fitted without feature names")
        return
    if found is None:
        warn(f"X does not have valid feature names, but {owner} was fitted with feature names")
        return
    if len(found) == len(known) and (found == known).all():
        return
    parts = ["The feature names should match those that were passed during fit.\n"]
    unseen, missing = sorted(set(found) - set(known)), sorted(set(known) - set(found))
    for title, names in [("unseen at fit time", unseen), ("seen at fit time, yet now missing", missing)]:
        if names:
            listed = [f"- {name}\n" for name in names[:5]] + (["- ...\n"] if len(names) > 5 else [])
            parts.append(f"Feature names {title}:\n" + "".join(listed))
    if not unseen and not missing:
        parts.append("Feature names must be in the same order as they were in fit.\n")
    raise ValueError("".join(parts))


def check_width(matrix: Floats, known: int, owner: str) -> None:
    """Compares the number of columns with that of the training data."""
    if matrix.shape[1] != known:
        raise ValueError(f"X has {matrix.shape[1]} features, but {owner} is expecting {known} features as input.")


def classes(y: Any, rows: int, owner: str) -> npt.NDArray[Any]:
    """The class of each row."""
    labels = _column(y, rows, owner)
    if labels.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{labels}\n")
    if labels.dtype.kind == "f":
        check_finite(labels, "y")
        if (labels != np.trunc(labels)).any():
            raise ValueError(
                "Unknown label type: continuous. Maybe you are trying to fit a classifier, which expects discrete classes on a "
                "regression target with continuous values."
            )
    if labels.dtype.kind == "O":
        if any(is_missing(label) for label in labels):
            raise ValueError("Input y contains NaN.")
        try:
            np.unique(labels)
        except TypeError:
            kinds = " and ".join(sorted({type(label).__name__ for label in labels}))
            raise ValueError(
                f"y holds classes of kinds that have no order among them ({kinds}): make all of them text or numbers"
            ) from None
    return labels


def check_kind(labels: npt.NDArray[Any], known: npt.NDArray[Any], owner: str) -> None:
    """Compares the kind of labels with that of the classes, of which none would be equal to any of another kind."""
    found, wanted = _kind(labels), _kind(known)
    if found is None or wanted is None or found == wanted:
        return
    if not {"text", "bytes"} & {found, wanted} and all(set(np.unique(part)) <= {0, 1} for part in (labels, known)):
        return
    raise ValueError(
        f"y holds {found}, but the classes of {owner} are {wanted}, such as {known.tolist()[0]!r}: give y as `classes_` has them"
    )


def _kind(labels: npt.NDArray[Any]) -> str | None:
    """What labels are, if all of them are alike."""
    kinds = {"b": "truth values", "i": "numbers", "u": "numbers", "f": "numbers", "U": "text", "S": "bytes"}
    if labels.dtype.kind != "O":
        return kinds.get(labels.dtype.kind)
    found = {kinds.get(np.asarray(label).dtype.kind) for label in labels}
    return found.pop() if len(found) == 1 else None


def targets(y: Any, rows: int, owner: str) -> Floats:
    """The number of each row."""
    column = _column(y, rows, owner)
    if column.dtype.kind in "US" or (
        column.dtype.kind == "O" and any(isinstance(value, (str, bytes)) for value in column)
    ):
        raise ValueError(f"{owner} predicts numbers, but y holds text: use MLPClassifier for classes")
    return _numbers(column, "y", owner)


def seed(random_state: Any) -> int:
    """A public seed of 32 bits from whatever scikit-learn takes as `random_state`."""
    if random_state is None:
        return int(np.random.randint(2**32, dtype=np.uint64))
    if isinstance(random_state, numbers.Integral):
        return int(np.random.RandomState(int(random_state)).randint(2**32, dtype=np.uint64))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.uint64))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    raise ValueError(f"{random_state!r} cannot be used to seed a training: give an integer, a RandomState, or None")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns of the line that called this package, however deep in it the warning comes from."""
    package, level = __name__.partition(".")[0], 1
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _numbers(data: Any, name: str, owner: str) -> Floats:
    """An array of finite numbers; dates are days since 1970-01-01."""
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        raise TypeError(
            f"Sparse data was passed for {name}, but {owner} needs dense data: use '.toarray()' to convert to a dense array"
        )
    columns = _columns(data)
    if columns is None:
        array = as_floats(as_array(data), name)
    else:
        # Each has a kind of its own, which would be lost in one array of all.
        array = np.column_stack([as_floats(as_array(cells), name, column) for column, cells in columns])
    check_finite(array, name, feature_names(data))
    return array


def _columns(data: Any) -> list[tuple[Any, Any]] | None:
    """The columns of a table (pandas, polars, Arrow) with their names; none if it has none, or pandas has nothing but numbers."""
    columns: list[tuple[Any, Any]] = []
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        if not all(getattr(kind, "kind", "O") in "biuf" for kind in data.dtypes):
            columns = [(name, data.iloc[:, place]) for place, name in enumerate(data.columns)]
    elif hasattr(data, "get_columns"):
        columns = [(column.name, column) for column in data.get_columns()]
    elif hasattr(data, "column_names") and hasattr(data, "columns"):
        columns = list(zip(data.column_names, data.columns))
    return columns or None


def as_array(data: Any) -> npt.NDArray[Any]:
    """What is no array of NumPy as one; missing cells of pandas become NaN, and moments of a time zone those of UTC."""
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "to_numpy") and hasattr(data, "isna"):
        kinds = {getattr(kind, "kind", "O") for kind in (data.dtypes if hasattr(data, "columns") else [data.dtype])}
        if kinds <= set("biuf"):
            return np.asarray(data.to_numpy(dtype=np.float64, na_value=np.nan))
        if kinds == {"M"}:
            return np.asarray(data.to_numpy(dtype="datetime64[us]"))
    return np.asarray(data)


def as_floats(array: npt.NDArray[Any], name: str, column: Any = None) -> Floats:
    """An array of any kind as one of numbers, with NaN where cells are missing."""
    where = f" in column {column!r}" if isinstance(column, str) else ""
    kind = array.dtype.kind
    if kind == "O":
        numbers = np.empty(array.size)
        for at, cell in enumerate(array.ravel()):
            try:
                numbers[at] = _number(cell, name, where)
            except (TypeError, OverflowError) as error:
                place = ", ".join(f"{axis} {part}" for axis, part in zip(("row", "column"), np.unravel_index(at, array.shape)))
                sentence = f"{name}, {place}{where}: {error}"
                raise TypeError(sentence) if isinstance(error, TypeError) else ValueError(sentence) from None
        return numbers.reshape(array.shape)
    if kind == "c":
        raise ValueError(f"Complex data not supported\n{array}\n")
    if kind in "US":
        raise ValueError(_text(name, str(array.flat[0]) if array.size else "", where))
    if kind == "m":
        raise ValueError(_span(name, where))
    if kind == "M":
        return _days(array)
    return array.astype(np.float64, copy=False)


def _number(cell: Any, name: str, where: str) -> float:
    """A cell of any kind as a number, NaN if it is missing."""
    if is_missing(cell):
        return float("nan")
    if isinstance(cell, (complex, np.complexfloating)):
        raise ValueError(f"Complex data not supported\n{cell}\n")
    if isinstance(cell, (datetime.timedelta, np.timedelta64)):
        raise ValueError(_span(name, where))
    if isinstance(cell, datetime.datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    if isinstance(cell, (datetime.date, np.datetime64)):
        return float(_days(np.array(cell, dtype="datetime64[us]")))
    try:
        return float(cell)
    except ValueError:
        raise ValueError(_text(name, cell, where)) from None


def _days(dates: npt.NDArray[np.datetime64]) -> Floats:
    """Days since 1970-01-01, NaN where there is no date."""
    return np.asarray((dates - np.datetime64(0, "D")) / np.timedelta64(1, "D"), dtype=np.float64)


def is_missing(cell: Any) -> bool:
    """Whether a cell is None, NaN, or what pandas has for a missing value or date."""
    try:
        return cell is None or bool(cell != cell)
    except TypeError:
        # Whether pandas.NA is equal to anything, it does not say.
        return True
    except ValueError:
        # An array is no missing cell.
        return False


def _text(name: str, value: Any, where: str) -> str:
    """What to say of a cell that is no number."""
    return (
        f"could not convert string to float: {value!r}{where} of {name}: all features must be numbers, so encode categories "
        "first, for example with OneHotEncoder, and make dates of text, for example with pandas.to_datetime"
        if name == "X"
        else f"could not convert string to float: {value!r} of {name}"
    )


def _span(name: str, where: str) -> str:
    """What to say of a difference of two dates."""
    return (
        f"{name} holds spans of time{where}, of which a model does not know the unit: divide them by one, such as "
        "numpy.timedelta64(1, 'D') for days"
    )


def check_finite(array: npt.NDArray[Any], name: str, columns: npt.NDArray[Any] | None = None) -> None:
    missing = np.isnan(array)
    if missing.any():
        where = ""
        if columns is not None and array.ndim == 2:
            found = [str(column) for column in columns[missing.any(axis=0)]]
            listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
            where = f"\nMissing values are in the column{'' if len(found) == 1 else 's'} {listed}."
        raise ValueError(
            f"Input {name} contains NaN.{where}\nA network of shamisen needs all numbers: leave such rows out, or fill them in first, "
            "for example with SimpleImputer in a Pipeline."
        )
    if np.isinf(array).any():
        raise ValueError(f"Input {name} contains infinity or a value too large for dtype('float64').")


def _column(y: Any, rows: int, owner: str) -> npt.NDArray[Any]:
    """A target of one column."""
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None")
    if hasattr(y, "toarray") and hasattr(y, "nnz"):
        raise TypeError("Sparse data was passed for y, but dense data is required: use '.toarray()'")
    column = np.asarray(y)
    if column.ndim == 2 and column.shape[1] == 1:
        warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples,), for example "
            "using ravel().",
            DataConversionWarning,
        )
        column = column.ravel()
    if column.ndim != 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {column.shape} instead: {owner} has one target, so fit an estimator "
            "for each column, for example with MultiOutputClassifier or MultiOutputRegressor"
        )
    if len(column) != rows:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: [{rows}, {len(column)}]")
    return column
