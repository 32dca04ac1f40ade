"""What makes the inputs of a model of the columns of a table, where these are more than numbers."""

from __future__ import annotations

import datetime
import json
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _validation
from ._columns import Columns
from ._validation import Floats


@dataclass(frozen=True)
class Column:
    """A column of a table, as a model takes it."""

    name: str
    #: Its categories, each of which is an input.
    categories: list[str] | None = None
    #: Of dates that are written as text: how, as for `strftime`, or '' for ISO 8601.
    date: str | None = None
    #: What stands in for a missing value, if one may be missing; a row without a category is of none of them.
    missing: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is a column of numbers, none of which may be missing."""
        return self == Column(self.name)

    def inputs(self, cells: Any) -> Floats:
        """The inputs of the column, row by row."""
        if self.categories is not None:
            return self._categories(_validation.as_array(cells))
        array = _validation.as_array(cells)
        if self.date is not None and array.dtype.kind in "OU":
            array = np.array([self._moment(cell, row) for row, cell in enumerate(array)], dtype=object)
        numbers = _validation.as_floats(array, "X", self.name)
        if self.missing is not None:
            numbers = np.where(np.isnan(numbers), self.missing, numbers)
        return numbers.reshape(-1, 1)

    def _categories(self, cells: npt.NDArray[Any]) -> Floats:
        known = self.categories or []
        places = {name: place for place, name in enumerate(known)}
        inputs = np.zeros((len(cells), len(known)))
        for row, cell in enumerate(cells):
            if _validation.is_missing(cell) or cell == "":
                if self.missing is None:
                    raise ValueError(
                        f"X, row {row}, column {self.name!r}: there is no value, and the model has no rule for missing ones here: give one"
                    )
                continue
            place = next((places[text] for text in _written(cell) if text in places), None)
            if place is None:
                listed = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
                raise ValueError(f"X, row {row}, column {self.name!r}: the category {cell!r} is unknown to the model, which has {listed}")
            inputs[row, place] = 1.0
        return inputs

    def _moment(self, cell: Any, row: int) -> Any:
        """A cell with a date of text as a date; anything else as it is."""
        if not isinstance(cell, str) or cell.strip() in ("", "NA", "NaN", "null"):
            return None if isinstance(cell, str) else cell
        try:
            return datetime.datetime.strptime(cell, self.date) if self.date else datetime.datetime.fromisoformat(cell)
        except ValueError:
            how = f"of the format {self.date}" if self.date else "of ISO 8601, such as 2026-03-01"
            raise ValueError(f"X, row {row}, column {self.name!r}: {cell!r} is no date {how}") from None


def encoded(X: Any, columns: Columns, owner: str) -> Floats | None:
    """The inputs that a table is of, if it has the columns that the inputs of a model were made from; otherwise nothing.

    What they were made from is known of a model that was kept here; of one at servers the names of inputs such as `ward=A` tell it.
    Columns may be in any order.
    """
    names = _validation.feature_names(X)
    if names is None:
        return None
    given = set(names)
    made_from = _described(columns) or _told_by_names(columns.names, given)
    if all(column.is_plain for column in made_from):
        return None
    if given != {column.name for column in made_from}:
        if given == set(columns.names):
            return None
        # The words are those for any table.
        _validation.check_names(X, np.array([column.name for column in made_from], dtype=object), owner)
    if list(names) != [column.name for column in made_from] and given == set(columns.names):
        _validation.check_names(X, np.array(columns.names, dtype=object), owner)
    inputs = np.hstack([column.inputs(X[column.name]) for column in made_from])
    _validation.check_finite(inputs, "X", np.array(columns.names, dtype=object))
    return np.ascontiguousarray(inputs)


def _described(columns: Columns) -> list[Column]:
    """The columns that a file of the model tells of; none if all of them are numbers."""
    described = json.loads(columns.whole).get("columns", []) if columns.whole else []
    made_from = []
    for column in described:
        kind, missing = column["kind"], column.get("missing")
        details: dict[str, Any] = kind if isinstance(kind, dict) else {}
        date = (details["date"] or "") if "date" in details else None
        made_from.append(Column(column["name"], details.get("categories"), date, missing))
    # As long as nobody has changed the names.
    inputs = [name for column in made_from for name in _inputs(column)]
    return made_from if inputs == columns.names else []


def _inputs(column: Column) -> list[str]:
    return [column.name] if column.categories is None else [f"{column.name}={category}" for category in column.categories]


def _told_by_names(inputs: list[str], given: set[str]) -> list[Column]:
    """The columns of which the names of inputs tell, where a table has these in their place."""
    made_from: list[Column] = []
    for name in inputs:
        ends = [at for at, letter in enumerate(name) if letter == "="]
        end = None if name in given else next((at for at in ends if name[:at] in given), None)
        if end is None:
            made_from.append(Column(name))
        elif made_from and made_from[-1].categories is not None and made_from[-1].name == name[:end]:
            made_from[-1].categories.append(name[end + 1 :])
        else:
            made_from.append(Column(name[:end], [name[end + 1 :]]))
    return made_from


def _written(cell: Any) -> list[str]:
    """How a category may be written in a file."""
    if isinstance(cell, (bool, np.bool_)):
        return [str(bool(cell)), str(bool(cell)).lower(), str(int(cell))]
    if isinstance(cell, numbers.Real) and float(cell).is_integer():
        return [str(int(float(cell))), str(cell)]
    return [str(cell)]
