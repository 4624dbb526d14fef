"""Rounds: in each, every side has a turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

from machine import QUIET
from side import Side, Way

# Disturbed rounds are repeated, up to this many times the planned number.
PATIENCE = 3
# Sides of square matrices, and products of each.
SQUARES = [1024, 2048, 4096]
PRODUCTS = 2


@dataclass(frozen=True)
class Plan:
    """The plan of a measurement.

    A turn takes `seconds`, and at least one step; if None, it is one step, and the first is not preceded by a warm-up. With `products`, a round ends
    with products of matrices. `disturbed`: other load is intended, so that it is no reason to repeat a round.
    """

    count: int
    seconds: float | None
    products: bool = False
    disturbed: bool = False


@dataclass
class Round:
    """The measurements of a round: seconds per step; rates of matrix products, of this program and of PyTorch, in
    floating-point operations per second; and the largest share of the machine that other processes used in a turn."""

    seconds: dict[Way, float] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    others: float = 0.0

    def ratio(self, ways: Callable[[Way], bool]) -> float | None:
        """The seconds of the fastest of those ways over those of this program; None if there is none."""
        theirs = [seconds for way, seconds in self.seconds.items() if ways(way)]
        return min(theirs) / self.seconds[Way.OURS] if theirs else None


def rounds(sides: list[Side], plan: Plan) -> list[Round]:
    """Runs the task set up on all of `sides`, this program first: the least disturbed rounds, as many as planned. The order
    of turns rotates by one from round to round."""
    steps = [1] * len(sides)
    if plan.seconds is not None:
        for at, side in enumerate(sides):
            side.run(1)  # warm-up, such as compilation
            steps[at] = steps_in(side, plan.seconds)
    measured: list[Round] = []
    quiet = 0
    while quiet < plan.count and len(measured) < PATIENCE * plan.count:
        this = Round()
        for turn in range(len(sides)):
            at = (len(measured) + turn) % len(sides)
            this.seconds[sides[at].way] = sides[at].run(steps[at])
            this.others = max(this.others, sides[at].others)
        if plan.products:
            for side in sides[:2]:
                rate, others = best_rate(side)
                this.rates.append(rate)
                this.others = max(this.others, others)
        measured.append(this)
        quiet += plan.disturbed or this.others < QUIET
    return sorted(measured, key=lambda this: this.others)[: plan.count]


def steps_in(side: Side, seconds: float) -> int:
    """The number of steps that `side` takes in these seconds; at least one. The number is increased step by step, because
    the first steps may have been prepared beforehand."""
    steps = 1
    while True:
        each = side.run(steps)
        if each * steps > seconds / 8:
            return max(1, int(seconds / each))
        steps *= 4


def best_rate(side: Side) -> tuple[float, float]:
    """The best rate of matrix products, in floating-point operations per second, and the largest share of the machine that
    other processes used meanwhile."""
    best, others = 0.0, 0.0
    for square in SQUARES:
        seconds = side.ask("product", {"side": square, "times": PRODUCTS})
        best = max(best, 2 * square**3 / min(seconds))
        others = max(others, side.others)
    return best, others
