"""The command line of `latent-align-extract`."""

import argparse
import importlib.metadata
import os
import signal
import sys
from pathlib import Path

from ..errors import InputError

DESCRIPTION = """\
Features of a folder of images or of a text file by a pretrained model, as the
HDF5 files PREFIX-00000.h5 and so on, which latent-align reads together:
file: "PREFIX-*.h5". The same command continues after an interruption."""
EXAMPLES = """\
Examples:
  latent-align-extract photos --model ./dinov2-small --out photo-features
  latent-align-extract words.txt --library sentence-transformers --model all-MiniLM-L6-v2 --out word-features
"""
FROM = "a folder of PNG or JPEG images, each subfolder a class; or a text file in UTF-8, one text a line"
POOLING = """\
mean, max: over the tokens (of an image its patches); cls: the token of the class; model: the model's own; none: all
tokens, of images [N, T, D], of texts one row a token [M, D], or [N, T, D] with --tokens [default: mean with
transformers, else model]"""


class Stopped(BaseException):
    """SIGTERM."""


def positive(text):
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected an integer of at least 1")
    return number


def parser():
    from .models import LIBRARIES
    from .pooling import KINDS

    made = argparse.ArgumentParser(
        "latent-align-extract",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("source", metavar="FROM", type=Path, help=FROM)
    add("--model", required=True, help="the folder of a saved model, or a name that the library knows")
    add("--out", required=True, type=Path, metavar="PREFIX", help="where the files go; PREFIX.json says what they are of")
    add("--library", choices=LIBRARIES, help="what loads the model [default: as the model's folder says]")
    add("--pooling", choices=KINDS, help=POOLING)
    add("--tokens", type=positive, metavar="T", help="with --pooling none: the first T tokens of each text")
    add("--leave-out-short", action="store_true", help="leave out texts of fewer than --tokens, instead of an error")
    add("--max-tokens", type=positive, metavar="N", help="cut texts after N tokens [default: what the model takes]")
    add("--colours", choices=["rgb"], help="leave the transparency of images out, instead of an error")
    add("--dataset", default="features", metavar="NAME", help="the dataset in the files [default: features]")
    add("--dtype", choices=["f32", "f16"], default="f32", help="how features, computed in f32, are stored [default: f32]")
    add("--items", type=positive, default=10_000, metavar="N", help="images or texts a file [default: 10000]")
    add("--batch", type=positive, default=32, metavar="N", help="images or texts at once [default: 32]")
    add("--device", default="cpu", help="cpu, cuda, cuda:1, mps [default: cpu]")
    add("--force", action="store_true", help="replace the files of another run at PREFIX")
    return made


def main(arguments=None) -> int:
    """Runs the command; returns its exit code: 0, 2 for wrong input, 1 for other failures, 130 or 143 when stopped."""
    options = parser().parse_args(arguments)
    try:
        signal.signal(signal.SIGTERM, _stop)
        _run(options)
        return 0
    except InputError as error:
        return _failed(error, 2)
    except OSError as error:
        return _failed(error, 1)
    except (KeyboardInterrupt, Stopped) as error:
        print("\nstopped; finished files are kept, and the same command continues", file=sys.stderr)
        return 143 if isinstance(error, Stopped) else 130


def _stop(*_):
    raise Stopped


def _failed(error, code):
    print(f"error: {error}", file=sys.stderr)
    return code


def _check(options):
    """Raises InputError for options that do not go together."""
    prefix = options.out
    if not prefix.name or prefix.name.endswith(".h5") or set("*?[") & set(str(prefix)):
        raise InputError(f"--out {prefix}: expected the start of file names, such as features, without .h5, *, ? and [")
    if not prefix.parent.is_dir():
        raise InputError(f"--out {prefix}: found no folder {prefix.parent}, expected one; make it first")
    parts = options.dataset.split("/")
    if set(parts) & {"", ".", ".."} or "\0" in options.dataset or parts[0] in ("labels", "items"):
        raise InputError(
            f"--dataset {options.dataset}: expected a name such as features; labels and items have datasets of their own"
        )
    if options.tokens is not None and options.pooling != "none":
        raise InputError("--tokens: expected it with --pooling none, which keeps tokens")
    if options.leave_out_short and options.tokens is None:
        raise InputError("--leave-out-short: expected it with --tokens")
    if not options.source.exists():
        raise InputError(f"{options.source}: found no such file or folder, expected a folder of images or a text file")
    if options.source.is_dir():
        for name, value in [("--tokens", options.tokens), ("--max-tokens", options.max_tokens)]:
            if value is not None:
                raise InputError(f"{name}: found a folder of images, expected it with texts alone; leave it out")
    elif options.colours is not None:
        raise InputError("--colours: found a text file, expected it with images alone; leave it out")


def _run(options):
    _check(options)
    # a pickle of weights may hold code
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    from . import models

    for module, package in [("h5py", "HDF5 files"), ("PIL", "images")]:
        try:
            __import__(module)
        except ModuleNotFoundError:
            raise models.lacking({"PIL": "pillow"}.get(module, module), package) from None
    from . import manifest
    from .extraction import Extraction, long_enough
    from .images import Images
    from .progress import Progress
    from .texts import Texts

    manifest.read(options.out.with_name(f"{options.out.name}.json"))  # another file there is an error before the work
    library = options.library or models.library_of(options.model)
    device = models.open_device(options.device)
    progress = Progress()
    if options.source.is_dir():
        progress.start(f"looking at {options.source}", "images", 0, 0)
        given = Images(options.source, options.colours is not None, progress)
        progress.end()
    else:
        given = Texts(options.source)
    model = models.open_model(options.model, library, given.kind, options.pooling, options.max_tokens, device)
    options.pooling = model.kind
    items = list(range(len(given)))
    if options.tokens is not None:
        items = long_enough(given, model, options.tokens, options.leave_out_short, progress)
    output = manifest.Output(options.out, _manifest(options, given, items, model))
    finished = output.open(options.force)
    for note in given.notes:
        progress.note(f"note: {note}")
    if finished:
        progress.note(f"{len(finished)} of {len(output.wanted['files'])} files are finished and hold what they should")
    try:
        records = Extraction(given, items, model, options, output, progress).run(finished)
    except BaseException:
        progress.end()
        output.leave()
        raise
    _tell(options, given, output, records, model, progress)


def _manifest(options, given, items, model):
    compared = ("pooling", "tokens", "leave_out_short", "max_tokens", "colours", "dataset", "dtype", "items")
    files = []
    for start in range(0, len(items), options.items):
        of_file = items[start : start + options.items]
        files.append({"items": [start, start + len(of_file)], "input": given.digest(of_file)})
    libraries = ["latent-align", "torch", "transformers", "timm", "sentence-transformers", "pillow"]
    return {
        "input": {"path": str(options.source), "kind": given.kind, "count": len(given)},
        "model": {"name": options.model, "library": model.library, "weights": model.weights, "settings": model.settings},
        "options": {name: getattr(options, name) for name in compared},
        "files": files,
        "written_with": {name: version for name in libraries if (version := _version(name))},
    }


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tell(options, given, output, records, model, progress):
    cut, left = (sum(record[key] for record in records) for key in ("cut", "left"))
    if cut:
        progress.note(f"note: {cut} texts are longer than {model.tokeniser.most} tokens and were cut off there")
    if left:
        progress.note(f"note: {left} tokens after the first {options.tokens} of their texts are left out")
    others = output.others()
    if others:
        pattern = f"{output.prefix}-*.h5"
        progress.note(f"note: {pattern} also matches {others[0].name}, which is not of this run; use {output.prefix}-0*.h5")
    rows = sum(record["shape"][0] for record in records)
    shape = [rows, *records[0]["shape"][1:]]
    low, high = (pick(record["range"][at] for record in records) for at, pick in enumerate((min, max)))
    first, last = output.path(0), output.path(len(records) - 1)
    several = len(records) > 1
    print(f"{first} to {last.name}" if several else first)
    print(f"  /{options.dataset}  {shape}  {options.dtype}  {low:.4g} to {high:.4g}")
    if given.labels is not None:
        classes = ", ".join(given.classes[:8]) + (", ..." if len(given.classes) > 8 else "")
        print(f"  /labels  [{len(given)}]  i64  {classes}")
    pattern = f"'{output.prefix}-*.h5'" if several else first
    tokens = " --tokens" if len(shape) == 3 else ""
    dataset = f" --dataset {options.dataset}" if options.dataset != "features" else ""
    print(f"  latent-align init {pattern}{tokens}{dataset}")
