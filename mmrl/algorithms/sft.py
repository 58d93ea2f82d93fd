"""Supervised fine-tuning: maximum likelihood of demonstrations."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Needs
from mmrl.functional import policy_gradient
from mmrl.types import Scored, Tokens, TokenWeights


@dataclass(frozen=True, kw_only=True)
class SFT(Algorithm):
    """loss = - sum_t w_t log pi(o_t | x, o_<t) over the demonstrations, with w the loss weights.

    ``loss_agg_mode: token-mean`` is the usual mean over all tokens of the batch; ``seq-mean-token-mean`` gives each demonstration
    the same weight, however short it is.
    """

    name: Literal["sft"] = "sft"
    loss_agg_mode: policy_gradient.LossAggMode = "token-mean"

    needs: ClassVar[Needs] = Needs(source="demonstrations", group_baseline=False)

    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]:
        return torch.ones_like(scored.total)

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        return -weights.advantage * policy.logprobs
