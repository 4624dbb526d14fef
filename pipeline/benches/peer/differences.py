"""How far results of this side are from those that the program showed."""

import math

# Gradients smaller than this share of the largest gradient are compared relative to that share.
SMALL = 1e-3
# Up to this many tensors are results, each compared at its own scale; more are weights.
FEW = 2


def difference(theirs, ours):
    """The largest difference of tensors by name from `theirs`, relative to the largest number of each, and its name. NaN
    counts as infinitely different. ValueError if a tensor is missing on one side or differs in size."""
    if theirs.keys() != ours.keys():
        raise ValueError(f"found tensors {sorted(ours)}, expected {sorted(theirs)}")
    size = lambda tensor: tensor.double().abs().max().item()
    least = SMALL * max(map(size, theirs.values()), default=0.0) if len(theirs) > FEW else 0.0
    greatest, of = 0.0, ""
    for name, tensor in theirs.items():
        other = ours[name].detach().to(tensor)
        if other.numel() != tensor.numel():
            raise ValueError(f"`{name}`: found {other.numel()} numbers, expected {tensor.numel()}")
        apart = size(tensor.flatten() - other.flatten())
        relative = apart / max(size(tensor), least, 1e-300) if math.isfinite(apart) else math.inf
        if relative > greatest:
            greatest, of = relative, name
    return greatest, of
