#!/usr/bin/env python3
"""Runs the notebooks of the documentation, on the small data that come with scikit-learn, and keeps nothing of what they print.

    scripts/run-notebooks.py [NOTEBOOK...]

Needs nbclient, ipykernel, pandas, scikit-learn and the package `shamisen`, and for the notebook of the hospitals the program, named by
SHAMISEN if it is not on the PATH.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs" / "notebooks"

#: Longest time for a cell, in seconds.
PATIENCE = 300


def run(path: Path) -> None:
    """Runs a notebook from its first cell to its last."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    if any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells):
        sys.exit(f"{path.name} is stored with outputs: clear them, so that it changes only when its text does")
    started = time.monotonic()
    client = NotebookClient(notebook, timeout=PATIENCE, resources={"metadata": {"path": str(path.parent)}})
    try:
        client.execute()
    except CellExecutionError as error:
        sys.exit(f"{path.name}: {error}")
    print(f"{path.name}: {len(notebook.cells)} cells, {time.monotonic() - started:.1f} s", flush=True)


def main() -> None:
    """Runs the notebooks that are named, or all of them."""
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")):
        run(path)


if __name__ == "__main__":
    main()
