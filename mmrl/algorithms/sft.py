"""Supervised fine-tuning: somebody else's completions, each token worth one."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Needs
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Scored, Tokens


@dataclass(frozen=True, kw_only=True)
class SFT(Algorithm):
    """loss = - sum_t share_t log pi(o_t | x, o_<t) over the demonstrations.

    ``reduce: token`` is the usual mean over all tokens of the batch; ``sequence`` gives short demonstrations the same say.
    """

    name: Literal["sft"] = "sft"
    loss_agg_mode: policy_gradient.LossAggMode = "token"

    needs: ClassVar[Needs] = Needs(source="demonstrations", group_baseline=False)

    def advantages(self, scored: Scored, memory: Any = None) -> Float[Tensor, " g"]:
        return torch.ones_like(scored.total)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return -credit.advantage * now.logp
