"""Files of the pipeline: their location in a folder, their headers, and loading weights into modules.

Weights are safetensors with PyTorch's names and layouts. The header's key `latent_align` holds JSON that describes the
module, so that it can be rebuilt.
"""

import json
from pathlib import Path
from typing import Any, Dict, Union

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .errors import InputError

StrPath = Union[str, Path]

METADATA = "latent_align"


def find(path: StrPath, stage: str, name: str) -> Path:
    """The file `name` of `stage`: `path` itself, in the folder `path`, or in its folder of that stage.

    `path` is the file, an artifact's folder, a run's folder such as `artifacts/runs/digits`, or a folder of
    `latent-align export safetensors`.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; expected a run such as `artifacts/runs/NAME`, an artifact such as "
            f"`artifacts/{stage}/FINGERPRINT`, or a folder of `latent-align export safetensors`"
        )
    for candidate in (path, path / name, path / stage / name):
        if candidate.name == name and candidate.is_file():
            return candidate
    raise InputError(f"{path}: found no {name}, expected it there or in its folder `{stage}`")


def read_header(path: Path, format: str, remedy: str) -> Dict[str, Any]:
    """The header of the file of weights `path`, which must have `format`; `remedy` tells users how to get such a
    file."""
    with _opened(path) as file:
        text = (file.metadata() or {}).get(METADATA, "{}")
    try:
        header = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: its header does not read ({error}); {remedy}") from None
    found = header.get("format") if isinstance(header, dict) else None
    if found != format:
        raise InputError(
            f'{path}: found format {json.dumps(found)}, expected "{format}"; {remedy}, or use the version of this '
            "package that goes with the program that wrote it"
        )
    return header


def read_tensors(path: Path) -> Dict[str, torch.Tensor]:
    """All tensors of a safetensors file by name, on the CPU."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def load_weights(module: nn.Module, tensors: Dict[str, torch.Tensor], path: Path) -> None:
    """Loads `tensors` of the file `path` into `module` and freezes it; missing, unknown or misshapen tensors are an
    error."""
    expected = module.state_dict()
    wrong = [f"no tensor `{name}`" for name in expected if name not in tensors]
    wrong += [f"`{name}`, which this model does not have" for name in tensors if name not in expected]
    wrong += [
        f"`{name}` of shape {list(tensors[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if wrong:
        raise InputError(f"{path}: found {'; '.join(wrong)}; expected all the weights that its header describes")
    module.load_state_dict(tensors)
    module.requires_grad_(False)
    module.eval()


def _opened(path: Path):
    try:
        return safe_open(str(path), "pt")
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no file of weights that reads ({error})") from None
