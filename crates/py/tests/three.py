"""Three servers on this machine, started as `examples/three-servers/up.sh` starts them."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


class Three:
    """The servers, with the keys of two owners, an analyst and an operator, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        port = _free_ports(6)
        self.process = subprocess.Popen(
            [REPOSITORY / "examples/three-servers/up.sh", directory, str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("three servers run"):
                return
        raise RuntimeError("the servers did not start:\n" + "".join(said))

    @property
    def cluster(self) -> Path:
        """The clients' file."""
        return self.directory / "cluster.toml"

    def key(self, person: str) -> Path:
        """The key of a person."""
        return self.directory / "keys" / person

    def put(self, table: Path, name: str, target: str, task: str, terms: str, *flags: str) -> None:
        """Gives the servers a data set."""
        path = self.directory / f"{name}.terms.toml"
        path.write_text(terms)
        at = ["--cluster", self.cluster, "--key", self.key("owner")]
        about = ["--name", name, "--target", target, "--task", task, "--terms", path]
        subprocess.run([os.environ["SHAMISEN"], "put", table, *about, *at, *flags], check=True, stdout=subprocess.DEVNULL)

    def end(self) -> None:
        """Ends them."""
        self.process.terminate()
        self.process.wait(timeout=60)


def _free_ports(count: int) -> int:
    """The first of so many ports in a row at which nobody listens."""
    for _ in range(100):
        first = random.randrange(20_000, 32_000 - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("there are no free ports")
