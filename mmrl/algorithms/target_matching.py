"""The base of methods that match a target distribution: its log-probability, its Z, its moments, the policy's distance.

From these a method's own equation gives the advantages; see ``fdpg``, ``dpg``, ``vargrad``, ``gvpo``.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Needs, State, check_loss_scale_factor, known
from mmrl.functional import policy_gradient, targets
from mmrl.functional.shapes import check_shape
from mmrl.types import EMA, Frozen, ReferenceUpdate, Scored, Tokens, TokenWeights

OF_THE_GROUP = ("plug_in", "leave_one_out", "running")  # Z from the group itself; running at a first visit
PATIENCE = 20  # steps in a row without a single completion in the target's support, after which a run stops


class TargetError(ValueError):
    """The policy never reaches the target, so that nothing is learnt."""


@dataclass(frozen=True, slots=True)
class SequenceLogprobs:
    """Log-probabilities of whole completions, in float64."""

    policy: Float[Tensor, " g"]  # before the update
    sampler: Float[Tensor, " g"]
    prior: Float[Tensor, " g"]  # the reference
    target: Float[Tensor, " g"]  # before it is normalised; -inf outside its support

    @property
    def weight(self) -> Float[Tensor, " g"]:
        """Return log P - log q; the mean of its exponential is Z."""
        return self.target - self.sampler

    def ratio(self, cap: float | None = None) -> Float[Tensor, " g"]:
        """Return pi / q of whole completions, at most ``cap``; the clamp is in log space."""
        log = self.policy - self.sampler
        return log.clamp(max=math.inf if cap is None else math.log(cap)).exp()


class RunningZ(NamedTuple):
    """The sum of the weights P / q of a prompt's completions so far."""

    log_sum: float
    count: float  # the number of weights; less if earlier ones decay

    def add(self, new: "RunningZ", z_decay: float) -> "RunningZ":
        """Return the sum with those of one more group; earlier weights and counts are multiplied by ``z_decay``."""
        pooled = torch.logaddexp(double(self.log_sum) + math.log(z_decay), double(new.log_sum))
        return RunningZ(pooled.item(), z_decay * self.count + new.count)


class TargetKL(NamedTuple):
    """KL(p || policy) and KL(p || proposal), estimated from the same newest samples, so that their difference has less noise."""

    policy: float
    proposal: float


