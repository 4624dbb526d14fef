"""The kinds of prior. A new kind is a file and an entry of `KINDS`."""

from typing import Dict, Type

from .autoregressive import StarFlow, TarFlow
from .base import OdeOptions, Prior, SampleOptions, Shape
from .coupling import Coupling
from .flow_matching import FlowMatching
from .logit import OfLogits
from .mixture import Mixture
from .normal import Normal
from .seqflow import SeqFlow

KINDS: Dict[str, Type[Prior]] = {
    kind.kind: kind for kind in (Coupling, FlowMatching, Mixture, Normal, SeqFlow, StarFlow, TarFlow)
}

__all__ = ["KINDS", "OdeOptions", "OfLogits", "Prior", "SampleOptions", "Shape"]
