"""The copy of the policy that a method compares with: frozen, or an average that follows."""

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mmrl.models.reader import Reader
from mmrl.runtime.sharding import cut_like, full, local, pick, somewhere
from mmrl.types import EMA, Frozen, Group, RowSlice, Tokens, Update

WATCHED = 65536  # coordinates on which the average is also kept exactly


class Reference(Reader):
    """A reader with weights of its own.

    The average is over the policy's master weights, parameter by parameter, and kept in ``update.dtype``; it is float32 unless
    the published bfloat16 behaviour is asked for. ``drift_ratio`` says how far it moved along an exact float64 average of fixed
    coordinates: 1 is as it should be, 0 is a reference that does not move (facts: care.md 1.4).
    """

    def __init__(self, policy: Reader, update: Update):
        model = copy.deepcopy(policy.model).requires_grad_(False).eval()
        dtype = torch.bfloat16 if isinstance(update, EMA) and update.dtype == "bfloat16" else None
        super().__init__(model.to(dtype) if dtype else model, policy.family, policy.rules, policy.compute)
        self.update = update
        moves = policy.tower.keeps
        self.tower.told = "features" if moves == "nothing" and isinstance(update, Frozen) else moves
        self.watch = Watch(model.parameters()) if isinstance(update, EMA) else None

    @torch.no_grad()
    def follow(self, policy: Reader, step: int) -> bool:
        """After optimizer step ``step``: move a little where that is due. True where it moved."""
        if not isinstance(self.update, EMA) or step % self.update.every:
            return False
        decay, pairs = self.update.decay, zip(self.model.named_parameters(), policy.model.parameters(), strict=True)
        moved = [name for (name, mine), its in pairs if pulled(mine, its.to(mine.dtype), decay)]
        self.forget([name for name in moved if name.startswith(self.family.tower)])
        self.watch.follow(policy.model.parameters(), decay)
        return True

    def forget(self, moved: Sequence[str]) -> None:
        """These parameters of the tower moved on this rank: on every rank, digests of them are no longer known."""
        of_blocks = [name for name in moved if not name.startswith(self.family.projector)]
        for weights, names in ((self.tower.weights, moved), (self.tower.blocks, of_blocks)):
            if somewhere(bool(names), self.model.parameters()):
                weights.forget()

    def drift_ratio(self) -> float:
        """Progress along the exact average's path; 1.0 before that has moved."""
        return 1.0 if self.watch is None else self.watch.ratio(self.model.parameters())

    @torch.no_grad()
    def score(self, groups: Sequence[Group], where: Sequence[Bool[Tensor, "g t"]], keep: bool = False) -> list[Tokens]:
        """What it says of the wanted tokens, with ``keep`` also its states. Prompts of which nothing is wanted are not even seen."""
        wanted = [k for k, w in enumerate(where) if w.any()]
        out = [Tokens(torch.zeros(w.shape), torch.zeros(w.shape)) for w in where]
        if wanted:
            with self.see([groups[k].prompt for k in wanted]) as seen:
                pieces = [RowSlice(i, groups[k]) for i, k in enumerate(wanted)]
                read = self.read(seen, pieces, [where[k] for k in wanted], keep)
            for k, tokens in zip(wanted, read, strict=True):
                out[k] = tokens
        return out

    def head(self) -> Float[Tensor, "v d"]:
        """The matrix from last hidden states to logits, complete on every rank."""
        return full(self.model.get_output_embeddings().weight.detach())

    def state(self) -> Mapping[str, Tensor]:
        """What must be saved for the reference to go on as it is; nothing for one that never moves."""
        return {} if self.watch is None else dict(self.model.state_dict()) | self.watch.state()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of ``state``."""
        if self.watch is not None:
            own = self.model.state_dict()
            cut = {
                n: cut_like(t, own[n]) if n in own else t for n, t in state.items() if not n.startswith(Watch.prefix)
            }
            self.model.load_state_dict(cut, strict=True)
            for weights in (self.tower.weights, self.tower.blocks):
                weights.forget()
            self.watch.restore(state)


def pulled(mine: Tensor, its: Tensor, decay: float) -> bool:
    """Move a tensor towards another; False where they are equal: it is then not written to, and its digest stays, too."""
    stays = torch.equal(local(mine), local(its))
    if not stays:
        mine.lerp_(its, 1 - decay)
    return not stays


class Watch:
    """An exact float64 average of a few fixed coordinates, against which the reference is measured."""

    prefix = "watch."

    def __init__(self, parameters):
        self.places = spread(parameters := list(parameters))
        self.start = self.pick(parameters)
        self.exact = self.start.clone()

    def pick(self, parameters) -> Float[Tensor, " k"]:
        """The watched coordinates, in float64; of sharded parameters those of all ranks."""
        return pick(list(parameters), self.places)

    def follow(self, parameters, decay: float) -> None:
        self.exact = decay * self.exact + (1 - decay) * self.pick(parameters)

    def ratio(self, parameters) -> float:
        """How far along the exact path: <moved, exact> / <exact, exact>."""
        path, moved = self.exact - self.start, self.pick(parameters) - self.start
        length = path.dot(path)
        return float(path.dot(moved) / length) if length > 0 else 1.0

    def state(self) -> dict[str, Tensor]:
        return {self.prefix + "start": self.start, self.prefix + "exact": self.exact}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.start, self.exact = state[self.prefix + "start"], state[self.prefix + "exact"]


def spread(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Places spread evenly over all parameters, about WATCHED of them."""
    total = sum(p.numel() for p in parameters)
    stride = max(1, total // WATCHED)
    return [torch.arange(0, p.numel(), stride) for p in parameters]