@dataclass(frozen=True, slots=True, eq=False)
class TargetState(State):
    """The state of a target-matching method between steps."""

    running_z: Mapping[str, RunningZ] = field(default_factory=dict)  # by example id
    coefficients: Float[Tensor, " k"] | None = None  # lambda of the wanted moments
    moments_ess: float | None = None  # the lowest effective samples of a prompt in their fit
    steps_without_support: int = 0  # steps in a row in which no completion was in the target's support
    kl: TargetKL | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        values = {f"z/{example}": z for example, z in self.running_z.items()}
        values |= {
            "moments_ess": self.moments_ess,
            "kl": self.kl,
            "steps_without_support": self.steps_without_support or None,
        }
        tensors = {name: double(value) for name, value in values.items() if value is not None}
        return tensors if self.coefficients is None else tensors | {"lambda": self.coefficients}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "TargetState":
        values: dict[str, Any] = {name: tensor.tolist() for name, tensor in tensors.items()}
        running = {name[2:]: RunningZ(*z) for name, z in values.items() if name.startswith("z/")}
        kl = TargetKL(*values["kl"]) if "kl" in values else None
        return cls(
            running, tensors.get("lambda"), values.get("moments_ess"), int(values.get("steps_without_support", 0)), kl
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """The facts about one group that enter the state."""

    example: str
    z: RunningZ  # of its completions alone
    kl: TargetKL | None = None  # if there is a proposal to compare with

    @property
    def reached(self) -> bool:
        """Return True if a completion was in the target's support."""
        return self.z.log_sum > -math.inf


@dataclass(frozen=True, kw_only=True)
class TargetMatching(Algorithm):
    """The base of methods that bring the policy to p(x) = pi0(x) prod factors(x) exp(lambda . phi(x)) / Z of each prompt.

    A method defines ``advantages`` from ``logs`` and ``log_z``; the loss is REINFORCE's. The coefficients lambda of the wanted
    ``moments`` are the same for all prompts; they are fitted once, before the first step, to the rewards of the base model. The
    class variables fix the settings for which a method has no key.
    """

    loss_scale_factor: float = 1.0
    """Tokens by which the loss of a completion is divided."""
    reference: ReferenceUpdate | None = Frozen()
    """The reference that the target is made of, and how it moves."""

    loss_agg_mode: ClassVar[policy_gradient.LossAggMode] = (
        "seq-mean-token-sum-norm"  # a mean over a completion's tokens would move the target
    )
    target: ClassVar[tuple[targets.AnyFactor, ...]]  # the factors
    moments: ClassVar[Mapping[str, float] | None] = None  # wanted averages of features, which are rewards, by name
    z: ClassVar[targets.ZEstimate] = "none"
    clamp_log_z: ClassVar[bool] = False  # clamp log Z to what the factors' bounds allow
    z_decay: ClassVar[float] = (
        1.0  # 1 keeps all of a running Z; below 1 earlier visits count less, as a target that moves needs
    )

    def __post_init__(self) -> None:
        self.check_target()
        self.check_reference()
        check_loss_scale_factor(self.loss_scale_factor)

    def check_target(self) -> None:
        """Raise ValueError for an empty target, and for unknown bounds if Z is clamped to them."""
        if not self.target and not self.moments:
            raise ValueError(
                "algorithm.target: expected a factor or moments, found none: the target would be the reference"
            )
        if not 0 < self.z_decay <= 1:
            raise ValueError(f"algorithm.z_decay: expected a number in (0, 1], found {self.z_decay}")
        if self.clamp_log_z and (self.moments or targets.bounds(self.target) is None):
            raise ValueError(
                "algorithm.clamp_log_z: expected a target whose log-weights have known bounds, found one without; "
                "declare low and high of its tilt, or set clamp_log_z: false"
            )

    def check_reference(self) -> None:
        """Raise ValueError without a reference, and for a moving one if the state assumes a fixed one."""
        if self.reference is None:
            raise ValueError("algorithm.reference: expected one, as the target is made of it; found none")
        remembers = self.needs_base_rewards or (self.z == "running" and self.z_decay == 1)
        if isinstance(self.reference, EMA) and remembers:
            raise ValueError(
                "algorithm.reference: expected frozen, as an offline or running Z and fitted moments are of one target; found "
                "one that moves. Set reference: {name: frozen}, z: leave_one_out, or, for a running Z, z_decay below 1"
            )

    @property
    def has_zero_support(self) -> bool:
        """Return True if the target is 0 somewhere."""
        return any(factor.has_zero_support for factor in self.target)

    @property
    def needs_base_rewards(self) -> bool:
        return self.z == "offline" or bool(self.moments)

    @property
    def needs(self) -> Needs:
        named = [name for factor in self.target for name in factor.rewards] + list(self.moments or ())
        return Needs(
            rewards=tuple(dict.fromkeys(name for name in named if name != "total")),
            reference=self.reference,
            base_rewards=self.needs_base_rewards,
            old_logprobs=True,
            sampling_logprobs=True,  # weights divide by q, and q must cover every completion
            off_policy=True,
            state=TargetState,
        )

    def logs(self, scored: Scored, state: TargetState) -> SequenceLogprobs:
        """Return the log-probabilities of the group's completions under policy, sampler, reference and target."""
        weight = self.log_weight(dict(scored.rewards) | {"total": scored.total}, state)
        return sequence_logprobs(scored, self.prior(scored), weight)

    def prior(self, scored: Scored) -> Float[Tensor, "g t"]:
        """Return the log-probabilities of the tokens under pi0."""
        return known(scored.ref_logprobs, "reference")

    def log_weight(self, rewards: Mapping[str, Float[Tensor, " n"]], state: TargetState) -> Float[Tensor, " n"]:
        """Return log P - log pi0, [n], in float64."""
        rewards = {name: reward.double() for name, reward in rewards.items()}
        weight = targets.log_weight(self.target, rewards)
        if not self.moments:
            return weight
        return weight + features(rewards, self.moments) @ known(state.coefficients, "state")

    def log_z(self, scored: Scored, logs: SequenceLogprobs, state: TargetState) -> Float[Tensor, " g"]:
        """Return the log Z that applies to each completion, [g]; it is always finite."""
        if self.z == "none":
            return torch.zeros_like(logs.policy)
        if self.z == "offline":
            base, limits = (
                known(scored.base_rewards, "base_rewards"),
                None if self.moments else targets.bounds(self.target),
            )
            log_z = targets.offline(self.log_weight(base, state), limits).expand(len(logs.policy))
        elif self.z == "plug_in":
            log_z = targets.plug_in(logs.weight)
        else:
            past = state.running_z.get(scored.group.prompt.example.id) if self.z == "running" else None
            past, count = (None, 0.0) if past is None else (double(past.log_sum), past.count)
            log_z = targets.leave_one_out(logs.weight, past, count)
        return targets.clamp_log_z(log_z, targets.bounds(self.target) if self.clamp_log_z else None)

    @abstractmethod
    def advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, " g"]: ...

    def token_advantages(self, scored: Scored, state: Any = None) -> Float[Tensor, "g t"]:
        """Return the advantage of each token's completion, in the precision of the log-probabilities."""
        dtype = known(scored.old_policy, "old_logprobs").logprobs.dtype
        advantages = self.advantages(scored, state)
        check_shape(advantages, (len(scored.group),), "g", f"{type(self).__name__}.advantages")
        return policy_gradient.per_token(advantages.to(dtype), scored.group.completion_mask)

    def loss(self, policy: Tokens, weights: TokenWeights, rows: Scored) -> Float[Tensor, "n t"]:
        return -weights.advantage * policy.logprobs

    def metrics(self, scored: Scored, state: Any = None) -> Mapping[str, float]:
        """Return the distances to target and reference, the coefficients of the moments, and their effective samples."""
        numbers = target_diagnostics(self.logs(scored, state), scored)
        if self.moments:
            numbers |= {f"lambda/{n}": float(v) for n, v in zip(self.moments, state.coefficients, strict=True)}
            numbers["moments/ess"] = state.moments_ess
        return numbers

    def base_metrics(self, earned: Mapping[str, Float[Tensor, " n"]]) -> Mapping[str, float]:
        """Return log Z of the example, unless moments need a fit or log Z is not finite."""
        if self.moments:
            return {}
        log_z = float(targets.offline(self.log_weight(earned, TargetState()), targets.bounds(self.target)))
        return {"log_z": log_z} if log_z > -math.inf else {}

    def init_state(self, base: Mapping[str, Mapping[str, Tensor]] | None) -> TargetState:
        """Fit the coefficients of the wanted moments. Raises MomentsError if they are out of reach."""
        if self.needs_base_rewards and base is None:
            raise ValueError(
                "base_rewards: expected what the base model earned, for moments and an offline Z; found none; run mmrl prepare "
                "CONFIG and name its file in `base_rewards`"
            )
        if not base or not self.moments:
            return TargetState()
        rows = [{name: earned.double() for name, earned in row.items()} for row in base.values()]
        phi = [features(row, self.moments) for row in rows]
        weights = [targets.log_weight(self.target, row) for row in rows]
        try:
            result = targets.fit(phi, weights, double(list(self.moments.values())))
        except targets.MomentsError as error:
            error.add_note(f"algorithm.moments: features are {', '.join(self.moments)}, in this order")
            raise
        return TargetState(coefficients=result.coefficients, moments_ess=float(result.effective.min()))

    def observe(self, scored: Scored, state: TargetState) -> Observation:
        """Return the group's part of its prompt's running Z, which also says if the group reached the target."""
        weight = self.logs(scored, state).weight
        return Observation(scored.group.prompt.example.id, RunningZ(float(weight.logsumexp(dim=0)), len(weight)))

    def update_state(self, state: TargetState, observations: Sequence[Observation]) -> TargetState:
        """Update the running Z of each prompt, and count the steps in a row without a completion in the target's support.

        Raises TargetError after PATIENCE such steps.
        """
        running, steps_without_support = dict(state.running_z), state.steps_without_support
        for visit in observations if self.z == "running" else ():
            past = running.get(visit.example)
            running[visit.example] = visit.z if past is None else past.add(visit.z, self.z_decay)
        if self.has_zero_support and observations:
            steps_without_support = 0 if any(visit.reached for visit in observations) else steps_without_support + 1
        if steps_without_support >= PATIENCE:
            raise TargetError(
                f"algorithm.target: expected a completion in its support within {PATIENCE} steps, found none: the policy has "
                "no mass there, and nothing is learnt. Use a tilt, give the constraint a floor, or train on "
                "demonstrations first"
            )
        return replace(state, running_z=running, steps_without_support=steps_without_support)


