"""Prints 5,000 arithmetic expressions whose fit to 1/3 + x + sin(x x) is no better than the median of 20,000.

Productions are drawn evenly, at most 15 of them; all expressions are different and have 3 to 30 characters.

--any COUNT [--seed SEED]   prints so many, however well they fit
--parse FILE                says which share of the lines of FILE are expressions of the grammar
"""

import argparse
import math
import random
import re

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
    """min(7, log(1 + mean squared error)), 7 if a value is infinite or undefined."""
    names = {"sin": math.sin, "exp": math.exp}
    code, total = compile(text, text, "eval"), 0.0
    for x in POINTS:
        try:
            error = eval(code, {"__builtins__": {}, "x": x, **names}) - (1 / 3 + x + math.sin(x * x))
            total += error * error
        except (ArithmeticError, ValueError):
            return 7.0
    return min(7.0, math.log1p(total / len(POINTS))) if math.isfinite(total) else 7.0


def different(count, seed):
    """This many distinct expressions, in the order of the draws."""
    rng, drawn = random.Random(seed), {}
    while len(drawn) < count:
        text = expression(rng)
        if text and 3 <= len(text) <= 30:
            drawn[text] = None
    return list(drawn)


def parses(text):
    """Whether `text` is in the grammar: terms are reduced, innermost first, until one is left."""
    if not re.fullmatch(r"(sin\(|exp\(|[x123+*/()])+", text):
        return False
    term = re.compile(r"(?:sin|exp)?\([x123]([+*/][x123])*\)")
    while folded := term.search(text):
        text = text[: folded.start()] + "x" + text[folded.end() :]
        # two adjacent terms are invalid
        if re.search(r"[x123)][x123(se]", text):
            return False
    return bool(re.fullmatch(r"[x123]([+*/][x123])*", text))


options = argparse.ArgumentParser()
options.add_argument("--any", type=int, metavar="COUNT")
options.add_argument("--seed", type=int, default=1)
options.add_argument("--parse", metavar="FILE")
options = options.parse_args()
if options.parse:
    lines = [line.rstrip("\n") for line in open(options.parse)]
    print(f"{sum(map(parses, lines))} of {len(lines)} lines are expressions")
elif options.any:
    print("\n".join(different(options.any, options.seed)))
else:
    drawn = {text: score(text) for text in different(DRAWN, 1)}
    median = sorted(drawn.values())[DRAWN // 2]
    poor = [text for text, found in drawn.items() if found >= median]
    print("\n".join(poor[:PRINTED]))
