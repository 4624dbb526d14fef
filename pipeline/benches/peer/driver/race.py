"""Two trainings in turns, with their progress over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from side import Side, Task

# Steps per turn; the loss is evaluated after each turn.
TURN = 50
# This program stops after this many times the steps of PyTorch.
PATIENCE = 2


@dataclass(frozen=True)
class Moment:
    """The state of a training: its steps, its seconds without evaluations, and the loss on held-out points."""

    steps: float
    seconds: float
    loss: float


class Race:
    """The moments of both sides after each turn."""

    def __init__(self) -> None:
        self.ours: list[Moment] = []
        self.theirs: list[Moment] = []
        self.shares: list[float] = []

    @classmethod
    def run(cls, ours: Side, theirs: Side, task: Task, steps: int) -> Race:
        """`theirs` takes `steps` steps; this program as many, and then more until its loss is as small."""
        race = cls()
        ours.prepare(task)
        theirs.prepare(task)
        for _ in range(math.ceil(steps / TURN)):
            race.turn(theirs, race.theirs)
            race.turn(ours, race.ours)
        while race.reached() is None and len(race.ours) * TURN < PATIENCE * steps:
            race.turn(ours, race.ours)
        return race

    def turn(self, side: Side, moments: list[Moment]) -> None:
        each = side.run(TURN)
        self.shares.append(side.others)
        (loss,) = side.ask("held_out_loss")
        before = moments[-1] if moments else Moment(0.0, 0.0, math.inf)
        moments.append(Moment(before.steps + TURN, before.seconds + TURN * each, loss))

    def target(self) -> Moment:
        """The end of PyTorch's training."""
        return self.theirs[-1]

    def reached(self) -> Moment | None:
        """When this program's loss first reached that of the target, interpolated linearly between turns."""
        return first_at(self.ours, self.target().loss)

    def losses_after(self, steps: int) -> str:
        """The ratio of the losses, ours over PyTorch's, after `steps` steps of each."""
        at = max(steps // TURN, 1) - 1
        if at >= min(len(self.ours), len(self.theirs)):
            return "-"
        return f"{self.ours[at].loss / self.theirs[at].loss:.4f}"

    def others(self) -> float:
        """The share of the machine that other processes used, averaged over turns."""
        return sum(self.shares) / len(self.shares)


def first_at(moments: list[Moment], loss: float) -> Moment | None:
    """When the loss of `moments` first was at most `loss`."""
    at = next((at for at, moment in enumerate(moments) if moment.loss <= loss), None)
    if not at:
        return None if at is None else moments[0]
    before, after = moments[at - 1], moments[at]
    share = (before.loss - loss) / (before.loss - after.loss)
    between = lambda a, b: a + share * (b - a)
    return Moment(between(before.steps, after.steps), between(before.seconds, after.seconds), loss)
