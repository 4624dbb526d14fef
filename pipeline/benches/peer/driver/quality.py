"""Seconds to the held-out loss that PyTorch reaches.

Both sides start from the same weights and take the same rows in the same order, with the pipeline's recipe at a constant
learning rate. Both share stratified times, as the pipeline does, or PyTorch, naive, draws a time for each point. The loss is
that of the averaged weights, at the same points, noise and times; its evaluation is not timed.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from figures import Spread, Target
from machine import disturbance, processor
from race import Race
from side import Side, Task, Way
from table import Table, publish

# Of the ratio of seconds.
TARGET = Target(1.2, 2.0)
# Eager, and compiled.
AGAINST = {
    "careful": (Way.CAREFUL_EAGER, Way.CAREFUL_COMPILED),
    "naive": (Way.NAIVE_EAGER, Way.NAIVE_COMPILED),
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="of the data, initial weights, noise and times (default: 3)")
    parser.add_argument("--steps", type=int, default=2000, help="steps of PyTorch (default: 2000)")
    parser.add_argument(
        "--against", choices=AGAINST, default="careful", help="PyTorch with shared times, or a time for each point"
    )


def run(given: Namespace) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = []
        for way in (Way.OURS, *AGAINST[given.against]):
            sides.append(Side.start(way, given))
            stack.callback(sides[-1].end)
        publish(compared(sides, given.seeds, given.steps, folder), given.out)


def compared(sides: list[Side], seeds: int, steps: int, folder: Path) -> str:
    """Races of this program, the first of `sides`, against the faster of the others; the table and the verdicts."""
    ours, *peers = sides
    about = f"{ours.about()}; {peers[0].about()}; {processor()}"
    moments = [steps // 4, steps // 2, steps]
    table = Table(
        *("data", "seed", "PyTorch (s)", "its loss", "ours (s)", "after steps", "PyTorch / ours"),
        f"loss, ours / PyTorch, after {moments} steps",
    )
    by_seed = [ours.tasks("fit", folder, seed=seed) for seed in range(seeds)]
    verdicts, others = "", 0.0
    for settings in zip(*by_seed):
        ratios, peer = [], None
        for seed, setting in enumerate(settings):
            name, task = setting["size"], setting["task"]
            print(f"{name}, seed {seed}", file=sys.stderr)
            peer = peer or faster(peers, task)
            race = Race.run(ours, peer, task, steps)
            target, reached = race.target(), race.reached()
            ratio = target.seconds / reached.seconds if reached else 0.0  # never reached: less than any ratio
            ratios.append(ratio)
            others = max(others, race.others())
            losses = ", ".join(race.losses_after(moment) for moment in moments)
            here = (f"{reached.seconds:.1f}", f"{reached.steps:.0f}", f"{ratio:.2f}") if reached else ("never",) * 3
            print(f"{name}, seed {seed}: ratio {here[2]}, losses {losses}", file=sys.stderr)
            there = (f"{target.seconds:.1f}, {peer.way.value}", f"{target.loss:.4f}")
            table.row(name, str(seed), *there, *here, losses)
        spread = Spread.of(ratios)
        verdicts += f"\n{name}: {spread}, {TARGET}: {TARGET.verdict(spread)}.\n"
    intro = f"Seconds to the held-out loss that PyTorch has after {steps} steps. {about}."
    return f"{table}\n{intro}\n{verdicts}\n{disturbance(others)}"


def faster(peers: list[Side], task: Task) -> Side:
    """The faster of eager and compiled over a few steps."""
    for peer in peers:
        peer.prepare(task)
        peer.run(3)  # compiling
    rounds = [[peer.run(20) for peer in peers] for _ in range(2)]  # alternating, so that drift favours neither
    seconds = [min(of_peer) for of_peer in zip(*rounds)]
    return peers[seconds.index(min(seconds))]
