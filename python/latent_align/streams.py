"""The pipeline's random streams, as needed to use its files: the halves of a coupling are drawn, not stored, as is the
noise of latents of sequences. A stream is a Pcg64 generator (PCG XSL RR 128/64) whose seed is the BLAKE3 digest of its
purpose.
"""

import math
import struct
from typing import List

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_COLUMNS_THEN_DIAGONALS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
# the first and the last block of a chunk, which is the root
_FLAGS = 1 | 2 | 8
_M32, _M64, _M128 = (1 << 32) - 1, (1 << 64) - 1, (1 << 128) - 1


def blake3_of_a_block(data: bytes) -> bytes:
    """The BLAKE3 digest of at most 64 bytes."""
    assert len(data) <= 64, "one block"
    words = list(struct.unpack("<16I", data.ljust(64, b"\0")))
    state = [*_IV, *_IV[:4], 0, 0, len(data), _FLAGS]

    def rotated(x: int, by: int) -> int:
        return (x >> by | x << (32 - by)) & _M32

    for _ in range(7):
        for i, (a, b, c, d) in enumerate(_COLUMNS_THEN_DIAGONALS):
            for word, by_d, by_b in ((words[2 * i], 16, 12), (words[2 * i + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & _M32
                state[d] = rotated(state[d] ^ state[a], by_d)
                state[c] = (state[c] + state[d]) & _M32
                state[b] = rotated(state[b] ^ state[c], by_b)
        words = [words[p] for p in _PERMUTATION]
    return struct.pack("<8I", *(state[i] ^ state[i + 8] for i in range(8)))


class Pcg64:
    """The generator of `stream` at `step`, for `stage` with `seed`; by default for no stage."""

    _MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645

    def __init__(self, stream: str, step: int, stage: str = "", seed: int = 0):
        digest = blake3_of_a_block(struct.pack("<QQ", seed, step) + f"{stage}/{stream}".encode())
        state, increment = (int.from_bytes(digest[i : i + 16], "little") for i in (0, 16))
        self._increment = increment | 1
        self._state = (state + self._increment) & _M128
        self._step()

    def _step(self) -> None:
        self._state = (self._state * self._MULTIPLIER + self._increment) & _M128

    def next_u64(self) -> int:
        """64 random bits."""
        self._step()
        turn = self._state >> 122
        mixed = (self._state >> 64 ^ self._state) & _M64
        return (mixed >> turn | mixed << (64 - turn)) & _M64

    def next_u32(self) -> int:
        """32 random bits."""
        return self.next_u64() & _M32

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1 (Canon's method, as Rust's `rand` has it)."""
        product = self.next_u32() * bound
        high, low = product >> 32, product & _M32
        if low > (1 << 32) - bound and low + (self.next_u32() * bound >> 32) > _M32:
            high += 1
        return high

    def normal(self) -> float:
        """A standard normal number in f64 (the ziggurat of Marsaglia and Tsang as Doornik has it, and Rust's `rand_distr`)."""
        while True:
            bits = self.next_u64()
            strip, u = bits & 0xFF, (bits >> 12) * 2.0**-51 - 1.0
            x = u * _EDGES[strip]
            if abs(x) < _EDGES[strip + 1]:
                return x
            if strip == 0:
                return math.copysign(self._tail(), u)
            low, high = _HEIGHTS[strip + 1], _HEIGHTS[strip]
            if low + (high - low) * self._uniform() < _height(x):
                return x

    def exponential(self) -> float:
        """A standard exponential number in f64, by the same ziggurat."""
        while True:
            bits = self.next_u64()
            strip, u = bits & 0xFF, (bits >> 12) * 2.0**-52 + 2.0**-53
            x = u * _EXP_EDGES[strip]
            if x < _EXP_EDGES[strip + 1]:
                return x
            if strip == 0:
                return _EXP_LAST_EDGE - math.log(self._uniform())
            low, high = _EXP_HEIGHTS[strip + 1], _EXP_HEIGHTS[strip]
            if low + (high - low) * self._uniform() < math.exp(-x):
                return x

    def _uniform(self) -> float:
        """A number from [0, 1)."""
        return (self.next_u64() >> 11) * 2.0**-53

    def _tail(self) -> float:
        """A number from the tail."""
        while True:
            x, y = (math.log(((self.next_u64() >> 12) + 0.5) * 2.0**-52) for _ in range(2))
            x /= _LAST_EDGE
            if -2.0 * y >= x * x:
                return _LAST_EDGE - x


_LAST_EDGE = 3.654152885361008796
# of each of 256 strips, and of the tail
_AREA = 0.00492867323399


def _height(x: float) -> float:
    return math.exp(-x * x / 2)


def _edges() -> List[float]:
    """Where the strips end on the right, from the widest to 0."""
    edges = [_AREA / _height(_LAST_EDGE), _LAST_EDGE]
    while len(edges) < 256:
        edges.append(math.sqrt(-2 * math.log(_AREA / edges[-1] + _height(edges[-1]))))
    return [*edges, 0.0]


_EDGES = _edges()
_HEIGHTS = [_height(x) for x in _EDGES]


_EXP_LAST_EDGE = 7.697117470131050077


def _exp_edges() -> List[float]:
    """As `_edges`, under exp(-x): the tail beyond the last edge has area exp(-edge)."""
    area = math.exp(-_EXP_LAST_EDGE) * (_EXP_LAST_EDGE + 1)
    edges = [_EXP_LAST_EDGE + 1, _EXP_LAST_EDGE]
    while len(edges) < 256:
        edges.append(-math.log(area / edges[-1] + math.exp(-edges[-1])))
    return [*edges, 0.0]


_EXP_EDGES = _exp_edges()
_EXP_HEIGHTS = [math.exp(-x) for x in _EXP_EDGES]


def kept_by(layer: int, elements: int) -> List[bool]:
    """Which of `elements` the coupling layer of this number keeps: half of them at random; an odd layer keeps the
    elements that the even layer before it moves."""
    order = list(range(elements))
    rng = Pcg64("halves of a coupling", layer // 2)
    for last in range(elements - 1, 0, -1):
        other = rng.below(last + 1)
        order[last], order[other] = order[other], order[last]
    even = layer % 2 == 0
    kept = [not even] * elements
    for element in order[: elements // 2]:
        kept[element] = even
    return kept
