"""Group variance policy optimisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.algorithms.base import Source
from mmrl.algorithms.fdpg import credit_of
from mmrl.algorithms.target_matching import Aim, Logs, distances, reinforce, still
from mmrl.functional import policy_gradient
from mmrl.functional.targets import Tilt
from mmrl.types import Credit, Group, Scored, Tokens, Totals, Update


@dataclass(frozen=True, slots=True)
class GVPO:
    """minimise 1/2 1/(G - 1) sum_g [(R_g - mean R) - (r_g - mean r)]^2 with the implicit reward R = beta log pi / pi'.

        e_g  = R_g - r_g - mean (R - r)
        grad = beta / (G - 1) sum_g e_g grad log pi_g

    The minimum is pi' exp(r / beta) / Z whoever samples; Z cancels in the mean. pi' is the reference, or the policy that sampled,
    and then each step starts from where the last one ended. e is beta times VarGrad's residual. Source: Zhang et al. 2025
    (2504.19599); the released code has pi' = sampler and beta 0.1.
    """

    beta: float = 0.1  # temperature of the target
    toward: Literal["reference", "sampler"] = "sampler"  # pi'
    length: float = 1.0  # a constant that completions' sums over tokens are divided by
    reference: Update | None = None

    source: ClassVar[Source] = "policy"
    siblings: ClassVar[bool] = True
    rewards: ClassVar[tuple[str, ...]] = ()
    needs_now: ClassVar[bool] = True
    needs_q: ClassVar[bool] = True
    reuses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.toward == "reference":
            still(self.reference, self.aim)
        elif self.reference is not None:
            raise ValueError(
                "algorithm.reference: expected none where toward is sampler; set toward: reference to use it"
            )
        else:
            _ = self.aim  # refuses a bad beta
        if not self.length > 0:
            raise ValueError(f"algorithm.length: expected a number above 0, found {self.length}")

    @property
    def aim(self) -> Aim:
        return Aim((Tilt(self.beta),), None, "none", False, 1.0)

    def reads(self, group: Group, rewards: Mapping[str, Float[Tensor, " g"]]) -> Bool[Tensor, "g t"] | None:
        return group.mask if self.toward == "reference" else None

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        policy, prior = scored.now.logp.double().sum(dim=1), self.prior(scored)
        surplus = self.beta * (policy - prior) - scored.total.double()
        return credit_of(-self.beta * policy_gradient.leave_one_out(surplus), scored, totals, self.length)

    def prior(self, scored: Scored) -> Float[Tensor, " g"]:
        """log pi'."""
        logp = scored.reference if self.toward == "reference" else scored.group.logp_sampled
        return logp.double().sum(dim=1)

    def loss(self, now: Tokens, credit: Credit, rows: Scored) -> Float[Tensor, "n t"]:
        return reinforce(now, credit)

    def report(self, scored: Scored) -> Mapping[str, float]:
        policy, prior = scored.now.logp.double().sum(dim=1), self.prior(scored)
        target = prior + scored.total.double() / self.beta
        logs = Logs(policy, scored.group.logp_sampled.double().sum(dim=1), prior, target)
        loss = gvpo(policy, prior, scored.total.double(), self.beta)
        return distances(logs, scored) | {"gvpo/loss": float(loss)}


def gvpo(
    policy: Float[Tensor, " g"], prior: Float[Tensor, " g"], reward: Float[Tensor, " g"], beta: float
) -> Float[Tensor, ""]:
    """The loss of a group, differentiable in log pi."""
    surplus = beta * (policy - prior) - reward
    return (surplus - surplus.mean()).square().sum() / 2 / (len(surplus) - 1)
