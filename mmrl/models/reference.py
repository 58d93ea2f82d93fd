"""The copy of the policy that a method compares with: frozen, or an average that follows."""

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.models.reader import Reader
from mmrl.models.vision.tower import CacheLevel
from mmrl.runtime.sharding import full, gather_state_dict, load_full_state_dict, local, pick, somewhere
from mmrl.types import EMA, Frozen, Group, ReferenceUpdate, RowSlice, Tokens

WATCHED = 65536  # coordinates on which the average is also kept exactly
CHUNK = 64  # parameters that are moved in one call: copies in the average's type exist for so many at a time


class Reference(Reader):
    """Holds the weights that a method compares the policy with: the policy's first ones, or their running average.

    The average is over the policy's master weights, parameter by parameter, and kept in ``update.dtype``: float32, or bfloat16 as
    in the published code of GRPO-CARE (Chen et al. 2025, 2506.16141), whose steps are mostly smaller than bfloat16's rounding.
    The drift ratio compares its way with that of an exact float64 average of fixed coordinates: 1 is right, 0 does not move.
    """

    def __init__(self, policy: Reader, update: ReferenceUpdate):
        model = copy.deepcopy(policy.model).requires_grad_(False).eval()
        dtype = torch.bfloat16 if isinstance(update, EMA) and update.dtype == "bfloat16" else None
        super().__init__(model.to(dtype) if dtype else model, policy.family, policy.rules, policy.compute)
        self.update = update
        level = policy.tower.cache_level
        stays = level == CacheLevel.NOTHING and isinstance(update, Frozen)
        self.tower.fixed_level = CacheLevel.FEATURES if stays else level
        self.watch = Watch(model.parameters()) if isinstance(update, EMA) else None

    @torch.no_grad()
    def update_towards(self, policy: Reader, step: int) -> float | None:
        """Moves towards the policy if ``update`` says so after optimizer step ``step``; gives the drift ratio if it did."""
        if not isinstance(self.update, EMA) or step % self.update.every:
            return None
        weight, tower = 1 - self.update.decay, self.family.tower
        named = [(n, local(p)) for n, p in self.model.named_parameters()]
        pairs = [(n, mine, its) for (n, mine), its in zip(named, policy.model.parameters(), strict=True)]
        changed = [n for n, mine, its in pairs if n.startswith(tower) and moved(mine, local(its), weight)]
        of_blocks = [name for name in changed if not name.startswith(self.family.projector)]
        for weights, names in ((self.tower.weights, changed), (self.tower.blocks, of_blocks)):
            if somewhere(bool(names), self.model.parameters()):  # on any rank
                weights.forget()
        move([(mine, local(its)) for n, mine, its in pairs if its.requires_grad and not n.startswith(tower)], weight)
        return self.watch.follow(policy.model.parameters(), self.model.parameters(), self.update.decay)

    @torch.no_grad()
    def group_logprobs(
        self, groups: Sequence[Group], where: Sequence[Bool[Tensor, "g t"]], keep: bool = False
    ) -> list[Tokens]:
        """Reads the tokens that ``where`` marks; ``keep`` adds its states. Prompts without such tokens are not encoded."""
        wanted = [k for k, w in enumerate(where) if w.any()]
        out = [Tokens(torch.zeros(w.shape), torch.zeros(w.shape)) for w in where]
        if wanted:
            with self.encode([groups[k].prompt for k in wanted]) as encoded:
                row_slices = [RowSlice(i, groups[k]) for i, k in enumerate(wanted)]
                read = self.logprobs(encoded, row_slices, [where[k] for k in wanted], keep)
            for k, tokens in zip(wanted, read, strict=True):
                out[k] = tokens
        return out

    def head(self) -> Float[Tensor, "v d"]:
        """Gives the matrix from last hidden states to logits, complete on every rank."""
        return full(self.model.get_output_embeddings().weight.detach())

    def state(self) -> Mapping[str, Tensor]:
        """Gives, on rank 0, the tensors from which ``restore`` makes the reference again; none if it never moves."""
        return {} if self.watch is None else gather_state_dict(self.model) | self.watch.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over what ``state`` gave."""
        if self.watch is not None:
            load_full_state_dict(self.model, {n: t for n, t in state.items() if not n.startswith(Watch.prefix)})
            for weights in (self.tower.weights, self.tower.blocks):
                weights.forget()
            self.watch.restore(state)


def moved(mine: Tensor, its: Tensor, weight: float) -> bool:
    """Moves a tensor towards another; if they are equal, it gives False and writes nothing, so that digests stay known."""
    its = its.to(mine.dtype)
    if torch.equal(mine, its):
        return False
    mine.lerp_(its, weight)
    return True


def move(pairs: Sequence[tuple[Tensor, Tensor]], weight: float) -> None:
    """Moves the first tensor of each pair towards the second, with few calls and no wait for the device."""
    for start in range(0, len(pairs), CHUNK):
        mine, its = zip(*pairs[start : start + CHUNK], strict=True)
        torch._foreach_lerp_(mine, [other.to(own.dtype) for own, other in zip(mine, its, strict=True)], weight)


class Watch:
    """Keeps an exact float64 average of a few fixed coordinates, with which the reference is compared."""

    prefix = "watch."

    def __init__(self, parameters):
        parameters = list(parameters)
        stride = max(1, sum(p.numel() for p in parameters) // WATCHED)  # spreads them evenly over all parameters
        self.places = [torch.arange(0, p.numel(), stride) for p in parameters]
        self.start = self.pick(parameters)
        self.exact = self.start.clone()

    def pick(self, parameters) -> Float[Tensor, " k"]:
        """Gathers the watched coordinates, in float64; of sharded parameters from all ranks."""
        return pick(list(parameters), self.places)

    def follow(self, followed, average, decay: float) -> float:
        """Moves the exact average, and projects the way of the other on its way: <moved, exact> / <exact, exact>."""
        self.exact = decay * self.exact + (1 - decay) * self.pick(followed)
        path, moved = self.exact - self.start, self.pick(average) - self.start
        length = path.dot(path)
        return float(path.dot(moved) / length) if length > 0 else 1.0

    def state(self) -> dict[str, Tensor]:
        return {self.prefix + "start": self.start, self.prefix + "exact": self.exact}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.start, self.exact = state[self.prefix + "start"], state[self.prefix + "exact"]
