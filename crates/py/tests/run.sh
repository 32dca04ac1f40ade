#!/usr/bin/env bash
# Installs the Python package in a fresh virtual environment, as a user would, and tests it there.
#
#     crates/py/tests/run.sh [arguments of pytest]
#
# ENVIRONMENT names a directory for the environment, which then stays.
# Needs Python 3.10 or later with its module venv, Rust, a C compiler, and packages from the registry. SHAMISEN names the program, which
# is built if it is not given.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${SHAMISEN:-}" ]; then
    cargo build --quiet --locked -p shamisen-cli
    target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    SHAMISEN="$target/debug/shamisen"
fi
export SHAMISEN

if [ -n "${ENVIRONMENT:-}" ]; then
    environment=$ENVIRONMENT
else
    environment=$(mktemp -d)
    trap 'rm -rf "$environment"' EXIT
fi
python3 -m venv "$environment"
python="$environment/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check --upgrade pip
"$python" -m pip install --quiet --disable-pip-version-check '.[test]'
"$python" -m mypy --strict python/shamisen
"$python" -m pytest --quiet "$@"
