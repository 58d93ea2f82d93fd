"""The tensor functions that algorithms are made of: baselines, ratios, surrogates, divergence estimates, shares."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.types import Totals

STD_EPSILON = 1e-4  # added to a group's standard deviation, as in the released GRPO code
LOG_RATIO_LIMIT = 10.0  # log-ratios are cut here before they are exponentiated, as in the released GRPO code

Reduce = Literal["sequence", "token"]  # whether every completion or every token has the same share
Likelihood = Literal["geometric", "arithmetic"]


def centred(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """reward - mean over the group; exactly 0 where all are equal, whatever rounding makes of their mean."""
    return (reward - reward.mean()) * (reward.max() > reward.min())


def standardised(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """(reward - mean) / (std + 1e-4) over the group, the unbiased std. Source: Shao et al. 2024, 2402.03300, sec. 4.1.2.

    Raises ValueError for a group of one, which has no siblings to be compared with.
    """
    if len(reward) < 2:
        raise ValueError(f"group size: expected 2 or more where siblings are the baseline, found {len(reward)}")
    return centred(reward) / (reward.std() + STD_EPSILON)


def masked_mean(values: Float[Tensor, "g t"], mask: Bool[Tensor, "g t"]) -> Float[Tensor, " g"]:
    """The mean over the True places of each row; 0 for a row without any."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def likelihood(
    logp: Float[Tensor, "g t"], mask: Bool[Tensor, "g t"], kind: Likelihood = "geometric"
) -> Float[Tensor, " g"]:
    """The mean probability of the masked tokens of each row, geometric or arithmetic; 1 or 0 for a row without any."""
    if kind == "geometric":
        return masked_mean(logp, mask).exp()
    return masked_mean(logp.exp(), mask)


def ratio(logp: Float[Tensor, "n t"], old: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
    """pi / pi_old per token; its gradient is that of logp."""
    return (logp - old).exp()


def surrogate(
    ratio: Float[Tensor, "n t"], worth: Float[Tensor, "n t"], clip: float | None = None
) -> Float[Tensor, "n t"]:
    """ratio x worth, or min(ratio x worth, clip(ratio, 1 - clip, 1 + clip) x worth). Source: Schulman et al. 2017, eq. 7."""
    if clip is None:
        return ratio * worth
    return torch.minimum(ratio * worth, ratio.clamp(1 - clip, 1 + clip) * worth)


def k3(logp: Float[Tensor, "n t"], reference: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
    """exp(x) - x - 1 with x = log pi_ref - log pi cut to [-10, 10]: KL(pi || ref) per token, estimated, never negative.

    Source: Schulman 2020, "Approximating KL divergence"; Shao et al. 2024, eq. 4. Differentiated in the loss its expected
    gradient is that of the *forward* KL at the states visited (facts: divergences.md 4.4).
    """
    x = (reference - logp).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return x.expm1() - x


def shares(mask: Bool[Tensor, "g t"], totals: Totals, reduce: Reduce, dtype: torch.dtype) -> Float[Tensor, "g t"]:
    """Each token's part of the step's loss; over all groups of all ranks they add up to 1.

    ``sequence``: 1 / (completions x tokens of this completion). ``token``: 1 / tokens of all completions. An empty completion
    has no token that could carry its part.
    """
    mask = mask.to(dtype)
    if reduce == "token":
        return mask / totals.tokens
    return mask / mask.sum(dim=1, keepdim=True).clamp(min=1) / totals.sequences


def per_token(value: Float[Tensor, " g"], mask: Bool[Tensor, "g t"]) -> Float[Tensor, "g t"]:
    """The same value on every token of a completion, 0 off the mask."""
    return value[:, None] * mask
