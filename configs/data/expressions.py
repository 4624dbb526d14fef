"""Prints 4,000 arithmetic expressions: productions are drawn evenly, at most 15 of them."""

import random

RULES = {
    "S": ["S+T", "S*T", "S/T", "T"],
    "T": ["(S)", "sin(S)", "exp(S)", "x", "1", "2", "3"],
}


def expression(rng):
    """An expression, or None after more than 15 productions."""
    done, ahead, left = "", "S", 15
    while ahead:
        symbol, ahead = ahead[0], ahead[1:]
        if symbol not in RULES:
            done += symbol
            continue
        left -= 1
        if left < 0:
            return None
        ahead = rng.choice(RULES[symbol]) + ahead
    return done


rng, printed = random.Random(1), 0
while printed < 4000:
    drawn = expression(rng)
    if drawn and 3 <= len(drawn) <= 30:
        print(drawn)
        printed += 1
