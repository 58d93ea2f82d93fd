"""The tensor functions that algorithms are made of: baselines, ratios, surrogates, divergence estimates, shares."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.types import Totals

STD_EPSILON = 1e-4  # added to a group's standard deviation, as in the released GRPO code
ACCURACY_THRESHOLD = 0.1  # accuracy at or below which no completion counts as accurate, as in GRPO-CARE
ROUNDING = 1e-6  # a float32 mean of equal numbers may exceed them
LOG_RATIO_LIMIT = 10.0  # log-ratios are cut here before they are exponentiated, as in the released GRPO code

LossAggMode = Literal["sequence", "token", "constant"]  # who has one share: completions, tokens, tokens whatever there are
Likelihood = Literal["geometric", "arithmetic"]
Baseline = Literal["siblings", "group", "group_std", "none"]


def group_advantages(reward: Float[Tensor, " g"], baseline: Baseline) -> Float[Tensor, " g"]:
    """The reward against a baseline: its siblings' mean, the group's mean, that in units of its std, or nothing."""
    if baseline == "siblings":
        return leave_one_out(reward)
    if baseline == "group_std":
        return standardised(reward)
    return centred(reward) if baseline == "group" else reward


def leave_one_out(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """reward - mean of the other members: unbiased, where ``centred`` makes the gradient (g - 1) / g of what it should be.

    Source: Kool, van Hoof, Welling 2019. Raises ValueError for a group of one.
    """
    require_siblings(reward)
    return centred(reward) * (len(reward) / (len(reward) - 1))


def centred(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """reward - mean over the group; exactly 0 where all are equal, whatever rounding makes of their mean."""
    return (reward - reward.mean()) * (reward.max() > reward.min())


def standardised(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """(reward - mean) / (std + 1e-4) over the group, the unbiased std. Source: Shao et al. 2024, 2402.03300, sec. 4.1.2.

    Raises ValueError for a group of one, which has no siblings to be compared with.
    """
    require_siblings(reward)
    return centred(reward) / (reward.std() + STD_EPSILON)


def require_siblings(reward: Float[Tensor, " g"]) -> None:
    """Refuse a group of one."""
    if len(reward) < 2:
        raise ValueError(f"group size: expected 2 or more where siblings are the baseline, found {len(reward)}")


def accurate(accuracy: Float[Tensor, " g"], floor: float = ACCURACY_THRESHOLD) -> Bool[Tensor, " g"]:
    """Right enough, and no less right than the group on average. Source: Chen et al. 2025 (2506.16141), algorithm 1."""
    return (accuracy > floor) & (accuracy >= accuracy.mean() - ROUNDING)


def masked_mean(values: Float[Tensor, "g t"], mask: Bool[Tensor, "g t"]) -> Float[Tensor, " g"]:
    """The mean over the True places of each row; 0 for a row without any."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def to_go(values: Float[Tensor, "g t"]) -> Float[Tensor, "g t"]:
    """At each token the sum over itself and all later ones."""
    return values.flip(1).cumsum(1).flip(1)


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


def sequence_ratio(
    logp: Float[Tensor, "n t"], old: Float[Tensor, "n t"], mask: Bool[Tensor, "n t"], mean: bool = False
) -> Float[Tensor, "n t"]:
    """pi(o) / pi_old(o) of the whole completion on each of its tokens, or, with ``mean``, the geometric mean of theirs.

    The gradient at a token is the ratio times that token's score, so that the sum over tokens is the sequence's.
    Source: Zheng et al. 2025, 2507.18071, eq. 14 (GSPO-token, whose gradient is GSPO's where worth is one a completion).
    """
    total = ((logp - old).detach() * mask).sum(dim=1)
    log = total / mask.sum(dim=1).clamp(min=1) if mean else total
    return log.exp()[:, None] * (logp - logp.detach()).exp()


def clipped_surrogate(
    ratio: Float[Tensor, "n t"], worth: Float[Tensor, "n t"], clip: float | None = None, high: float | None = None
) -> Float[Tensor, "n t"]:
    """ratio x worth, or min(ratio x worth, clip(ratio, 1 - clip, 1 + high) x worth); ``high`` is ``clip`` if not given.

    Source: Schulman et al. 2017, eq. 7; the two bounds apart: Yu et al. 2025 (2503.14476), eq. 10.
    """
    if clip is None:
        return ratio * worth
    return torch.minimum(ratio * worth, ratio.clamp(1 - clip, 1 + (clip if high is None else high)) * worth)


def k1(logp: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """log pi - log pi_ref: its mean over pi is KL(pi || ref). Source of k1, k2, k3: Schulman 2020, "Approximating KL divergence"."""
    return logp - reference


def k2(logp: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """(log pi - log pi_ref)^2 / 2: biased in value; its gradient in expectation over pi is that of KL(pi || ref)."""
    return (logp - reference).square() / 2


def k3(logp: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """exp(x) - x - 1 with x = log pi_ref - log pi cut to [-10, 10]: KL(pi || ref), estimated, never negative.

    Source: Schulman 2020; Shao et al. 2024, eq. 4. Differentiated in the loss its expected gradient is that of the *forward*
    KL(ref || pi), for a token at the states visited (tests/algorithms/test_kl_regularised.py enumerates it).
    """
    x = (reference - logp).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return x.expm1() - x


def overlong_penalty(lengths: Float[Tensor, " g"], limit: int, buffer: int) -> Float[Tensor, " g"]:
    """The (negative) reward for a completion's length: 0 up to limit - buffer tokens, then linearly to -1 at the limit.

    Source: Yu et al. 2025 (2503.14476), eq. 13 ("soft overlong punishment").
    """
    return ((limit - buffer - lengths) / buffer).clamp(-1, 0)


def loss_weights(
    mask: Bool[Tensor, "g t"], totals: Totals, reduce: LossAggMode, dtype: torch.dtype, length: float = 1.0
) -> Float[Tensor, "g t"]:
    """Each token's part of the step's loss; over all groups of all ranks they add up to 1, save for ``constant``.

    ``sequence``: 1 / (completions x tokens of this completion). ``token``: 1 / tokens of all completions. ``constant``:
    1 / (completions x length), so that a completion's gradient is the sum of its tokens'. An empty completion has no token that
    could carry its part.
    """
    mask = mask.to(dtype)
    if reduce == "token":
        return mask / totals.tokens
    if reduce == "constant":
        return mask / (totals.sequences * length)
    return mask / mask.sum(dim=1, keepdim=True).clamp(min=1) / totals.sequences


def spread(value: Float[Tensor, " n"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, "n t"]:
    """Equal parts of a completion's value on its tokens, which add up to it; 0 off the mask."""
    return per_token(value / mask.sum(dim=1).clamp(min=1), mask)


def per_token(value: Float[Tensor, " g"], mask: Bool[Tensor, "g t"]) -> Float[Tensor, "g t"]:
    """Repeat a value on every token of its completion; 0 off the mask."""
    return value[:, None] * mask
