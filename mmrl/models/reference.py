"""The reference model: a frozen copy of the policy, or an exponential moving average (EMA) of its weights."""

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.models.reader import Reader
from mmrl.models.vision.tower import CacheLevel
from mmrl.runtime.sharding import any_rank, full, gather_elements, gather_state_dict, load_full_state_dict, local
from mmrl.types import EMA, Frozen, Group, ReferenceUpdate, RowSlice, Tokens

WATCHED = 65536  # coordinates whose exact float64 average is stored
CHUNK = 64  # parameters per call; so many copies in the average's dtype exist at a time


class Reference(Reader):
    """The reference model, with the policy's initial weights, or with their exponential moving average.

    The average is over the policy's master weights, parameter by parameter, in ``update.dtype``: float32, or bfloat16 as in the
    published code of GRPO-CARE (Chen et al. 2025, 2506.16141), whose steps are mostly smaller than bfloat16's rounding. The
    drift ratio compares its movement with an exact float64 average of fixed coordinates: 1 is exact, 0 means no movement.
    """

    def __init__(self, policy: Reader, update: ReferenceUpdate):
        model = copy.deepcopy(policy.model).requires_grad_(False).eval()
        dtype = torch.bfloat16 if isinstance(update, EMA) and update.dtype == "bfloat16" else None
        super().__init__(model.to(dtype) if dtype else model, policy.family, policy.rules, policy.compute)
        self.update = update
        level = policy.tower.cache_level
        frozen = level == CacheLevel.NOTHING and isinstance(update, Frozen)
        self.tower.fixed_level = CacheLevel.FEATURES if frozen else level
        self.watch = Watch(model.parameters()) if isinstance(update, EMA) else None

    @torch.no_grad()
    def update_towards(self, policy: Reader, step: int) -> float | None:
        """Update the average if it is due after optimizer step ``step``; return the drift ratio, or None without an update."""
        if not isinstance(self.update, EMA) or step % self.update.every:
            return None
        weight, tower = 1 - self.update.decay, self.family.tower
        named = [(n, local(p)) for n, p in self.model.named_parameters()]
        pairs = [(n, own, target) for (n, own), target in zip(named, policy.model.parameters(), strict=True)]
        changed = [
            n for n, own, target in pairs if n.startswith(tower) and lerp_if_different(own, local(target), weight)
        ]
        of_blocks = [name for name in changed if not name.startswith(self.family.projector)]
        for weights, names in ((self.tower.weights, changed), (self.tower.blocks, of_blocks)):
            if any_rank(bool(names), self.model.parameters()):  # on any rank
                weights.forget()
        lerp_towards(
            [(mine, local(its)) for n, mine, its in pairs if its.requires_grad and not n.startswith(tower)], weight
        )
        return self.watch.follow(policy.model.parameters(), self.model.parameters(), self.update.decay)

    @torch.no_grad()
    def group_logprobs(
        self, groups: Sequence[Group], where: Sequence[Bool[Tensor, "g t"]], keep: bool = False
    ) -> list[Tokens]:
        """Compute log-probs of the tokens that ``where`` marks; ``keep`` adds hidden states.

        Prompts without marked tokens are not encoded; their values are 0.
        """
        marked = [k for k, w in enumerate(where) if w.any()]
        out = [Tokens(torch.zeros(w.shape), torch.zeros(w.shape)) for w in where]
        if marked:
            with self.encode([groups[k].prompt for k in marked]) as encoded:
                row_slices = [RowSlice(i, groups[k]) for i, k in enumerate(marked)]
                values = self.logprobs(encoded, row_slices, [where[k] for k in marked], keep)
            for k, tokens in zip(marked, values, strict=True):
                out[k] = tokens
        return out

    def head(self) -> Float[Tensor, "v d"]:
        """Return the full output head, the matrix from last hidden states to logits, on every rank."""
        return full(self.model.get_output_embeddings().weight.detach())

    def state(self) -> Mapping[str, Tensor]:
        """Return the full tensors by name on rank 0, for ``restore``; nothing if the reference is frozen."""
        return {} if self.watch is None else gather_state_dict(self.model) | self.watch.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Load the tensors that ``state`` returned."""
        if self.watch is not None:
            load_full_state_dict(self.model, {n: t for n, t in state.items() if not n.startswith(Watch.prefix)})
            for weights in (self.tower.weights, self.tower.blocks):
                weights.forget()
            self.watch.restore(state)


def lerp_if_different(own: Tensor, target: Tensor, weight: float) -> bool:
    """Interpolate a tensor towards another, in place; return False, without a write, if they are equal.

    Without a write, digests of the weights stay valid.
    """
    target = target.to(own.dtype)
    if torch.equal(own, target):
        return False
    own.lerp_(target, weight)
    return True


def lerp_towards(pairs: Sequence[tuple[Tensor, Tensor]], weight: float) -> None:
    """Interpolate the first tensor of each pair towards the second, with few calls and without synchronising the device."""
    for start in range(0, len(pairs), CHUNK):
        own, targets = zip(*pairs[start : start + CHUNK], strict=True)
        torch._foreach_lerp_(own, [target.to(x.dtype) for x, target in zip(own, targets, strict=True)], weight)


class Watch:
    """The exact float64 average of a few fixed coordinates, with which the reference is compared."""

    prefix = "watch."

    def __init__(self, parameters):
        parameters = list(parameters)
        stride = max(1, sum(p.numel() for p in parameters) // WATCHED)  # the coordinates lie evenly over all parameters
        self.indices = [torch.arange(0, p.numel(), stride) for p in parameters]
        self.start = self.watched_values(parameters)
        self.exact = self.start.clone()

    def watched_values(self, parameters) -> Float[Tensor, " k"]:
        """Return the watched coordinates in float64; those of sharded parameters come from all ranks."""
        return gather_elements(list(parameters), self.indices)

    def follow(self, followed, average, decay: float) -> float:
        """Update the exact average and return the drift ratio <actual, exact> / <exact, exact> of the two movements."""
        self.exact = decay * self.exact + (1 - decay) * self.watched_values(followed)
        exact, actual = self.exact - self.start, self.watched_values(average) - self.start
        length = exact.dot(exact)
        return float(exact.dot(actual) / length) if length > 0 else 1.0

    def state(self) -> dict[str, Tensor]:
        return {self.prefix + "start": self.start, self.prefix + "exact": self.exact}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.start, self.exact = state[self.prefix + "start"], state[self.prefix + "exact"]
