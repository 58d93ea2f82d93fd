"""What the methods share that match a target distribution: its log-probability, its Z, its moments, how far the policy is.

A method's own equation says what a completion is worth, given these; see ``fdpg``, ``dpg``, ``vargrad``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.functional.targets import (
    Factor,
    MomentsError,
    Partition,
    bounds,
    effective_samples,
    fit,
    kl_prior,
    kl_target,
    leave_one_out,
    log_weight,
    offline,
    plug_in,
    total_variation,
    usable,
)
from mmrl.types import EMA, Credit, Memory, Scored, Tokens, Update

OF_THE_GROUP = ("plug_in", "leave_one_out", "running")  # Z that wants siblings, the last one at a first visit
PATIENCE = 20  # steps in a row without a single completion in the target's support, after which a run stops
PREPARE = "run mmrl prepare CONFIG and name its file in `prepared`"


class TargetError(ValueError):
    """A target that the policy never reaches, so that nothing is learnt."""


@dataclass(frozen=True, slots=True)
class Logs:
    """Of each completion, in float64: the logarithm of its probability by whom."""

    policy: Float[Tensor, " g"]  # as it is
    sampler: Float[Tensor, " g"]
    prior: Float[Tensor, " g"]  # the reference
    target: Float[Tensor, " g"]  # before it is normalised; -inf outside its support

    @property
    def weight(self) -> Float[Tensor, " g"]:
        """log P - log q; the mean of its exponential is Z."""
        return self.target - self.sampler

    def ratio(self, cap: float | None = None) -> Float[Tensor, " g"]:
        """pi / q of whole completions, at most ``cap``, cut in log space."""
        log = self.policy - self.sampler
        return log.clamp(max=math.inf if cap is None else math.log(cap)).exp()


@dataclass(frozen=True, slots=True)
class Aim:
    """p(x) = pi0(x) prod factors(x) exp(lambda . phi(x)) / Z for each prompt.

    ``moments`` are the wanted averages of features, rewards by name. Their coefficients lambda, the same for all prompts, are
    fitted once, before the first step, to what completions of the base model earned.
    """

    factors: tuple[Factor, ...]
    moments: Mapping[str, float] | None
    z: Partition
    bound: bool  # cut log Z to what the factors' bounds allow
    forget: float  # 1 keeps all of a running Z; less forgets, as a target that moves needs

    def __post_init__(self) -> None:
        if not self.factors and not self.moments:
            raise ValueError(
                "algorithm.target: expected a factor or moments, found none: the target would be the reference"
            )
        if not 0 < self.forget <= 1:
            raise ValueError(f"algorithm.forget: expected a number in (0, 1], found {self.forget}")
        if self.bound and (self.moments or bounds(self.factors) is None):
            raise ValueError(
                "algorithm.bound_z: expected a target whose log-weights have known bounds, found one without; "
                "declare low and high of its tilt, or set bound_z: false"
            )

    @property
    def rewards(self) -> tuple[str, ...]:
        """The rewards that must exist."""
        named = [name for factor in self.factors for name in factor.rewards] + list(self.moments or ())
        return tuple(dict.fromkeys(name for name in named if name != "total"))

    @property
    def hard(self) -> bool:
        return any(factor.hard for factor in self.factors)

    @property
    def needs_base(self) -> bool:
        return self.z == "offline" or bool(self.moments)

    def logs(self, scored: Scored, memory: Memory) -> Logs:
        """What everybody says of the group's completions."""
        prior = scored.reference.double().sum(dim=1)
        weight = self.weight(dict(scored.rewards) | {"total": scored.total}, memory)
        policy = scored.now.logp.double().sum(dim=1)
        return Logs(policy, scored.group.logp_sampled.double().sum(dim=1), prior, prior + weight)

    def weight(self, rewards: Mapping[str, Float[Tensor, " n"]], memory: Memory) -> Float[Tensor, " n"]:
        """log P - log pi0, in float64."""
        rewards = {name: reward.double() for name, reward in rewards.items()}
        weight = log_weight(self.factors, rewards)
        return weight + features(rewards, self.moments) @ memory["lambda"] if self.moments else weight

    def log_z(self, scored: Scored, logs: Logs, memory: Memory) -> Float[Tensor, " g"]:
        """log Z as each completion sees it; always finite."""
        if self.z == "none":
            return torch.zeros_like(logs.policy)
        if self.z == "offline":
            known = None if self.moments else bounds(self.factors)
            found = offline(self.weight(scored.base, memory), known).expand(len(logs.policy))
        elif self.z == "plug_in":
            found = plug_in(logs.weight)
        else:
            past = memory.get(place(scored)) if self.z == "running" else None
            found = leave_one_out(logs.weight) if past is None else leave_one_out(logs.weight, past[0], float(past[1]))
        return usable(found, bounds(self.factors) if self.bound else None)

    def start(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> Memory:
        """The coefficients of the wanted moments. Raises MomentsError where they are out of reach."""
        if self.needs_base and base is None:
            raise ValueError(
                f"prepared: expected what the base model earned, for moments and an offline Z; found none; {PREPARE}"
            )
        if not self.moments:
            return {}
        rows = [{name: earned.double() for name, earned in row.items()} for row in base.values()]
        wanted = torch.tensor(list(self.moments.values()), dtype=torch.float64)
        try:
            found = fit(
                [features(row, self.moments) for row in rows], [log_weight(self.factors, row) for row in rows], wanted
            )
        except MomentsError as error:
            error.add_note(f"algorithm.moments: features are {', '.join(self.moments)}, in this order")
            raise
        return {"lambda": found.coefficients, "moments_ess": found.effective.min()}

    def fitted(self, memory: Memory) -> dict[str, float]:
        """The coefficients, and the fewest effective samples of a prompt that they rest on, for the metrics."""
        if not self.moments:
            return {}
        named = {f"lambda/{name}": float(v) for name, v in zip(self.moments, memory["lambda"], strict=True)}
        return named | {"moments/ess": float(memory["moments_ess"])}

    def notes(self, scored: Scored, memory: Memory) -> dict[str, Any]:
        """Whether the group reached the target, and its part of its prompt's running Z."""
        weight = self.logs(scored, memory).weight
        note: dict[str, Any] = {"mass": bool((weight > -math.inf).any())}
        if self.z == "running":
            note |= {"place": place(scored), "log_sum": float(weight.logsumexp(dim=0)), "count": len(weight)}
        return note

    def remember(self, memory: Memory, notes: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Running sums of weights and how many they are, by prompt; and for how many steps the target was out of reach.

        Raises TargetError after PATIENCE of those.
        """
        new = dict(memory)
        for note in notes if self.z == "running" else ():
            one = torch.tensor([note["log_sum"], note["count"]], dtype=torch.float64)
            new[note["place"]] = pooled(new.get(note["place"]), one, self.forget)
        if self.hard and notes:
            reached = any(note["mass"] for note in notes)
            new["barren"] = torch.zeros(()) if reached else new.get("barren", torch.zeros(())) + 1
            if new["barren"] >= PATIENCE:
                raise TargetError(
                    f"algorithm.target: expected a completion in its support within {PATIENCE} steps, found none: the policy has "
                    "no mass there, and nothing is learnt. Use a tilt, give the constraint a floor, or train on "
                    "demonstrations first"
                )
        return new


def pooled(past: Tensor | None, one: Tensor, forget: float) -> Tensor:
    """(log-sum, count) of earlier weights and of one more group; what is earlier counts ``forget`` as much."""
    if past is None:
        return one
    return torch.stack([torch.logaddexp(past[0] + math.log(forget), one[0]), forget * past[1] + one[1]])


def place(scored: Scored) -> str:
    """Where a prompt's running Z is kept: a question has its own, whatever else shares its video."""
    return f"z/{scored.group.prompt.example.id}"


def features(rewards: Mapping[str, Float[Tensor, " n"]], moments: Mapping[str, float]) -> Float[Tensor, "n k"]:
    """The features whose moments are wanted. Raises ValueError for one that is no reward."""
    missing = [name for name in moments if name not in rewards]
    if missing:
        raise ValueError(f"moments: expected rewards by the names {missing}, found {', '.join(rewards)}")
    return torch.stack([rewards[name] for name in moments], dim=1)


def still(reference: Update | None, aim: Aim) -> None:
    """Refuse a reference that moves where what is remembered is about one that stays, and no reference at all."""
    if reference is None:
        raise ValueError("algorithm.reference: expected one, as the target is made of it; found none")
    if isinstance(reference, EMA) and (aim.needs_base or (aim.z == "running" and aim.forget == 1)):
        raise ValueError(
            "algorithm.reference: expected frozen, as an offline or running Z and fitted moments are of one target; found "
            "one that moves. Set reference: {name: frozen}, z: leave_one_out, or, for a running Z, forget below 1"
        )


def reinforce(now: Tokens, credit: Credit) -> Float[Tensor, "n t"]:
    """- worth log pi: its gradient is worth times the score."""
    return -credit.worth * now.logp


def distances(logs: Logs, scored: Scored) -> dict[str, float]:
    """How far the policy is from target and reference, by the group alone, with its plug-in Z.

    A group without a completion in the target's support says nothing about the target and is left out of those means.
    """
    right = scored.rewards.get("accuracy")
    inside = logs.target > -math.inf
    numbers = {
        "reference/kl_policy": float(kl_prior(logs.policy, logs.prior, logs.sampler)),
        "policy/ess": float(effective_samples(logs.policy - logs.sampler)) / len(inside),
        "target/outside": float((~inside).double().mean()),
        "groups/no_success": float(not bool((inside if right is None else inside & (right > 0)).any())),
    }
    if inside.any():
        numbers |= {
            "target/kl_target_policy": float(kl_target(logs.target, logs.policy, logs.sampler)),
            "target/tv": float(total_variation(logs.target, logs.policy, logs.sampler)),
            "target/ess": float(effective_samples(logs.weight)) / len(inside),
            "target/log_z": float(plug_in(logs.weight)[0]),
        }
    return numbers
