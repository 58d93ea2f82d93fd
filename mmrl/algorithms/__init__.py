"""The algorithms by name: a class, or one with other defaults bound."""

from collections.abc import Callable, Mapping
from functools import partial

from mmrl.algorithms.base import Algorithm, Choosing, Proposing, Remembering, claims
from mmrl.algorithms.care import CARE
from mmrl.algorithms.cispo import CISPO
from mmrl.algorithms.dapo import DAPO
from mmrl.algorithms.grpo import GRPO
from mmrl.algorithms.gspo import GSPO
from mmrl.algorithms.rlkl import RLKL
from mmrl.algorithms.sft import SFT

ALGORITHMS: Mapping[str, Callable[..., Algorithm]] = {
    "sft": SFT,
    "grpo": GRPO,
    "care": CARE,
    "dr_grpo": partial(GRPO, beta=0.0, standardise="none", reduce="constant", reference=None),
    "dapo": DAPO,
    "gspo": GSPO,
    "cispo": CISPO,
    "rlkl": RLKL,
    "rloo": partial(RLKL, beta=0.05),
}

__all__ = [
    "ALGORITHMS",
    "CARE",
    "CISPO",
    "DAPO",
    "GRPO",
    "GSPO",
    "RLKL",
    "SFT",
    "Algorithm",
    "Choosing",
    "Proposing",
    "Remembering",
    "claims",
]
