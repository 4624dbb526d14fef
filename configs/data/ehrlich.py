"""Prints 3,000 random feasible sequences of the Ehrlich function in configs/optimise/ehrlich.yaml, without their scores.

Walks along its transitions from a token drawn evenly. Needs Python alone.
"""

import pathlib
import random
import re

LENGTH, PRINTED = 32, 3000
text = (pathlib.Path(__file__).parent.parent / "optimise/ehrlich.yaml").read_text()
rows = re.findall(r"- \[([\d, ]+)\]", text.split("transitions:")[1])
weights = [[int(weight) for weight in row.split(",")] for row in rows]

rng = random.Random(1)
tokens = range(len(weights))
for _ in range(PRINTED):
    walk = [rng.choice(tokens)]
    while len(walk) < LENGTH:
        walk += rng.choices(tokens, weights[walk[-1]])
    print(*walk)
