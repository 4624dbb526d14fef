#!/usr/bin/env python3
"""Writes an Ehrlich function by value, as the `objective` section of `optimise_latents`.

    python3 pipeline/scripts/ehrlich.py --vocabulary 32 --length 32 --motifs 4 --width 4 --seed 0

Weights of transitions are e^(2 n), n normal, 0 for a band of forbidden tokens around the circle of a random order; no
token forbids itself. Motifs are one walk along allowed transitions, cut in pieces, with random gaps that leave each
motif its part of the length; `--given` takes motifs and gaps from the command line instead. Feasible by construction:
each motif after the other, gaps filled with the token before them, is a sequence of score 1. Needs Python alone.
"""

import argparse
import math
import random


def forbidden(vocabulary, width, rng):
    """For each token the tokens that must not follow it."""
    order = list(range(vocabulary))
    rng.shuffle(order)
    return [
        {(order[token] + step) % vocabulary for step in range(width)} - {token}
        for token in range(vocabulary)
    ]


def walk(banned, steps, rng):
    """A walk of distinct tokens along allowed transitions, as long as there are enough."""
    vocabulary = len(banned)
    tokens = [rng.randrange(vocabulary)]
    while len(tokens) < steps:
        allowed = [t for t in range(vocabulary) if t not in banned[tokens[-1]] and t != tokens[-1]]
        fresh = [t for t in allowed if t not in tokens]
        tokens.append(rng.choice(fresh or allowed))
    return tokens


def spacing(width, room, rng):
    """Gaps of a motif that takes at most `room` places."""
    weights = [rng.random() for _ in range(width - 1)]
    return [1 + math.floor((room - width) * w / sum(weights)) for w in weights]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=32)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--motifs", type=int, default=4)
    parser.add_argument("--width", type=int, default=4, help="tokens of a motif")
    parser.add_argument("--band", type=int, help="tokens that must not follow one; by default 0.22 of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--given", nargs="+", metavar="MOTIF:GAPS", help="such as 10-17-13-30:221")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    band = round(0.22 * given.vocabulary) if given.band is None else given.band
    if given.given:
        pairs = [part.split(":") for part in given.given]
        motifs = [[int(token) for token in motif.split("-")] for motif, _ in pairs]
        gaps = [[int(gap) for gap in gaps] for _, gaps in pairs]
        chain = [token for motif in motifs for token in motif]
        # the first random order that allows the motifs
        for _ in range(1_000_000):
            banned = forbidden(given.vocabulary, band, rng)
            if all(after not in banned[before] for before, after in zip(chain, chain[1:])):
                break
        else:
            raise SystemExit("found no order of tokens that allows these motifs; choose a smaller --band")
    else:
        banned = forbidden(given.vocabulary, band, rng)
        chain = walk(banned, given.motifs * given.width, rng)
        motifs = [chain[at : at + given.width] for at in range(0, len(chain), given.width)]
        gaps = [spacing(given.width, given.length // given.motifs, rng) for _ in motifs]
    print("  objective:")
    print("    kind: ehrlich")
    print(f"    length: {given.length}")
    print("    motifs:")
    for motif in motifs:
        print(f"      - {motif}")
    print("    gaps:")
    for gap in gaps:
        print(f"      - {gap}")
    print("    transitions:")
    for token in range(given.vocabulary):
        logits = [2.0 * rng.gauss(0.0, 1.0) for _ in range(given.vocabulary)]
        most = max(logits)
        weights = [max(1, round(1000 * math.exp(logit - most))) for logit in logits]
        row = [0 if after in banned[token] else weight for after, weight in enumerate(weights)]
        print(f"      - {row}")


if __name__ == "__main__":
    main()
