"""Compares this program with PyTorch: the same jobs in turns on the same cores.

    make bench-peer ARGS="--careful --rows train"    # times jobs at every size and prints a table of ratios
    make bench-quality                               # seconds to the held-out loss that PyTorch reaches

Starts one worker per side: the bench target `peer`, and `worker.py` as often as PyTorch takes part. Needs no package; the
workers of PyTorch need torch, numpy, h5py and torchdiffeq.
"""

import argparse
import sys
from pathlib import Path

import compare
import quality


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--ours", type=Path, required=True, help="the bench target `peer`, built")
    common.add_argument("--python", type=Path, help="a Python with torch; without it this program runs alone")
    common.add_argument("--threads", type=int, default=2, help="threads of each side (default: 2)")
    common.add_argument("--out", type=Path, help="also write the table to this file, as Markdown")
    parser = argparse.ArgumentParser(prog="driver", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(required=True)
    for module in (compare, quality):
        name, text = module.__name__, module.__doc__.split("\n\n")[0]
        command = commands.add_parser(name, parents=[common], description=text, help=text)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main() -> None:
    given = arguments().parse_args()
    try:
        given.run(given)
    except (RuntimeError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
