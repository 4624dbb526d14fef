"""Whole solves: each side with the loosest sufficient tolerance, according to the same reference."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from figures import scientific
from side import Side, Task

# In the sense of each solver, the loosest first.
TOLERANCES = [1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6]
# The worst error allowed, in nats.
WITHIN = 1e-3


@dataclass
class Chosen:
    """How a side solves, and the worst error of its solve in nats."""

    side: Side
    tolerance: float
    how: str
    worst: float


def choose(sides: list[Side], few: Task, all_points: Task) -> list[Chosen]:
    """Each side set up with its tolerance, found first on a few points alone, then on all of which they are the first. This
    program, the first of `sides`, solves the few in f64."""
    ours, *peers = sides
    ours.prepare(few)
    reference = ours.ask("reference")
    chosen: dict[Side, Chosen] = {}
    loosest = TOLERANCES[0]
    # eager computes the same as compiled, the last: it starts with that tolerance
    for side in (ours, *reversed(peers)):
        tolerance = loosest
        for task in (few, all_points):
            chosen[side] = sufficient(side, task, reference, tolerance)
            tolerance = chosen[side].tolerance
        if side is not ours:
            loosest = tolerance
    return [chosen[side] for side in sides]


def sufficient(side: Side, task: Task, reference: list[float], loosest: float) -> Chosen:
    """`side` set up with the loosest sufficient tolerance, from `loosest` on."""
    for tolerance in (t for t in TOLERANCES if t <= loosest):
        how = side.prepare({**task, "tolerance": tolerance})
        side.run(1)
        found = side.ask("likelihoods")
        worst = max(abs(here - there) for here, there in zip(found, reference))
        words = f"tolerance {scientific(tolerance)}, worst error {scientific(worst, 1)} nats"
        print(f"{side.way.value}: {words}", file=sys.stderr)
        if worst < WITHIN:
            return Chosen(side, tolerance, how, worst)
    raise RuntimeError(f"{side.way.value}: none of {TOLERANCES} is within {scientific(WITHIN)} nats")


def described(chosen: list[Chosen], references: str) -> str:
    """A sentence on each solve; `references` are the points that were also solved in f64, in words."""
    text = (
        f"NLL solve: the loosest tolerance of {TOLERANCES} whose worst error over the first points ({references}) is below "
        f"{scientific(WITHIN)} nats, against ours in f64 with 1e-7."
    )
    for of in chosen:
        text += f" {of.side.way.value}: tolerance {scientific(of.tolerance)}, worst error {scientific(of.worst, 1)} nats, {of.how}."
    return text
