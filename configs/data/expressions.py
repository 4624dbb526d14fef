"""Prints 5,000 arithmetic expressions that fit 1/3 + x + sin(x x) no better than the median of 20,000.

Productions are drawn evenly, at most 15 of them; all expressions are different and have 3 to 30 characters.
"""

import math
import random

RULES = {
    "S": ["S+T", "S*T", "S/T", "T"],
    "T": ["(S)", "sin(S)", "exp(S)", "x", "1", "2", "3"],
}
DRAWN, PRINTED = 20_000, 5_000
POINTS = [-10 + 20 * i / 99 for i in range(100)]


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


def score(text):
    """min(7, log(1 + mean squared error)), 7 where a value is infinite or undefined."""
    names = {"sin": math.sin, "exp": math.exp}
    code, total = compile(text, text, "eval"), 0.0
    for x in POINTS:
        try:
            error = eval(code, {"__builtins__": {}, "x": x, **names}) - (1 / 3 + x + math.sin(x * x))
            total += error * error
        except (ArithmeticError, ValueError):
            return 7.0
    return min(7.0, math.log1p(total / len(POINTS))) if math.isfinite(total) else 7.0


rng, drawn = random.Random(1), {}
while len(drawn) < DRAWN:
    text = expression(rng)
    if text and 3 <= len(text) <= 30 and text not in drawn:
        drawn[text] = score(text)
median = sorted(drawn.values())[DRAWN // 2]
poor = [text for text, found in drawn.items() if found >= median]
print("\n".join(poor[:PRINTED]))
