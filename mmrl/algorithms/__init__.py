"""The algorithms by name: a class, or one with other defaults bound."""

from collections.abc import Callable, Mapping
from functools import partial

from mmrl.algorithms.base import Algorithm, Choosing, Proposing, Remembering, claims
from mmrl.algorithms.care import CARE
from mmrl.algorithms.cispo import CISPO
from mmrl.algorithms.dapo import DAPO
from mmrl.algorithms.dpg import DPG
from mmrl.algorithms.fdpg import FDPG
from mmrl.algorithms.grpo import GRPO
from mmrl.algorithms.gspo import GSPO
from mmrl.algorithms.gvpo import GVPO
from mmrl.algorithms.rlkl import RLKL
from mmrl.algorithms.sft import SFT
from mmrl.algorithms.vargrad import VarGrad
from mmrl.functional.divergences import Alpha
from mmrl.functional.targets import Constraint
from mmrl.types import Adaptive

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
    "fdpg": FDPG,
    "alpha_dpg": partial(
        FDPG, divergence=Alpha(0.75), target=(Constraint(),), z="plug_in", bound_z=True, cap=40.0
    ),  # their cap of 10 on 1 - a times this pseudo-reward
    "gdc": partial(DPG, target=(), moments={"accuracy": 0.9}, proposal=Adaptive()),
    "cdpg": partial(DPG, z="plug_in", baseline=False),
    "vargrad": VarGrad,
    "gvpo": GVPO,
}

__all__ = [
    "ALGORITHMS",
    "CARE",
    "CISPO",
    "DAPO",
    "DPG",
    "FDPG",
    "GRPO",
    "GSPO",
    "GVPO",
    "RLKL",
    "SFT",
    "Algorithm",
    "Choosing",
    "Proposing",
    "Remembering",
    "VarGrad",
    "claims",
]
