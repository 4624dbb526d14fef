"""From the outputs of a model's tokens to one feature of an item."""

import torch

from ..errors import InputError

# `model`: the model's own; `none`: all tokens
KINDS = ("model", "mean", "cls", "max", "none")


def of_texts(kind: str, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`hidden` [B, T, D] of texts, padded at the end where `mask` [B, T] is 0, as features [B, D]."""
    if kind == "cls":
        return hidden[:, 0]
    present = mask.bool().unsqueeze(-1)
    if kind == "max":
        return hidden.masked_fill(~present, -torch.inf).amax(1)
    return (hidden * present).sum(1) / present.sum(1)


def of_images(kind: str, hidden: torch.Tensor, before: int, has_class: bool) -> torch.Tensor:
    """`hidden` [B, P + T, D] of images, with P = `before` tokens that are no patches, as features [B, D]; [B, T, D] for
    `none`.

    Raises InputError for `cls` of a model without a class token."""
    if kind == "cls":
        if not has_class:
            raise InputError("--pooling cls: found a model of images without a class token; use `mean`, or `model`")
        return hidden[:, 0]
    patches = hidden[:, before:]
    if kind == "none":
        return patches
    return patches.amax(1) if kind == "max" else patches.mean(1)
