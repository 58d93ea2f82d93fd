"""The tensor functions that algorithms are made of: advantages, ratios, clipped surrogates, KL estimators, loss weights."""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.types import LossNormalisers

STD_EPSILON = 1e-4  # added to a group's standard deviation, as in the released GRPO code
ACCURACY_THRESHOLD = 0.1  # accuracy at or below which no completion counts as accurate, as in GRPO-CARE
ROUNDING = 1e-6  # a float32 mean of equal numbers may exceed them
LOG_RATIO_LIMIT = 10.0  # log-ratios are clamped to this before exp, as in the released GRPO code

LossAggMode = Literal["seq-mean-token-mean", "token-mean", "seq-mean-token-sum-norm"]  # names as in verl
Likelihood = Literal["geometric", "arithmetic"]
Baseline = Literal["leave_one_out", "group_mean", "group_mean_std", "none"]


def group_advantages(reward: Float[Tensor, " g"], baseline: Baseline = "group_mean_std") -> Float[Tensor, " g"]:
    """Return the advantages of a group's completions from their rewards.

    ``group_mean_std``: (reward - mean) / (std + 1e-4), GRPO's. ``group_mean``: reward - mean, Dr. GRPO's. ``leave_one_out``:
    reward - mean of the other completions, RLOO's. ``none``: the reward. Raises ValueError for a group of one if the baseline
    is ``leave_one_out`` or ``group_mean_std``, for another baseline than these, and for rewards of several groups.
    """
    if reward.ndim != 1:
        raise ValueError(
            f"reward: expected the rewards [g] of one group, found {list(reward.shape)}; call it once a group"
        )
    known_choice(baseline, Baseline, "baseline")
    if baseline == "leave_one_out":
        return leave_one_out(reward)
    if baseline == "group_mean_std":
        return standardised(reward)
    return centred(reward) if baseline == "group_mean" else reward


def leave_one_out(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """Return reward - mean of the other completions. It is unbiased; with ``centred`` the expected gradient is (g - 1) / g times as large.

    Source: Kool, van Hoof, Welling 2019. Raises ValueError for a group of one.
    """
    require_group(reward)
    return centred(reward) * (len(reward) / (len(reward) - 1))


def centred(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """Return reward - mean over the group; exactly 0 if all are equal, also if their mean is rounded."""
    return (reward - reward.mean()) * (reward.max() > reward.min())


def standardised(reward: Float[Tensor, " g"]) -> Float[Tensor, " g"]:
    """Return (reward - mean) / (std + 1e-4) over the group, with the unbiased std. Source: Shao et al. 2024, 2402.03300, sec. 4.1.2.

    Raises ValueError for a group of one.
    """
    require_group(reward)
    return centred(reward) / (reward.std() + STD_EPSILON)


def known_choice(value: str, choices: Any, name: str) -> None:
    """Raise ValueError unless a value is one of the literals ``choices``."""
    if value not in get_args(choices):
        raise ValueError(f"{name}: expected one of {', '.join(get_args(choices))}, found {value!r}")


def require_group(reward: Float[Tensor, " g"]) -> None:
    """Raise ValueError for a group of one."""
    if len(reward) < 2:
        raise ValueError(f"group size: expected 2 or more where the group is the baseline, found {len(reward)}")


def accurate(accuracy: Float[Tensor, " g"], threshold: float = ACCURACY_THRESHOLD) -> Bool[Tensor, " g"]:
    """Return True for the completions whose accuracy is above the threshold and not below the group's mean.

    Source: Chen et al. 2025 (2506.16141), algorithm 1.
    """
    return (accuracy > threshold) & (accuracy >= accuracy.mean() - ROUNDING)


def masked_mean(values: Float[Tensor, "g t"], mask: Bool[Tensor, "g t"]) -> Float[Tensor, " g"]:
    """Return the mean over the True places of each row; 0 for a row without any."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def to_go(values: Float[Tensor, "g t"]) -> Float[Tensor, "g t"]:
    """Return, at each token, the sum over itself and all later tokens."""
    return values.flip(1).cumsum(1).flip(1)


def likelihood(
    logprobs: Float[Tensor, "g t"], mask: Bool[Tensor, "g t"], kind: Likelihood = "geometric"
) -> Float[Tensor, " g"]:
    """Return the mean probability of each row's masked tokens, geometric or arithmetic; 1 or 0 for a row without any."""
    if kind == "geometric":
        return masked_mean(logprobs, mask).exp()
    return masked_mean(logprobs.exp(), mask)


def ratio(logprobs: Float[Tensor, "n t"], old: Float[Tensor, "n t"]) -> Float[Tensor, "n t"]:
    """Return pi / pi_old of each token; its gradient is that of ``logprobs``."""
    return (logprobs - old).exp()


def sequence_ratio(
    logprobs: Float[Tensor, "n t"], old: Float[Tensor, "n t"], mask: Bool[Tensor, "n t"], mean: bool = False
) -> Float[Tensor, "n t"]:
    """Return pi(o) / pi_old(o) of the whole completion on each of its tokens; with ``mean`` the geometric mean of its tokens' ratios.

    The gradient at a token is the ratio times that token's score, so that the sum over tokens is the sequence's.
    Source: Zheng et al. 2025, 2507.18071, eq. 14 (GSPO-token, whose gradient is GSPO's if all tokens of a completion have one advantage).
    """
    total = ((logprobs - old).detach() * mask).sum(dim=1)
    log = total / mask.sum(dim=1).clamp(min=1) if mean else total
    return log.exp()[:, None] * (logprobs - logprobs.detach()).exp()


def clipped_surrogate(
    ratio: Float[Tensor, "n t"],
    advantage: Float[Tensor, "n t"],
    epsilon: float | None = None,
    epsilon_high: float | None = None,
) -> Float[Tensor, "n t"]:
    """Return min(ratio A, clip(ratio, 1 - epsilon, 1 + epsilon_high) A) of each token; ratio A without ``epsilon``.

    ``epsilon_high`` is ``epsilon`` if not given. Source: Schulman et al. 2017 (1707.06347) eq. 7; two epsilons: Yu et al. 2025
    (2503.14476) eq. 10.
    """
    if epsilon is None:
        return ratio * advantage
    high = epsilon if epsilon_high is None else epsilon_high
    return torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + high) * advantage)


