"""Digests of models and of what they were given."""

import hashlib
import json

import torch


def of_weights(model: torch.nn.Module) -> str:
    """Of all weights and buffers, wherever they were loaded from."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not torch.is_tensor(tensor):
            continue
        tensor = tensor.detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        sha.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
    return sha.hexdigest()


def of_settings(*settings) -> str:
    """Of anything that JSON can write."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
