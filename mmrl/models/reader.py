"""A Hugging Face video language model seen as: see prompts once, read their answers, decode new ones."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from mmrl.models.attention.decode import Plain, Shared, decoder
from mmrl.models.attention.prefix import Prefix, answers, held
from mmrl.models.attention.shared import NAME
from mmrl.models.attention.unshared import whole_rows
from mmrl.models.families import Family
from mmrl.models.language import Language, Rules
from mmrl.models.logprobs import placed, scatter
from mmrl.models.precision import autocast, dtype_of
from mmrl.models.vision.tower import Seen, Tower, visions_of
from mmrl.models.work import Work
from mmrl.runtime.sharding import gathered, shard, whole
from mmrl.types import Against, Prompt, RowSlice, Tokens


class Reader:
    """One set of weights. It knows the model's parts; it knows nothing of files, texts or algorithms."""

    def __init__(self, model: nn.Module, family: Family, rules: Rules, compute: torch.dtype | None = None):
        self.model, self.family, self.compute = model, family, compute
        self.work = Work()
        self.tower = Tower(model, family, compute, self.work)
        self.language = Language(model, rules, compute, self.work)

    @property
    def rules(self) -> Rules:
        return self.language.rules

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """That of the masters; sharded layers may be gathered in another."""
        return dtype_of(self.model)

    @property
    def shares(self) -> bool:
        """Whether a prompt's keys and values are computed once for all of its answers."""
        return self.language.layers.config._attn_implementation.startswith(NAME)

    def shard(self, mesh: DeviceMesh, device: torch.device) -> None:
        """Keep this rank's part of the weights only."""
        shard(self.model, mesh, device, None if self.compute == self.dtype else self.compute)
        self.language.rules = replace(self.rules, allowed=self.rules.allowed.to(device))

    def whole(self):
        """The weights complete on every rank, for reading without waiting for one another."""
        return whole(self.model)

    def autocast(self):
        """Matrix products in ``compute``, where that is narrower than the weights."""
        return autocast(self.model, self.compute)

    def look(self, prompts: Sequence[Prompt]) -> None:
        """Let frozen blocks see the prompts before anything is asked of them: then no reading passes through them.

        All ranks must call it, with whatever prompts. Nothing where the blocks train.
        """
        if self.tower.keeps != "nothing":
            with gathered(self.model.model.visual):
                self.tower.look(visions_of(prompts))

    def still(self) -> AbstractContextManager[None]:
        """Inside, nobody writes to the weights: a tower that learns sees a prompt once for all that is read without learning."""
        return self.tower.still(again=False)

    @contextmanager
    def see(self, prompts: Sequence[Prompt]) -> Iterator[Prefix | Seen]:
        """Prompts and their media once, for all that is read or sampled inside; their one backward pass is at exit."""
        with self.tower.see(prompts) as seen:
            if self.shares:
                with held(self.language, seen) as prefix:
                    yield prefix
            else:
                yield seen

    def read(
        self,
        seen: Prefix | Seen,
        pieces: Sequence[RowSlice],
        where: Sequence[Bool[Tensor, "n t"]] | None = None,
        keep: bool = False,
        against: Against | None = None,
    ) -> list[Tokens]:
        """What the model says of the completions' tokens, for each piece ``[n t]``.

        One forward over all pieces. ``where`` restricts it to some tokens, and to the rows that hold any of them; elsewhere the
        log-probabilities are 0. The first token of a completion is predicted at the last place of its prompt. ``keep`` adds the
        states that the tokens are predicted from, ``against`` the exact divergence from another model's laws.
        """
        where = [piece.group.mask for piece in pieces] if where is None else where
        rows = [(k, r) for k, w in enumerate(where) for r in w.any(dim=1).nonzero().flatten().tolist()]
        if not rows:
            return [Tokens(*(w.new_zeros(w.shape, dtype=torch.float32),) * (2 + (against is not None))) for w in where]
        places = [where[k][r].nonzero().flatten() for k, r in rows]
        before = [
            (pieces[k].index, pieces[k].group.tokens[r, : int(at[-1])]) for (k, r), at in zip(rows, places, strict=True)
        ]
        tokens = torch.cat([pieces[k].group.tokens[r, at] for (k, r), at in zip(rows, places, strict=True)])
        hidden = self.hidden(seen, before, places)
        states = None if against is None else torch.cat([s[w] for s, w in zip(against.states, where, strict=True)])
        found = self.language.said(hidden, tokens.to(self.device), states, against)
        sizes = [int(w.sum()) for w in where]
        values = zip(*(value.split(sizes) for value in found), strict=True)
        out = [scatter(w, *(v.to(w.device) for v in value)) for value, w in zip(values, where, strict=True)]
        if keep:
            out = [
                replace(o, states=placed(h.to(w.device), w))
                for o, h, w in zip(out, hidden.split(sizes), where, strict=True)
            ]
        return out

    def hidden(
        self, seen: Prefix | Seen, before: Sequence[tuple[int, Tensor]], places: Sequence[Tensor]
    ) -> Float[Tensor, "m d"]:
        """The states from which the wanted tokens are predicted; ``before`` are (prompt, the tokens before the last wanted)."""
        if not isinstance(seen, Prefix):
            rows = whole_rows(self.language, seen, before)
            return torch.cat([row[at.to(row.device)] for row, at in zip(rows, places, strict=True)])
        some = [(i, tokens) for i, tokens in before if len(tokens)]
        # ranks that share layers must all come by, also one whose answers all end at once
        some = some or [(before[0][0], self.language.rules.allowed.nonzero()[0].cpu())]
        states = torch.cat([seen.last, answers(self.language, seen, some)])
        wanted, start = [], len(seen.last)
        for (index, tokens), at in zip(before, places, strict=True):
            wanted.append(torch.where(at == 0, index, start + at - 1))
            start += len(tokens)
        return states[torch.cat(wanted).to(states.device)]

    def decoder(self, seen: Prefix | Seen, counts: Sequence[int]) -> Shared | Plain:
        """What samples ``counts`` completions of each prompt, a token at a time."""
        return decoder(self.language, seen, counts)

    def rows(self, hidden: Float[Tensor, "n d"], tensors: int) -> int:
        """Of how many of these states so many tensors as wide as the vocabulary may exist at a time."""
        return self.language.rows(hidden, tensors)

    def logits(self, hidden: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, "n v"]:
        """What the next token is drawn from."""
        return self.language.logits(hidden, temperature)
