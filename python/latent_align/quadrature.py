"""Adaptive Clenshaw-Curtis quadrature (Clenshaw & Curtis 1960). Doubling the intervals keeps all nodes, so that
evaluations are reused.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, List

import numpy as np

from .errors import NumericalError

# intervals of the coarsest rule
FEWEST = 16
# intervals from which changes are assumed to follow a convergent series
CONVERGING = 128
# the largest number of intervals
MOST = 2048


def node(index: int, intervals: int) -> float:
    """The node `index` of the rule with `intervals` intervals, as a fraction of the interval."""
    return (1.0 - math.cos(math.pi * index / intervals)) / 2.0


@lru_cache(maxsize=16)
def weights(intervals: int) -> np.ndarray:
    """The weights [intervals + 1] of the rule with `intervals` (even) intervals, over an interval of length 1."""
    angles = np.pi * np.arange(intervals + 1) / intervals
    k = np.arange(1, intervals // 2 + 1)
    twice = np.where(2 * k == intervals, 1.0, 2.0)
    sums = (twice * np.cos(2.0 * k * angles[:, None]) / (4.0 * k * k - 1.0)).sum(1)
    ends = np.ones(intervals + 1)
    ends[[0, -1]] = 0.5
    return ends * (1.0 - sums) / intervals


@dataclass
class Integrals:
    """Integrals of many points."""

    values: np.ndarray
    """[n, q]."""
    intervals: int
    """The number of intervals of the finest rule used."""
    settled: np.ndarray
    """`[n]`: false if the error of the finest rule exceeds the tolerance."""
    evaluations: int
    """Of one point each."""


def integrate(
    n: int, q: int, tolerance: float, rounding: float, evaluate: Callable[[float, np.ndarray], np.ndarray]
) -> Integrals:
    """Integrates q functions at each of n points over [0, 1].

    `evaluate(position, points)` gives those of the points with the indices `points`, [points, q]. A point is finished
    once the extrapolated error of its integrals is at most `tolerance`, or `rounding` times the integral of the
    absolute value.
    """
    values, settled = np.full((n, q), np.nan), np.ones(n, bool)
    points, changes = np.arange(n), np.full(n, np.inf)
    nodes: List[np.ndarray] = []  # for each node, the values [points, q] of the unfinished points
    intervals, evaluations = FEWEST, 0
    while True:
        known, nodes = nodes, []
        for index in range(intervals + 1):
            if index % 2 == 0 and known:
                nodes.append(known[index // 2])
            else:
                evaluations += len(points)
                nodes.append(evaluate(node(index, intervals), points))
        terms = weights(intervals)[:, None, None] * np.stack(nodes)  # [nodes, points, q]
        integral = terms.sum(0)
        bad = ~np.isfinite(integral).all(1)
        if bad.any():
            raise NumericalError(f"the divergence along the trajectory of point {points[bad][0]} is not finite")
        allowed = np.maximum(tolerance, (rounding * np.abs(terms).sum(0)).max(1))
        change = np.abs(integral - values[points])
        change = np.where(np.isnan(change), np.inf, change).max(1)
        values[points] = integral
        error = _what_is_left(change, changes[points], intervals)
        changes[points] = change
        left = error > allowed
        if intervals >= MOST:
            settled[points[left]] = False
        if intervals >= MOST or not left.any():
            return Integrals(values, intervals, settled, evaluations)
        nodes = [of_node[left] for of_node in nodes]
        points = points[left]
        intervals *= 2


def _what_is_left(change: np.ndarray, before: np.ndarray, intervals: int) -> np.ndarray:
    """The error of the rule with `intervals` after a `change` that followed on the change `before`.

    It is the remainder of the geometric series with the ratio of the two changes. The ratio is at least 1/10, and for
    coarse rules, which may have missed the same feature, the error is the change itself.
    """
    if intervals < CONVERGING:
        return np.maximum(change, 0.05 * before)
    change = np.maximum(change, 0.1 * before)
    ratio = np.minimum(np.divide(change, before, out=np.full_like(change, 0.5), where=before > 0), 0.5)
    return change * ratio / (1.0 - ratio)
