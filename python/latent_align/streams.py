"""The pipeline's random streams, as far as a file needs them to be understood: the halves of a coupling are drawn, not
stored.

A stream is a Pcg64 generator (PCG XSL RR 128/64) whose seed is the BLAKE3 digest of what the stream is for.
"""

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
    """The generator of `stream` at `step`, of streams with seed 0 that belong to no stage."""

    _MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645

    def __init__(self, stream: str, step: int):
        seed = blake3_of_a_block(struct.pack("<QQ", 0, step) + b"/" + stream.encode())
        state, increment = (int.from_bytes(seed[i : i + 16], "little") for i in (0, 16))
        self._increment = increment | 1
        self._state = (state + self._increment) & _M128
        self._step()

    def _step(self) -> None:
        self._state = (self._state * self._MULTIPLIER + self._increment) & _M128

    def next_u32(self) -> int:
        """32 random bits."""
        self._step()
        turn = self._state >> 122
        mixed = (self._state >> 64 ^ self._state) & _M64
        return (mixed >> turn | mixed << (64 - turn)) & _M32

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1 (Canon's method, as Rust's `rand` has it)."""
        product = self.next_u32() * bound
        high, low = product >> 32, product & _M32
        if low > (1 << 32) - bound and low + (self.next_u32() * bound >> 32) > _M32:
            high += 1
        return high


def kept_by(layer: int, elements: int) -> List[bool]:
    """Which of `elements` the coupling layer of this number keeps: half of them at random; an odd layer keeps what the
    even one before it moves."""
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
