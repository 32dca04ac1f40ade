#!/usr/bin/env python3
"""Runs the code blocks of documents, as a reader would, each document in a directory of its own.

    scripts/run-documentation.py [DOCUMENT...]

Blocks in `sh` and `python` are run in their order, those of one document in Python share their names, and blocks in `toml` have
to be TOML. The program `shamisen` has to be on the PATH, or named by SHAMISEN, and the package `shamisen` has to be installed.

Comments, which no page shows, say what a reader does beside the text:

    <!-- hidden sh                    what follows is run: a reader has such a file, or waits, or cleans up
    cp datasets/diabetes.csv my.csv
    -->
    <!-- not run: REASON -->          the next block is not run here
    <!-- run until: TEXT -->          the next block goes on, until the document ends, when it has printed this
    <!-- Ctrl-C when: GLOB -->        the next block is interrupted when such a file exists
    <!-- save as: FILE -->            the next block is the content of this file
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

DOCUMENTS = ["README.md", "crates/py/README.md", "examples/three-servers/README.md", "docs/tutorials/*.md"]

#: What a reader who has cloned the repository finds beside the prompt.
AT_HAND = ["crates", "datasets", "examples", "scripts"]

#: Longest time for a block, and for the end of what goes on.
PATIENCE = 300.0

COMMENT = re.compile(r"^ *<!-- (hidden|not run|run until|Ctrl-C when|save as)(?:: *| +)(.*?)(?: *-->)?$")
FENCE = re.compile(r"^( *)```(\w*)")


class Wrong(Exception):
    """A block that does not do what the document says."""


@dataclass
class Block:
    """A block of a document."""

    line: int
    language: str
    text: str
    #: The comment before it: its word, and what it says.
    comment: tuple[str, str] | None


def blocks(document: Path) -> list[Block]:
    """The blocks of a document that can be run, hidden ones among them."""
    found, comment = [], None
    lines = enumerate(document.read_text().splitlines(), 1)
    for number, line in lines:
        if match := COMMENT.match(line):
            if match[1] == "hidden":
                found.append(Block(number + 1, match[2], _until(lines, "-->"), None))
            else:
                comment = (match[1], match[2])
        elif match := FENCE.match(line):
            text = _until(lines, match[1] + "```")
            text = re.sub(f"^{match[1]}", "", text, flags=re.MULTILINE)
            if match[2] in ("sh", "python", "toml"):
                found.append(Block(number + 1, match[2], text, comment))
            elif comment:
                raise Wrong(f"line {number}: the comment before this block is for blocks in sh, python or toml")
            comment = None
        elif comment and line.strip():
            raise Wrong(f"line {number}: between the comment and its block nothing may stand")
    return found


def _until(lines: enumerate[str], end: str) -> str:
    text = []
    for _, line in lines:
        if line == end:
            return "\n".join(text) + "\n"
        text.append(line)
    raise Wrong(f"a block does not end with {end!r}")


class Reader:
    """Somebody who does what a document says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in AT_HAND:
            (directory / name).symlink_to(REPOSITORY / name)
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.going_on: list[subprocess.Popen[str]] = []
        os.chdir(directory)

    def take(self, block: Block) -> None:
        """Does what a block says."""
        word, said = block.comment or ("", "")
        if word == "save as":
            Path(said).write_text(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "python":
            exec(compile(block.text, f"line {block.line}", "exec"), self.names)
        elif word == "run until":
            self._run_until(block.text, said)
        else:
            self._run(block.text, said if word == "Ctrl-C when" else None)

    def _start(self, text: str) -> subprocess.Popen[str]:
        command = ["bash", "-euo", "pipefail", "-c", text]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, text=True, start_new_session=True, **pipes)

    def _run(self, text: str, interrupt_when: str | None) -> None:
        process = self._start(text)
        if interrupt_when is not None:
            deadline = time.monotonic() + PATIENCE
            while not list(self.directory.glob(interrupt_when)):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Wrong(f"it ended before there was {interrupt_when}:\n{_rest(process)}")
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
        expected = 0 if interrupt_when is None else 130
        said = _rest(process)
        if process.returncode != expected:
            raise Wrong(f"it ended with status {process.returncode}:\n{said}")

    def _run_until(self, text: str, end: str) -> None:
        process = self._start(text)
        self.going_on.append(process)
        said = []
        for line in process.stdout:
            said.append(line)
            if end in line:
                return
        raise Wrong("it ended before it had said so:\n" + "".join(said))

    def leave(self) -> None:
        """Ends what goes on."""
        for process in reversed(self.going_on):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            _rest(process)
        os.chdir(REPOSITORY)


def _rest(process: subprocess.Popen[str]) -> str:
    """What a process still says until it ends."""
    try:
        return process.communicate(timeout=PATIENCE)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + f"\n(it took longer than {PATIENCE:g} s)"


def read(document: Path) -> tuple[int, int]:
    """Runs the blocks of a document: how many were run, and how many were not."""
    name = document.relative_to(REPOSITORY)
    ran, left = 0, 0
    with tempfile.TemporaryDirectory(prefix="shamisen-documentation-") as directory:
        reader = Reader(Path(directory))
        try:
            for block in blocks(document):
                if block.comment and block.comment[0] == "not run":
                    left += 1
                    print(f"{name}, line {block.line}: not run, {block.comment[1]}")
                    continue
                started = time.monotonic()
                try:
                    reader.take(block)
                except Exception as error:
                    text = str(error) if isinstance(error, Wrong) else traceback.format_exc()
                    sys.exit(f"{name}, line {block.line}: this block in {block.language} is wrong\n{block.text}\n{text}")
                ran += 1
                print(f"{name}, line {block.line}: {block.language}, {time.monotonic() - started:.1f} s", flush=True)
        finally:
            reader.leave()
    return ran, left


def main() -> None:
    """Runs the documents that are named, or all of them."""
    program = os.environ.get("SHAMISEN") or shutil.which("shamisen")
    if program is None or not shutil.which(program):
        sys.exit("there is no program shamisen: put it on the PATH, or name it by SHAMISEN")
    paths = [str(Path(program).resolve().parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    os.environ["PATH"] = os.pathsep.join(paths)
    given = [Path(name).resolve() for name in sys.argv[1:]]
    documents = given or [path for pattern in DOCUMENTS for path in sorted(REPOSITORY.glob(pattern))]
    ran, left = 0, 0
    for document in documents:
        more, not_run = read(document)
        ran, left = ran + more, left + not_run
    print(f"{ran} blocks of {len(documents)} documents ran, {left} did not")


if __name__ == "__main__":
    main()
