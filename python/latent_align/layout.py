"""How features become points, apart from the normalisation: directly, split into tokens, or as patches of images."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Tuple

from torch import Tensor

from .errors import InputError


@dataclass(frozen=True)
class Patches:
    """Images [C, H, W] as T = H W / P^2 tokens of C P^2 numbers: patches row by row, in each of them channels first."""

    side: int
    image: Tuple[int, int, int]

    def cut(self, images: Tensor) -> Tensor:
        """Images [..., C, H, W] as tokens [..., T, C P^2]."""
        c, h, w = self.image
        p = self.side
        x = images.reshape(-1, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(*images.shape[:-3], -1, c * p * p)

    def join(self, tokens: Tensor) -> Tensor:
        """Tokens [..., T, C P^2] as images [..., C, H, W]."""
        c, h, w = self.image
        p = self.side
        x = tokens.reshape(-1, h // p, w // p, c, p, p).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(*tokens.shape[:-2], c, h, w)


@dataclass(frozen=True)
class Noise:
    """The noise added to features in training and for likelihoods."""

    kind: str
    """`uniform`: on [0, 1), for discrete levels. `gaussian`: in the flow's coordinates."""
    sigma: float = 0.0
    """The standard deviation of Gaussian noise."""

    @classmethod
    def of(cls, said: Any, file: Path) -> Optional["Noise"]:
        """That of the header of `file`, which says `said` of it."""
        if said is None or said == {"kind": "uniform"}:
            return said and cls("uniform")
        if isinstance(said, dict) and said.get("kind") == "gaussian" and isinstance(said.get("sigma"), (int, float)):
            return cls("gaussian", float(said["sigma"]))
        raise InputError(
            f"{file}: found noise {said!r}, which this version of the package does not know; install the package that goes "
            "with the program that wrote it"
        )


@dataclass(frozen=True)
class Layout:
    """The layout of features in the header of a flow."""

    tokens: int
    """T, the number of tokens per point."""
    split: bool = False
    """Whether a normalised feature [D] is split into tokens."""
    patches: Optional[Patches] = None
    """The patches, if features are images."""
    noise: Optional[Noise] = None
    """The noise added to features."""
    logit: Optional[float] = None
    """The margin of the logit that the prior sees in place of pixels."""

    @classmethod
    def of(cls, said: Any, tokens: int, file: Path) -> "Layout":
        """That of the header of `file`, which says `said` of it."""
        said = said if isinstance(said, dict) else {"cut": said}
        unknown = sorted(said.keys() - {"cut", "noise", "range", "logit"})
        if unknown:
            raise InputError(
                f"{file}: found {', '.join(unknown)} in its layout, which this version of the package does not know; install "
                "the package that goes with the program that wrote it"
            )
        cut, noise, logit = said.get("cut", "none"), Noise.of(said.get("noise"), file), said.get("logit")
        if logit is not None and not (isinstance(logit, float) and 0 < logit < 0.5):
            raise InputError(f"{file}: found logit {logit!r} in its layout, expected a margin above 0 and below 0.5")
        if cut == "none":
            return cls(tokens, noise=noise, logit=logit)
        if cut == "split":
            return cls(tokens, split=True, noise=noise, logit=logit)
        try:
            side, image = cut["patches"]["side"], cut["patches"]["image"]
            sizes = side, (image["channels"], image["height"], image["width"])
            fits = all(isinstance(n, int) and n > 0 for n in (side, *sizes[1]))
            if fits and (sizes[1][1] % side, sizes[1][2] % side) == (0, 0):
                patches = Patches(*sizes)
                if tokens * side * side * sizes[1][0] == math.prod(sizes[1]):
                    return cls(tokens, patches=patches, noise=noise, logit=logit)
        except (KeyError, TypeError):
            pass
        raise InputError(
            f"{file}: found layout {said!r}, which this version of the package does not know for points of {tokens} tokens; "
            "install the package that goes with the program that wrote it"
        )

    def rows(self, features: Tensor) -> Tensor:
        """Features as input of the normalisation."""
        if self.patches is None:
            return features
        shape = self.patches.image
        if features.dim() < 3 or features.shape[-3:] != shape:
            raise InputError(f"found features {list(features.shape)}, expected images [..., {', '.join(map(str, shape))}]")
        return self.patches.cut(features)

    def points(self, rows: Tensor) -> Tensor:
        """The normalised rows as points."""
        if self.split and self.tokens > 1:
            return rows.reshape(*rows.shape[:-1], self.tokens, -1)
        return rows.squeeze(-2) if self.patches is not None and self.tokens == 1 else rows

    def undo_points(self, points: Tensor) -> Tensor:
        """The inverse of `points`."""
        if self.split and self.tokens > 1:
            return points.flatten(-2)
        return points.unsqueeze(-2) if self.patches is not None and self.tokens == 1 else points

    def undo_rows(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`."""
        return rows if self.patches is None else self.patches.join(rows)
