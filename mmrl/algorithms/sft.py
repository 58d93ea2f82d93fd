"""Supervised fine-tuning: somebody else's completions, each token worth one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.functional import policy_gradient
from mmrl.types import Credit, Group, Scored, Tokens, Totals


@dataclass(frozen=True, slots=True)
class SFT:
    """loss = - sum_t share_t log pi(o_t | x, o_<t) over the demonstrations.

    ``reduce: token`` is the usual mean over all tokens of the batch; ``sequence`` gives short demonstrations the same say.
    """

    reduce: policy_gradient.Reduce = "token"

    source: ClassVar[Source] = "demonstrations"
    siblings: ClassVar[bool] = False
    rewards: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[None] = None

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> None:
        return None

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        mask = scored.group.mask
        worth = mask.to(scored.total.dtype)
        return Credit(worth, torch.zeros_like(worth), policy_gradient.shares(mask, totals, self.reduce, worth.dtype))

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return -credit.worth * now.logp

    def report(self, scored: Scored) -> Mapping[str, float]:
        return {}
