"""Statistics over rounds, and how numbers are written."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Iterable


@dataclass(frozen=True)
class Spread:
    """The median of measurements, with minimum and maximum."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, measured: Iterable[float]) -> Spread | None:
        """None if there are no measurements."""
        measured = list(measured)
        if not measured:
            return None
        return cls(statistics.median(measured), min(measured), max(measured))

    def __format__(self, digits: str) -> str:
        """With as many decimals as `digits` says, two by default."""
        digits = digits or "2"
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} to {self.greatest:.{digits}f})"


@dataclass(frozen=True)
class Target:
    """The target of a ratio."""

    at_least: float
    hoped_for: float

    def verdict(self, found: Spread) -> str:
        """The verdict on the median in a word or two."""
        if found.median >= self.hoped_for:
            return "as hoped"
        return "pass" if found.median >= self.at_least else "miss"

    def __str__(self) -> str:
        return f"at least {self.at_least:g}, hoped for {self.hoped_for:g}"


def scientific(number: float, decimals: int = 0) -> str:
    """Such as 1e-3, or 1.5e-3 with one decimal."""
    mantissa, _, exponent = f"{number:.{decimals}e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa  # infinity has no exponent
