"""The order of names with numbers, the same as that of `latent-align convert`."""

from functools import cmp_to_key


def _digits(text, start):
    end = start
    while end < len(text) and text[end] in "0123456789":
        end += 1
    return text[start:end]


def _compare(a, b):
    """Numbers in the texts as numbers, so that `part-2` comes before `part-10`; everything else by code point."""
    x = y = 0
    while x < len(a) and y < len(b):
        one, other = _digits(a, x), _digits(b, y)
        if one and other:
            x, y = x + len(one), y + len(other)
            one, other = int(one), int(other)
        else:
            one, other = a[x], b[y]
            x, y = x + 1, y + 1
        if one != other:
            return -1 if one < other else 1
    one, other = len(a) - x, len(b) - y
    if not one and not other:
        one, other = a, b
    return (one > other) - (one < other)


by_numbers = cmp_to_key(_compare)