def sequence_logprobs(scored: Scored, prior: Float[Tensor, "g t"], log_weight: Float[Tensor, " g"]) -> SequenceLogprobs:
    """Return the log-probabilities of whole completions; the target is the prior times exp(log_weight)."""
    policy = known(scored.old_policy, "old_logprobs").logprobs.double().sum(dim=1)
    sampler = known(scored.group.sampling_logprobs, "sampling_logprobs").double().sum(dim=1)
    log_prior = prior.double().sum(dim=1)
    return SequenceLogprobs(policy, sampler, log_prior, log_prior + log_weight)


def double(values: float | Sequence[float]) -> Tensor:
    """Return numbers as a float64 tensor, without rounding."""
    return torch.tensor(values, dtype=torch.float64)


def features(rewards: Mapping[str, Float[Tensor, " n"]], moments: Mapping[str, float]) -> Float[Tensor, "n k"]:
    """Return the features whose moments are wanted, [n k]. Raises ValueError if one is no reward."""
    missing = [name for name in moments if name not in rewards]
    if missing:
        raise ValueError(f"moments: expected rewards by the names {missing}, found {', '.join(rewards)}")
    return torch.stack([rewards[name] for name in moments], dim=1)


def target_diagnostics(logs: SequenceLogprobs, scored: Scored) -> dict[str, float]:
    """Return the policy's distances from target and reference, from the group alone, with its plug-in Z.

    A group without a completion in the target's support has no distance from the target and does not count in those means.
    """
    right = scored.rewards.get("accuracy")
    inside = logs.target > -math.inf
    numbers = {
        "kl_sequence": float(targets.kl_prior(logs.policy, logs.prior, logs.sampler)),
        "policy/ess": float(targets.effective_samples(logs.policy - logs.sampler)) / len(inside),
        "target/outside": float((~inside).double().mean()),
        "groups/no_success": float(not bool((inside if right is None else inside & (right > 0)).any())),
    }
    if inside.any():
        numbers |= {
            "target/kl_target_policy": float(targets.kl_target(logs.target, logs.policy, logs.sampler)),
            "target/tv": float(targets.total_variation(logs.target, logs.policy, logs.sampler)),
            "target/ess": float(targets.effective_samples(logs.weight)) / len(inside),
            "target/log_z": float(targets.plug_in(logs.weight)[0]),
        }
    return numbers
