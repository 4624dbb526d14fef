"""Dormand-Prince 5(4) with its continuous extension, whose steps apply the tolerance to the worst point, as the program
does."""

import bisect

import torch

C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
D = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


def along(h, weights, slopes):
    return sum(slope * (h * weight) for weight, slope in zip(weights, slopes) if weight)


class Trajectory:
    """The solution [n, d] of `slope(x, time)` from `start` to `end`; positions are fractions of the interval."""

    def __init__(self, slope, x, start, end, tolerance):
        span = end - start
        at = lambda x, position: slope(x, start + position * span)
        self.grid, self.steps, position, size, first = [], [], 0.0, 0.01, at(x, 0.0)
        while position < 1:
            share = min(size, 1 - position)
            h, slopes = share * span, [first]
            for c, a in zip(C, A):
                following = x + along(h, a, slopes)
                slopes.append(at(following, position + c * share))
            scale = tolerance * (1 + torch.maximum(x.abs(), following.abs()))
            error = (along(h, E, slopes) / scale).square().mean(1).max().sqrt().item()
            factor = min(max(0.9 * max(error, 1e-10) ** -0.2, 0.2), 5.0)
            if error <= 1:
                last = position + size >= 1
                self.steps.append((position, share, self.extension(x, following, h, slopes)))
                x, first, position = following, slopes[-1], 1.0 if last else position + share
                self.grid.append(position)
            else:
                factor = min(factor, 0.9)
            size = share * factor
            if size < 1e-9:
                raise RuntimeError(f"no step is small enough at {position}")
        self.end = x

    @staticmethod
    def extension(x, following, h, slopes):
        difference = following - x
        bend = slopes[0] * h - difference
        return x, difference, bend, difference - slopes[-1] * h - bend, along(h, D, slopes)

    def at(self, position):
        """The points [n, d] there."""
        if position >= 1:
            return self.end
        start, share, (c0, c1, c2, c3, c4) = self.steps[bisect.bisect_right(self.grid, position)]
        s = (position - start) / share
        r = 1 - s
        return c0 + c1 * s + c2 * (s * r) + c3 * (s * s * r) + c4 * (s * s * r * r)
