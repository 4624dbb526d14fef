"""The machine, and whether other processes used it during timing."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator

# The share of the machine that other processes may use in an undisturbed turn.
QUIET = 0.05
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@dataclass(frozen=True)
class Usage:
    """Processor time since the machine started, in ticks: of all cores, idle or not; busy; and of one process and its
    descendants."""

    total: int
    busy: int
    own: int

    @classmethod
    def of(cls, process: int) -> Usage | None:
        """The usage of `process` and its descendants; None if the system does not report it."""
        try:
            return cls.parse(Path("/proc/stat").read_text(), _statistics(), process)
        except (OSError, ValueError, IndexError):
            return None

    @classmethod
    def parse(cls, system: str, processes: Iterable[str], process: int) -> Usage:
        """From the system's and the processes' statistics."""
        # cpu user nice system idle iowait irq softirq steal
        cores = [int(ticks) for ticks in system.split("\n", 1)[0].split()[1:9]]
        parents, ticks = {}, {}
        for line in processes:
            before, after = line.rsplit(")", 1)  # the name may hold spaces
            number, fields = int(before.split()[0]), after.split()
            parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])

        def descends(number: int) -> bool:
            while number != process and number in parents:
                number = parents[number]
            return number == process

        own = sum(spent for number, spent in ticks.items() if descends(number))
        return cls(sum(cores), sum(cores) - cores[3] - cores[4], own)

    def others_since(self, before: Usage) -> float:
        """The share of all cores' time that other processes used since `before`."""
        total = max(1, self.total - before.total)
        own = max(0, self.own - before.own)
        return max(0.0, (self.busy - before.busy - own) / total)


def _statistics() -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "stat").read_text()
            except OSError:  # it has ended
                continue


def busy_processes(count: int) -> list[subprocess.Popen]:
    """Starts as many processes of one busy thread each; they end with this process at the latest."""
    return [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]


def disturbance(share: float) -> str:
    """A line on the largest share of the machine that other processes used in a counted turn."""
    line = f"In a turn that counts, others used at most {100 * share:.0f} % of the machine"
    if share < QUIET:
        return line + ".\n"
    # waiting threads of OpenMP spin
    return line + ": too much for these ratios to mean anything, since PyTorch suffers more from it than ours.\n"


def processor() -> str:
    """The name of the processor, and its cores."""
    try:
        about = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        about = []
    models = (line.split(": ", 1)[1] for line in about if line.startswith("model name") and ": " in line)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{next(models, 'an unknown processor')}, {cores} cores"
