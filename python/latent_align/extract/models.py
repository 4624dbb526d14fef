"""Which library loads a model, and its loading."""

import json
from pathlib import Path

import torch

from ..errors import InputError

LIBRARIES = ("transformers", "timm", "sentence-transformers")
INSTALL = "pip install './python[extract]'"


def lacking(module: str, use: str) -> InputError:
    return InputError(f"found no Python package `{module}`, expected it for {use}; install it with: {INSTALL}")


def open_device(name: str) -> torch.device:
    """Raises InputError for a device that is not there."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
        return device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"--device {name}: found no such device ({why}), expected one such as cpu, cuda or cuda:1") from None


def library_of(model: str) -> str:
    """The library that loads `model`, by the files of a folder or by the start of a name.

    Raises InputError if neither says it."""
    path = Path(model)
    if path.is_dir():
        if (path / "modules.json").is_file():
            return "sentence-transformers"
        try:
            config = json.loads((path / "config.json").read_text())
        except FileNotFoundError:
            raise InputError(
                f"--model {model}: found a folder without config.json, expected a saved model; name its folder"
            ) from None
        except (OSError, ValueError) as error:
            raise InputError(f"--model {model}: config.json cannot be read: {error}") from None
        if "model_type" in config:
            return "transformers"
        if "architecture" in config:
            return "timm"
        raise InputError(f"--model {model}: config.json does not say which library loads it; add --library")
    if path.exists():
        raise InputError(f"--model {model}: found a file, expected the folder of a saved model, or a name")
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise InputError(f"--model {model}: found no such folder, expected a saved model, or a name")
    for library in ("timm", "sentence-transformers"):
        if model.startswith(f"{library}/"):
            return library
    raise InputError(
        f"--model {model}: found no such folder, expected one; if it is a name, add --library with one of "
        f"{', '.join(LIBRARIES)}"
    )


def open_model(model: str, library: str, of: str, kind, most, device):
    """The `model` for `of`, "texts" or "images", with the pooling `kind`, by default the library's.

    Raises InputError for a model that cannot be loaded."""
    if of == "texts" and library == "timm":
        raise InputError("--library timm: found texts, expected images, which its models are for")
    if of == "images" and library == "sentence-transformers":
        raise InputError("--library sentence-transformers: found images, expected texts; use transformers or timm")
    try:
        if library == "timm":
            from .of_timm import TimmImages as Model

            arguments = [model, Path(model).is_dir(), kind or Model.default, device]
        else:
            from . import of_sentence_transformers, of_transformers

            of_transformers.quiet()
            if of == "images":
                Model = of_transformers.TransformersImages
                arguments = [model, kind or Model.default, device]
            else:
                is_sentence = library == "sentence-transformers"
                Model = of_sentence_transformers.SentenceTexts if is_sentence else of_transformers.TransformersTexts
                arguments = [model, kind or Model.default, most, device]
        return Model(*arguments)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise lacking(error.name, f"--library {library}") from None
    except Exception as error:  # each library has its own classes, down to those of file formats
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"--model {model}: {library} cannot load it ({why}), expected the folder of a saved model, or a name; check "
            "the name, or the library with --library"
        ) from None