def clipped_tokens(
    ratio: Float[Tensor, "n t"],
    advantage: Float[Tensor, "n t"],
    epsilon: float | None,
    epsilon_high: float | None = None,
) -> tuple[Bool[Tensor, "n t"], Bool[Tensor, "n t"]] | None:
    """Return the tokens to which ``clipped_surrogate`` gives no gradient: clipped from below, and from above.

    A ratio below 1 - epsilon is clipped if the advantage is negative, one above 1 + epsilon_high if it is positive. None without
    ``epsilon``.
    """
    if epsilon is None:
        return None
    high = epsilon if epsilon_high is None else epsilon_high
    return (ratio < 1 - epsilon) & (advantage < 0), (ratio > 1 + high) & (advantage > 0)


def k1(logprobs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return log pi - log pi_ref; its mean over pi is KL(pi || ref).

    Source of k1, k2, k3: Schulman 2020, "Approximating KL divergence".
    """
    return logprobs - reference


def k2(logprobs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return (log pi - log pi_ref)^2 / 2. It is biased; its expected gradient over pi is that of KL(pi || ref)."""
    return (logprobs - reference).square() / 2


def k3(logprobs: Float[Tensor, "..."], reference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return exp(x) - x - 1 with x = log pi_ref - log pi clamped to [-10, 10], an estimate of KL(pi || ref) that is never negative.

    Source: Schulman 2020; Shao et al. 2024, eq. 4. If the loss differentiates it, its expected gradient is that of the *forward*
    KL(ref || pi), for a token at the states visited (tests/algorithms/test_kl_regularised.py enumerates it).
    """
    x = (reference - logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return x.expm1() - x


def overlong_penalty(lengths: Float[Tensor, " g"], limit: int, buffer: int) -> Float[Tensor, " g"]:
    """Return the (negative) reward for each completion's length: 0 up to limit - buffer tokens, then linearly to -1 at the limit.

    Source: Yu et al. 2025 (2503.14476), eq. 13 ("soft overlong punishment").
    """
    return ((limit - buffer - lengths) / buffer).clamp(-1, 0)


def loss_weights(
    mask: Bool[Tensor, "g t"],
    normalisers: LossNormalisers,
    loss_agg_mode: LossAggMode,
    dtype: torch.dtype,
    loss_scale_factor: float = 1.0,
) -> Float[Tensor, "g t"]:
    """Return the weight of each token in the loss of an update; 0 off the mask.

    ``seq-mean-token-mean``: 1 / (completions x tokens of this completion). ``token-mean``: 1 / tokens of all completions.
    ``seq-mean-token-sum-norm``: 1 / (completions x loss_scale_factor), so that a completion's gradient is the sum of its tokens'.
    Over all groups of all ranks the weights of the first two add up to 1. An empty completion has no token and so no weight.
    Raises ValueError for another mode than these.
    """
    known_choice(loss_agg_mode, LossAggMode, "loss_agg_mode")
    mask = mask.to(dtype)
    if loss_agg_mode == "token-mean":
        return mask / max(1, normalisers.tokens)
    if loss_agg_mode == "seq-mean-token-sum-norm":
        return mask / (normalisers.sequences * loss_scale_factor)
    return mask / mask.sum(dim=1, keepdim=True).clamp(min=1) / normalisers.sequences


def spread(value: Float[Tensor, " n"], mask: Bool[Tensor, "n t"]) -> Float[Tensor, "n t"]:
    """Divide a completion's value equally among its tokens; 0 off the mask."""
    return per_token(value / mask.sum(dim=1).clamp(min=1), mask)


def per_token(value: Float[Tensor, " g"], mask: Bool[Tensor, "g t"]) -> Float[Tensor, "g t"]:
    """Return the value of each completion on every one of its tokens; 0 off the mask."""
    return value[:, None] * mask
