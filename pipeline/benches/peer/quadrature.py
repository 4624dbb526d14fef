"""Clenshaw-Curtis quadrature that doubles its nodes until each integral converges, with the program's rules."""

import functools
import math

import torch

FEWEST, CONVERGING, MOST = 16, 128, 2048


@functools.lru_cache
def weights(intervals):
    """Of the rule with `intervals` intervals over an interval of length 1 [intervals + 1], f64."""
    angles = torch.arange(intervals + 1, dtype=torch.float64) * (math.pi / intervals)
    k = torch.arange(1, intervals // 2 + 1, dtype=torch.float64)
    twice = torch.where(2 * k == intervals, 1.0, 2.0)
    sums = (twice * torch.cos(2 * k * angles[:, None]) / (4 * k * k - 1)).sum(1)
    ends = torch.ones(intervals + 1, dtype=torch.float64)
    ends[[0, -1]] = 0.5
    return ends * (1 - sums) / intervals


def integrate(count, tolerance, rounding, evaluate):
    """Integrals [count], f64; `evaluate(position, points)` gives the values of the points with these indices."""
    values = torch.full((count,), math.inf, dtype=torch.float64)
    changes, points = values.clone(), torch.arange(count)
    nodes, intervals = [], FEWEST
    while True:
        known, nodes = nodes, []
        for index in range(intervals + 1):
            if known and index % 2 == 0:
                nodes.append(known[index // 2])
            else:
                position = (1 - math.cos(math.pi * index / intervals)) / 2
                nodes.append(evaluate(position, points).double().cpu())
        terms = weights(intervals)[:, None] * torch.stack(nodes)
        integral = terms.sum(0)
        change = (integral - values[points]).abs()
        left = what_is_left(change, changes[points], intervals) > (rounding * terms.abs().sum(0)).clamp_min(tolerance)
        values[points], changes[points] = integral, change
        if intervals >= MOST or not left.any():
            return values
        nodes, points, intervals = [node[left] for node in nodes], points[left], 2 * intervals


def what_is_left(change, before, intervals):
    """The error after a `change` that followed on the change `before`."""
    if intervals < CONVERGING:
        return torch.maximum(change, 0.05 * before)
    change = torch.maximum(change, 0.1 * before)
    ratio = (change / before).nan_to_num(0.5).clamp_max(0.5)
    return change * ratio / (1 - ratio)
