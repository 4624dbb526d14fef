"""The conditions of points: class labels or embeddings."""

from dataclasses import dataclass
from typing import Any, Dict, Optional

import torch
from torch import Tensor

from .errors import InputError


@dataclass(frozen=True)
class ConditionKind:
    """`labels`: a class, 0 to `size` - 1. `embedding`: a vector of width `size`."""

    kind: str
    size: int

    @classmethod
    def of(cls, header: Optional[Dict[str, Any]], path: object) -> Optional["ConditionKind"]:
        """Parses the header of the file `path`."""
        if header is None:
            return None
        sizes = {"labels": "classes", "embedding": "width"}
        kind = header.get("kind")
        if kind not in sizes:
            raise InputError(
                f"{path}: found conditions of kind {kind!r}, expected one of {sorted(sizes)}; a newer version of this "
                "package may know it"
            )
        return cls(kind, int(header[sizes[kind]]))

    @property
    def columns(self) -> int:
        """Columns of an encoded condition: one per class, or those of the embedding, and one for "none"."""
        return self.size + 1

    def encode(self, condition: Optional[Tensor], count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Conditions as rows [count, c]: labels `[count]` (integers) or embeddings [count, width]; "none" for all if
        absent."""
        rows = torch.zeros(count, self.columns, dtype=dtype, device=device)
        if condition is None:
            rows[:, -1] = 1.0
            return rows
        expected = f"labels [{count}], 0 to {self.size - 1}"
        if self.kind == "embedding":
            expected = f"embeddings [{count}, {self.size}]"
        found = f"a condition {list(condition.shape)} of {condition.dtype}"
        if self.kind == "labels":
            if condition.shape != (count,) or condition.is_floating_point():
                raise InputError(f"found {found}, expected {expected}")
            if count and not 0 <= int(condition.min()) <= int(condition.max()) < self.size:
                raise InputError(f"found labels {int(condition.min())} to {int(condition.max())}, expected {expected}")
            rows[torch.arange(count, device=device), condition.to(device, torch.int64)] = 1.0
            return rows
        if condition.shape != (count, self.size):
            raise InputError(f"found {found}, expected {expected}")
        rows[:, : self.size] = condition.to(rows)
        return rows
