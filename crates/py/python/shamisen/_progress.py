"""Progress of a training: a bar that looks like tqdm's on a terminal and in a notebook, a line for each epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 20
_EVERY = 0.1
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Progress:
    """Shows how far a training is; it is called with each report."""

    def __init__(self, epochs: int, stream: TextIO | None = None, *, batch_size: int = 1, rows: int | None = None) -> None:
        self.epochs = epochs
        #: Rows of a mini-batch, and of an epoch, whose last mini-batch may have fewer.
        self.batch_size, self.rows = batch_size, rows
        #: Of the present epoch: rows whose loss was opened, and the sum of their losses.
        self.opened, self.sum = 0, 0.0
        self.stream = stream if stream is not None else sys.stderr
        self.live = _is_live(self.stream)
        self.started = time.monotonic()
        self.shown = 0.0
        self.loss: float | None = None
        self.last: tuple[int, int, int] | None = None
        self.width = 0
        self.said = ""

    def __call__(self, epoch: int, batch: int, batches: int, loss: float | None) -> None:
        """Takes note of a mini-batch: its epoch and number from 1, and the loss if it was opened."""
        if self.last is None or self.last[0] != epoch:
            self.opened, self.sum = 0, 0.0
        if loss is not None:
            # It is the mean of the rows since the last one.
            opened = batch * self.batch_size if self.rows is None else min(batch * self.batch_size, self.rows)
            self.sum += loss * (opened - self.opened)
            self.opened, self.loss = opened, loss
        self.last = (epoch, batch, batches)
        now = time.monotonic()
        if self.live:
            if now - self.shown >= _EVERY:
                self.shown = now
                self._draw()
        elif batch == batches:
            self.stream.write(f"epoch {epoch}, loss = {self.sum / max(self.opened, 1):.8f}\n")
            self.stream.flush()

    def say(self, text: str) -> None:
        """Says in words how far the training is: in place of the bar, or as a line if it is news."""
        if self.live:
            self._show(text)
        elif text != self.said:
            self.stream.write(text + "\n")
            self.stream.flush()
        self.said = text

    def close(self) -> None:
        """Leaves the last state of the bar."""
        if self.live and self.last is not None:
            self._draw()
        if self.live and self.width:
            self.stream.write("\n")
            self.stream.flush()

    def _draw(self) -> None:
        assert self.last is not None
        epoch, batch, batches = self.last
        done, total = (epoch - 1) * batches + batch, self.epochs * batches
        elapsed = max(time.monotonic() - self.started, 1e-6)
        rate = done / elapsed
        filled = done * _WIDTH * 8 // total
        bar = "█" * (filled // 8) + (_EIGHTHS[filled % 8] if filled < 8 * _WIDTH else "")
        loss = f", loss={self.loss:.4g}" if self.loss is not None else ""
        line = (
            f"epoch {epoch}/{self.epochs}: {100 * done // total:3d}%|{bar:<{_WIDTH}}| {done}/{total} "
            f"[{_clock(elapsed)}<{_clock((total - done) / rate)}, {rate:.1f}batch/s{loss}]"
        )
        self._show(line)

    def _show(self, line: str) -> None:
        self.stream.write("\r" + line + " " * max(self.width - len(line), 0))
        self.stream.flush()
        self.width = len(line)


def _is_live(stream: TextIO) -> bool:
    """Whether a line can be drawn anew: on a terminal, and in a notebook."""
    return stream.isatty() or type(stream).__module__.startswith("ipykernel")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
