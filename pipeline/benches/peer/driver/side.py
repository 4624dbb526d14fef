"""A worker from the driver's side: a process that answers one request at a time."""

from __future__ import annotations

import json
import os
import subprocess
import time
from argparse import Namespace
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from machine import Usage

# Wait before a side starts, in seconds, so that the threads of the previous one have gone to sleep.
PAUSE = 0.1
WORKER = Path(__file__).parents[1] / "worker.py"
# As in the protocol: its `kind`, and fields by kind.
Task = dict[str, Any]


class Way(Enum):
    """How a job is done. Naive is direct PyTorch: a time for each point, rows of a file one by one. Careful PyTorch has no
    more arithmetic than this program: times shared by groups of points, modulations of a frozen flow from a table, windows
    of a file."""

    OURS = "ours"
    NAIVE_EAGER = "naive eager"
    NAIVE_COMPILED = "naive compiled"
    CAREFUL_EAGER = "careful eager"
    CAREFUL_COMPILED = "careful compiled"

    @property
    def is_naive(self) -> bool:
        return self in (Way.NAIVE_EAGER, Way.NAIVE_COMPILED)

    @property
    def is_careful(self) -> bool:
        return self in (Way.CAREFUL_EAGER, Way.CAREFUL_COMPILED)


class Side:
    """One side of the comparison.

    `others` is the share of the machine that other processes used during the last request.
    """

    def __init__(self, way: Way, command: list[str | Path], threads: int):
        self.way, self.others = way, 0.0
        limits = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        environment = {**os.environ, **limits, "PYTHONDONTWRITEBYTECODE": "1"}
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        except OSError as error:
            raise RuntimeError(f"{way.value}: `{command[0]}` cannot be started: {error}") from error

    @classmethod
    def start(cls, way: Way, given: Namespace) -> Side:
        """A process that does jobs in that way, by the settings `ours`, `python` and `threads`."""
        if way is Way.OURS:
            return cls(way, [given.ours], given.threads)
        if given.python is None:
            raise RuntimeError("PyTorch takes part; `--python` names a Python with it")
        return cls(way, [given.python, WORKER, *way.value.split(), str(given.threads)], given.threads)

    def ask(self, kind: str, operand: Any = None) -> Any:
        """The answer to a request; RuntimeError if the worker fails."""
        time.sleep(PAUSE)
        before = Usage.of(self.process.pid)
        with suppress(BrokenPipeError):  # it has ended, as the missing answer tells
            self.process.stdin.write(json.dumps({kind: operand}) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.way.value}: it ended with exit status {self.process.wait()}")
        after = Usage.of(self.process.pid)
        self.others = after.others_since(before) if before and after else 0.0
        try:
            ((answer, value),) = json.loads(line).items()
        except (ValueError, AttributeError):
            raise RuntimeError(f"{self.way.value}: it answered {line[:200]!r}, expected one answer as JSON") from None
        if answer == "failed":
            raise RuntimeError(f"{self.way.value}: {value}")
        return value

    def about(self) -> str:
        """The worker's description of itself."""
        return self.ask("about")

    def prepare(self, task: Task) -> str:
        """Sets up a task, and returns how it will be run."""
        return self.ask("prepare", task)

    def run(self, steps: int) -> float:
        """Runs `steps` steps; returns the mean seconds per step."""
        return self.ask("steps", steps)

    def tasks(self, kind: str, folder: Path, precision: str = "f32", paper: bool = False, seed: int = 0) -> list[dict[str, Any]]:
        """The tasks of a kind by this program, each as `{"size": words, "task": task, "operations": number or None}`; files
        that they read are written into `folder`."""
        wanted = {"kind": kind, "folder": str(folder), "precision": precision, "paper": paper, "seed": seed}
        return self.ask("tasks", wanted)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):  # of a request that it never read
            self.process.stdin.close()
        self.process.stdout.close()
