"""Whether all sides compute the same: each the results of its task, from weights and inputs that this program wrote."""

from __future__ import annotations

import tempfile

from figures import scientific
from side import Side


class Refused(RuntimeError):
    """Sides do not compute the same."""


def difference(sides: list[Side], within: float) -> float | None:
    """The largest difference between this program, the first of `sides`, and the others in the results of the task that all
    are set up for, relative to the largest number of each tensor. None if this program is alone; Refused if it is not below
    `within`."""
    ours, *peers = sides
    if not peers:
        return None
    greatest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        ours.ask("show", {"folder": folder})
        for peer in peers:
            found = peer.ask("agree", {"folder": folder})
            if not found["by"] < within:  # NaN neither
                raise Refused(
                    f"{peer.way.value}: {found['of']} differs by {scientific(found['by'], 1)} of its size from ours with the "
                    f"same weights at the same points, expected less than {scientific(within)}: they do not compute the same"
                )
            greatest = max(greatest, found["by"])
    return greatest
