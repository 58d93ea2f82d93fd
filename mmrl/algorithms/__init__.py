"""The built-in algorithms, by the name by which a config chooses them."""

from collections.abc import Mapping

from mmrl.algorithms.base import Algorithm, Needs, State
from mmrl.algorithms.care import CARE
from mmrl.algorithms.cispo import CISPO
from mmrl.algorithms.dapo import DAPO
from mmrl.algorithms.dpg import CDPG, DPG, GDC
from mmrl.algorithms.fdpg import FDPG, AlphaDPG
from mmrl.algorithms.grpo import GRPO, DrGRPO
from mmrl.algorithms.gspo import GSPO
from mmrl.algorithms.kl_regularised import RLOO, KLInLoss, KLInReward
from mmrl.algorithms.sft import SFT
from mmrl.algorithms.target_matching import TargetMatching
from mmrl.algorithms.vargrad import GVPO, VarGrad

CLASSES: tuple[type[Algorithm], ...] = (
    SFT, GRPO, CARE, DrGRPO, DAPO, GSPO, CISPO, KLInReward, KLInLoss, RLOO, FDPG, AlphaDPG, GDC, CDPG, VarGrad, GVPO,
)  # fmt: skip
ALGORITHMS: Mapping[str, type[Algorithm]] = {kind.name: kind for kind in CLASSES}
