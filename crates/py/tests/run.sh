#!/usr/bin/env bash
# Installs the Python package in a fresh virtual environment, as a user would, and tests it there.
#
#     crates/py/tests/run.sh [arguments of pytest]
#
# Needs Python 3.10 or later with its module venv, Rust, a C compiler, and packages from the registry.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
python3 -m venv "$environment"
python="$environment/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --upgrade pip
"$python" -m pip install --quiet --disable-pip-version-check '.[test]'
"$python" -m mypy --strict python/shamisen
"$python" -m pytest --quiet "$@"
