"""Clenshaw-Curtis quadrature with as many nodes as each point needs (Clenshaw & Curtis 1960).

Doubling the intervals keeps all nodes: what was evaluated is used again.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, List

import numpy as np

from .errors import NumericalError

# intervals of the coarsest rule
FEWEST = 16
# intervals from which on changes are taken for those of a series that converges
CONVERGING = 128
# intervals after which a point's integral is taken as it is
MOST = 2048


def node(index: int, intervals: int) -> float:
    """The node `index` of the rule with `intervals` intervals, a share of the interval."""
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
    """Of the finest rule that a point needed."""
    settled: np.ndarray
    """`[n]`: false where the finest rule left more than what is allowed."""
    evaluations: int
    """Of one point each."""


def integrate(
    n: int, q: int, tolerance: float, rounding: float, evaluate: Callable[[float, np.ndarray], np.ndarray]
) -> Integrals:
    """Integrates q functions at each of n points over [0, 1].

    `evaluate(position, points)` gives those of the points with the indices `points`, [points, q]. A point is done once
    the changes of its integrals by doubling its nodes, going on as they went, leave no more than `tolerance`, or than
    `rounding` times the integral of the absolute value.
    """
    values, settled = np.full((n, q), np.nan), np.ones(n, bool)
    points, changes = np.arange(n), np.full(n, np.inf)
    nodes: List[np.ndarray] = []  # of each node, the values [points, q] of the points that are left
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

    It is what is left of the series in which each change is to the one before as these two are. Convergence is not
    believed to be faster than tenfold a doubling, and among coarse rules, which may have missed the same feature, the
    change itself counts.
    """
    if intervals < CONVERGING:
        return np.maximum(change, 0.05 * before)
    change = np.maximum(change, 0.1 * before)
    ratio = np.minimum(np.divide(change, before, out=np.full_like(change, 0.5), where=before > 0), 0.5)
    return change * ratio / (1.0 - ratio)
