"""Times jobs at every size and prints a table of ratios.

The sides are this program, and PyTorch naive and careful, each eager and compiled. Before a row is timed, every side computes
the same from the same weights and inputs; a row whose results differ is refused, and the others are measured.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

import solves
from agreement import difference
from figures import Spread, scientific
from kinds import KINDS, RATE, WIDEST, Kind
from machine import busy_processes, disturbance, processor
from rounds import SQUARES, Plan, Round, rounds
from side import Side, Task, Way
from table import Table, publish

Row = dict[str, Any]
ABOUT = (
    "Milliseconds: median over rounds of a step in the mean of a turn. Ratios: of the faster PyTorch of each round, median over "
    "rounds (least to greatest). Careful PyTorch shares times in groups and looks modulations of a frozen flow up in a table, as "
    "ours does; where that changes nothing there is no naive one."
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rows", type=kinds, default=list(KINDS), metavar="ROW,...", help=f"which jobs: {', '.join(KINDS)} (default: all)"
    )
    parser.add_argument(
        "--size", default="", help="only sizes whose description contains this, such as 'width 1024, 6 blocks, 256 points'"
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds, in which every side has a turn (default: 7)")
    parser.add_argument("--solves", type=int, default=2, help="rounds of whole solves, which are slow (default: 2)")
    parser.add_argument(
        "--paper", action="store_true", help="training and alignment steps of the paper's size only: width 1024, 6 blocks"
    )
    parser.add_argument(
        "--precision",
        choices=("f32", "bf16"),
        default="f32",
        help="of the matrix products of blocks in training and alignment steps (default: f32)",
    )
    parser.add_argument("--check", action="store_true", help="only check whether all sides compute the same; time nothing")
    parser.add_argument("--careful", action="store_true", help="leave naive PyTorch out")
    parser.add_argument(
        "--beside", type=int, default=0, metavar="THREADS", help="keep this many threads of other processes busy (default: 0)"
    )
    parser.add_argument("--turn", type=float, default=1.0, help="seconds of a turn, with at least one step (default: 1)")


def kinds(names: str) -> list[str]:
    """The kinds of a list with commas."""
    found = names.split(",")
    for name in found:
        if name not in KINDS:
            raise ArgumentTypeError(f"found `{name}`, expected some of {', '.join(KINDS)}")
    return found


def run(given: Namespace) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ways = [way for way in Way if way is Way.OURS or given.python and not (given.careful and way.is_naive)]
        sides = []
        for way in ways:
            sides.append(Side.start(way, given))
            stack.callback(sides[-1].end)
        for process in busy_processes(given.beside):
            stack.callback(process.kill)
        comparison = Comparison(sides, given, folder)
        failed = [name for name in given.rows if not comparison.measured(name)]
        publish(comparison.text(), given.out)
    if failed:
        raise RuntimeError(f"{len(failed)} of the jobs failed ({', '.join(failed)}); the notes say why")


class Comparison:
    """The table, the remarks below it, and the sides that are measured, this program first.

    `disturbed` is the largest share of the machine that other processes used in a counted turn.
    """

    def __init__(self, sides: list[Side], given: Namespace, folder: Path):
        self.sides, self.given, self.folder, self.disturbed = sides, given, folder, 0.0
        about = "; ".join(side.about() for side in sides[:2])  # this program, and one of PyTorch
        self.notes = [f"{ABOUT} {about}; {processor()}."]
        milliseconds = [f"{way.value} (ms)" for way in Way]
        self.table = Table(
            "job", "size", *milliseconds, "best naive / ours", "best careful / ours", "asked of the careful", "verdict"
        )

    def measured(self, name: str) -> bool:
        """Measures the rows of a kind; False if one fails, and the notes say why."""
        kind = KINDS[name]
        if self.given.check and kind.within is None:
            return True
        try:
            rows = self.sides[0].tasks(name, self.folder, self.given.precision, self.given.paper)
            if name in ("likelihood", "nested"):
                self.solve(kind, *rows)
            else:
                self.rows(kind, rows)
        except RuntimeError as error:
            self.notes.append(f"Failed: {error}")
            return False
        return True

    def rows(self, kind: Kind, rows: list[Row]) -> None:
        """Rows that all sides run the same way; one that fails does not keep the others from being measured."""
        refused = []
        self.notes.append(kind.note)
        for row in rows:
            if kind.within is not None and self.given.size not in row["size"]:
                continue
            say(f"{kind.job}, {row['size']}")
            try:
                self.row(kind, row)
            except RuntimeError as error:
                say(f"    refused: {error}")
                refused.append(f"{kind.job}, {row['size']}: {error}")
        if refused:
            raise RuntimeError("; ".join(refused))

    def row(self, kind: Kind, row: Row) -> None:
        sides, task = self.among(kind), row["task"]
        how = prepare(sides, in_f32(task))
        found = None if kind.within is None else difference(sides, kind.within)
        if self.given.check:
            say("    nobody to compare with" if found is None else f"    differs by {scientific(found, 1)}")
        else:
            if task != in_f32(task):
                how = prepare(sides, task)
            products = task["kind"] == "train" and task["size"]["width"] == WIDEST
            measured = self.follow(sides, None if kind.slow else self.given.turn, products)
            self.report(kind, row, measured)
            if products:
                self.notes.append(share_of_rate(row, measured))
        remarks = [f"{way.value}: {words}" for way, words in how[1:]]
        if found is not None:
            same = "what comes out with the same weights at the same points"
            remarks.append(f"{same} differs by {scientific(found, 1)} of its size")
        if remarks:
            self.notes.append(f"{kind.job}, {row['size']}: {'; '.join(remarks)}.")

    def solve(self, kind: Kind, few: Row, row: Row) -> None:
        """Whole solves, by the tolerance that each side needs."""
        sides = self.among(kind)
        say(f"{kind.job}: comparing the first points with f64")
        chosen = solves.choose(sides, few["task"], row["task"])
        self.report(kind, row, self.follow(sides, None))
        self.notes.append(solves.described(chosen, few["size"]))

    def among(self, kind: Kind) -> list[Side]:
        """The sides that run jobs of that kind."""
        return [side for side in self.sides if side.way in kind.ways]

    def follow(self, sides: list[Side], seconds: float | None, products: bool = False) -> list[Round]:
        """Rounds with turns of `seconds`; of slow jobs, which were already run, if None."""
        count = self.given.solves if seconds is None else self.given.rounds
        found = rounds(sides, Plan(count, seconds, products, disturbed=self.given.beside > 0))
        self.disturbed = max(self.disturbed, *(round.others for round in found))
        return found

    def report(self, kind: Kind, row: Row, measured: list[Round]) -> None:
        def milliseconds(way: Way) -> str:
            found = Spread.of(1e3 * round.seconds[way] for round in measured if way in round.seconds)
            return "-" if found is None else f"{found.median:.{3 if found.median < 1 else 1}f}"

        def ratio(ways: Callable[[Way], bool]) -> Spread | None:
            found = (round.ratio(ways) for round in measured)
            return Spread.of(value for value in found if value is not None)

        naive, careful = ratio(lambda way: way.is_naive), ratio(lambda way: way.is_careful)
        target = kind.target_of(row["task"])
        self.table.row(
            kind.job,
            row["size"],
            *map(milliseconds, Way),
            *("-" if found is None else f"{found}" for found in (naive, careful)),
            str(target),
            "-" if careful is None else target.verdict(careful),
        )

    def text(self) -> str:
        parts = [str(self.table), *(note + "\n" for note in self.notes)]
        busy = self.given.beside
        parts.append(f"Beside {busy} threads that were busy all the time.\n" if busy else disturbance(self.disturbed))
        return "\n".join(parts)


def prepare(sides: list[Side], task: Task) -> list[tuple[Way, str]]:
    """Sets up the task on those sides; returns how each runs it."""
    return [(side.way, side.prepare(task)) for side in sides]


def in_f32(task: Task) -> Task:
    """The task without lower precision, in which sides are compared."""
    size = task.get("size")
    if isinstance(size, dict) and "precision" in size:
        return {**task, "size": {**size, "precision": "f32"}}
    return task


def share_of_rate(row: Row, measured: list[Round]) -> str:
    """The share of the best rate of matrix products, of either side, that the necessary arithmetic of this program's training
    step reaches, in per cent."""
    operations = row["operations"]
    share = Spread.of(100 * operations / round.seconds[Way.OURS] / max(round.rates) for round in measured)
    rates = [Spread.of(of_side) for of_side in zip(*([rate / 1e9 for rate in round.rates] for round in measured))]
    best = ", ".join(f"{name} {rate:0}" for name, rate in zip(("ours", "PyTorch"), rates))
    return (
        f"Training step, {row['size']}: {share:0} % of the measured rate of matrix products, counting only the "
        f"{operations / 1e9:.1f} GFLOP that are necessary ({RATE}): {RATE.verdict(share)}. Products of squares of {SQUARES}, the "
        f"best in GFLOP/s: {best}."
    )


def say(words: str) -> None:
    print(words, file=sys.stderr)
