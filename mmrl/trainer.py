"""The algorithm box: collect, credit, learn. It knows no algorithm, no model family, no file format."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import zip_longest
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor

from mmrl import ops
from mmrl.algorithms.base import Algorithm
from mmrl.meter import Meter
from mmrl.shard import clip_gradients
from mmrl.types import Credit, Example, Group, Prompt, Scored, Tokens, Totals


class NonFiniteError(RuntimeError):
    """A loss or gradient that is not finite. The weights are those before the optimizer step that would have been."""


class Policy(Protocol):
    """What the trainer needs of the model that learns."""

    def see(self, prompts: Sequence[Prompt]) -> Any: ...
    def read(self, seen: Any, pieces: Sequence["Piece | Filler"]) -> list[Tokens]: ...


class Reference(Protocol):
    """What the trainer needs of the model that it compares with."""

    def whole(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def score(self, groups: Sequence[Group], where: Sequence[Tensor]) -> list[Tensor]: ...
    def follow(self, policy: Policy, step: int) -> bool: ...
    def drift_ratio(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a group, and what they are worth. ``index`` is the group's place in its bundle."""

    index: int
    scored: Scored
    credit: Credit

    @property
    def group(self) -> Group:
        return self.scored.group


@dataclass(frozen=True, slots=True)
class Filler:
    """Something to read that is worth nothing, so that this rank meets the others in every sharded layer."""

    index: int
    group: Group


@dataclass(frozen=True, slots=True)
class Bundle:
    """Groups whose prompts are seen together, and the parts in which their rows are read."""

    prompts: tuple[Prompt, ...]
    parts: tuple[tuple[Piece, ...] | tuple[Filler], ...]

    @property
    def kinds(self) -> frozenset[str]:
        """Which media there are; the tower is called once for each kind."""
        return frozenset(medium.kind for prompt in self.prompts for medium in prompt.example.every_media)


@dataclass
class Trainer:
    """One optimizer, one algorithm, and the callables that feed it."""

    algorithm: Algorithm
    policy: Policy
    reference: Reference | None
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]  # optimizer step -> share of each parameter group's base_lr
    ranks: Any
    examples: Callable[[int], Sequence[Example]]  # step -> this rank's examples
    prepare: Callable[[Sequence[Example]], Sequence[Prompt]]  # decoded and tokenised
    sample: Callable[[Sequence[Prompt], int], Sequence[Group]]
    grade: Callable[[Group], Mapping[str, Tensor]]
    weights: Mapping[str, float]  # of the rewards
    updates: int = 1  # optimizer steps on the groups of one collection
    part_tokens: int = 16384  # the most tokens, padding included, in one forward pass with a gradient
    clip_norm: float = 1.0
    filler: Callable[[frozenset[str]], Group] | None = None  # about media of these kinds; None where weights are whole
    step_done: int = 0  # collections learned from
    update_done: int = 0  # optimizer steps
    moved: bool = False  # whether the weights changed since the newest whole step
    meter: Meter = field(default_factory=Meter)
    last: Sequence[Scored] = ()  # what the newest step collected

    def step(self) -> dict[str, float]:
        """Collect, credit, learn."""
        self.last = scored = self.collect()
        for batch in self.batches(scored):
            totals = self.totals(batch)
            credits = [self.algorithm.credit(s, totals) for s in batch]
            for bundle in self.plan(batch, credits):
                with self.policy.see(bundle.prompts) as seen:  # prompts and videos once; their backward at exit
                    for part in bundle.parts:  # cut for memory only
                        now = self.policy.read(seen, part)
                        self.backward(now, part)
            self.update(batch, totals)
        self.step_done, self.moved = self.step_done + 1, False
        return self.meter.summary(self.ranks)

    def collect(self) -> list[Scored]:
        """Sample, grade, read the reference."""
        with self.phase("data"):
            prompts = self.prepare(self.examples(self.step_done))
        with self.phase("rollout"):
            groups = self.sample(prompts, self.step_done)
        with self.phase("reward"):
            rewards = [self.grade(group) for group in groups]
        with self.phase("reference"):
            read = self.read_reference(groups, rewards)
        scored = [
            Scored(group, reward, self.total(group, reward), *pair)
            for group, reward, pair in zip(groups, rewards, read, strict=True)
        ]
        self.describe(scored)
        return scored

    def total(self, group: Group, rewards: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the rewards; 0 where there are none."""
        return sum((w * rewards[name] for name, w in self.weights.items()), torch.zeros(len(group)))

    def read_reference(
        self, groups: Sequence[Group], rewards: Sequence[Mapping[str, Tensor]]
    ) -> list[tuple[Tensor | None, Tensor | None]]:
        """For each group what the reference says of the tokens that the algorithm asks for."""
        if self.reference is None:
            return [(None, None)] * len(groups)
        where = [self.algorithm.reads(group, reward) for group, reward in zip(groups, rewards, strict=True)]
        where = [torch.zeros_like(g.mask) if w is None else w for g, w in zip(groups, where, strict=True)]
        out: list[tuple[Tensor | None, Tensor | None]] = []
        with self.reference.whole():
            for some in packs(groups, self.part_tokens):
                logp = self.reference.score([groups[i] for i in some], [where[i] for i in some])
                out += [(p, where[i]) for p, i in zip(logp, some, strict=True)]
        return out

    def batches(self, scored: Sequence[Scored]) -> Iterator[Sequence[Scored]]:
        """The groups of each optimizer step: all of them, or as many equal parts as there are updates."""
        size = -(-len(scored) // self.updates) if scored else 1
        for k in range(self.updates):
            yield scored[k * size : (k + 1) * size]

    def totals(self, batch: Sequence[Scored]) -> Totals:
        """The denominators over all ranks, so that neither parts nor ranks change the loss."""
        sequences, tokens = sum(len(s.group) for s in batch), sum(int(s.group.mask.sum()) for s in batch)
        return Totals(*self.ranks.sums([len(batch), sequences, tokens]))

    def plan(self, batch: Sequence[Scored], credits: Sequence[Credit]) -> Iterable[Bundle]:
        """What is seen and read for an update; where weights are sharded, in step with the other ranks."""
        bundles = self.bundles(batch, credits)
        return bundles if self.filler is None else self.align(bundles)

    def bundles(self, batch: Sequence[Scored], credits: Sequence[Credit]) -> Iterator[Bundle]:
        """Groups that fit into one forward pass go together; one that does not fit is read in parts.

        A group of which no token moves the policy is left out, and counted.
        """
        loud = [(s, c) for s, c in zip(batch, credits, strict=True) if not c.silent]
        self.meter.add("groups/useful", len(loud) / len(batch) if batch else 0.0, len(batch))
        loud.sort(key=lambda pair: row_tokens(pair[0].group))
        for some in packs([s.group for s, _ in loud], self.part_tokens):
            chosen = [loud[i] for i in some]
            if len(chosen) == 1:
                parts = tuple((piece,) for piece in cut(*chosen[0], self.part_tokens))
            else:
                parts = (tuple(Piece(i, s, c) for i, (s, c) in enumerate(chosen)),)
            yield Bundle(tuple(s.group.prompt for s, _ in chosen), parts)

    def align(self, bundles: Iterable[Bundle]) -> list[Bundle]:
        """Bundles such that every rank calls every layer equally often.

        A sharded layer is gathered by all ranks together, forward and backward. So the k-th bundles of all ranks get
        equally many parts and the same kinds of media, and bundles with many parts go first, to meet their like.
        """
        mine = sorted(bundles, key=lambda b: (len(b.parts), sorted(b.kinds)), reverse=True)
        shapes = self.ranks.gather([(len(b.parts), b.kinds) for b in mine])
        mine += [Bundle((), ())] * (max(map(len, shapes)) - len(mine))
        together = zip_longest(*shapes, fillvalue=(0, frozenset()))
        return [self.filled(bundle, shapes) for bundle, shapes in zip(mine, together, strict=True)]

    def filled(self, bundle: Bundle, shapes: Sequence[tuple[int, frozenset[str]]]) -> Bundle:
        """The bundle with the parts and kinds of media that it lacks of the shapes of all ranks."""
        kinds = frozenset().union(*(k for _, k in shapes))
        parts = max(count + (k != kinds) for count, k in shapes)  # media that a rank lacks bring a part of their own
        if parts == len(bundle.parts):
            return bundle
        group = self.filler(kinds - bundle.kinds)
        filler = (Filler(len(bundle.prompts), group),)
        return Bundle((*bundle.prompts, group.prompt), bundle.parts + (filler,) * (parts - len(bundle.parts)))

    def backward(self, now: Sequence[Tokens], part: Sequence[Piece] | tuple[Filler]) -> None:
        """Add the part's gradient."""
        if isinstance(part[0], Filler):
            (0 * now[0].logp).sum().backward()
            return
        losses = [
            (self.algorithm.loss(tokens, piece.credit, piece.scored) * piece.credit.share).sum()
            for tokens, piece in zip(now, part, strict=True)
        ]
        self.observe(now, part, losses)
        for piece, loss in zip(part, losses, strict=True):
            if not loss.isfinite():
                self.meter.bad.append(piece.group.prompt.example.id)
        torch.stack(losses).sum().backward()  # also where it is not finite, as other ranks wait; update refuses it

    def update(self, batch: Sequence[Scored], totals: Totals) -> None:
        """Reduce once over ranks, clip, step, zero; the reference follows."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        with self.phase("update"):
            self.refuse(sorted({name for names in self.ranks.gather(self.meter.bad) for name in names}), "loss")
            if totals.groups == 0:
                return
            self.ranks.add_gradients(parameters)
            norm = clip_gradients(parameters, self.clip_norm)
            if not norm.isfinite():
                own = [s.group.prompt.example.id for s in batch]
                self.refuse(sorted({name for names in self.ranks.gather(own) for name in names}), "gradient")
            self.meter.add("optimizer/grad_norm", float(norm))
            for group in self.optimizer.param_groups:
                group["lr"] = group["base_lr"] * self.rate(self.update_done)
            self.meter.add("optimizer/lr", max(group["lr"] for group in self.optimizer.param_groups))
            self.moved = True
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.update_done += 1
        if self.reference is not None and self.reference.follow(self.policy, self.update_done):
            self.meter.add("ema/drift_ratio", self.reference.drift_ratio())

    def refuse(self, ids: Sequence[str], what: str) -> None:
        """Stop before the weights are touched."""
        if not ids:
            return
        self.optimizer.zero_grad(set_to_none=True)
        self.meter.bad = []
        raise NonFiniteError(
            f"step {self.step_done + 1}: expected a finite {what}, found one that is not; examples "
            f"{', '.join(ids[:20])}. The weights are those before this update. Look at these examples, lower the "
            "learning rate or use float32"
        )

    def describe(self, scored: Iterable[Scored]) -> None:
        """Numbers about what was collected."""
        for s in scored:
            lengths = s.group.mask.sum(dim=1).float()
            self.meter.add("completion/tokens", lengths.mean().item())
            self.meter.add("completion/truncated", (~s.group.finished).float().mean().item())
            self.meter.add("completion/distinct", len(set(s.group.texts)) / len(s.group))
            for name, reward in s.rewards.items():
                self.meter.add(f"reward/{name}", reward.mean().item())
            if s.rewards:
                self.meter.add("reward/total", s.total.mean().item())
                self.meter.add("reward/std", s.total.std().item() if len(s.group) > 1 else 0.0)
            for name, value in self.algorithm.report(s).items():
                self.meter.add(name, value)

    def observe(self, now: Sequence[Tokens], part: Sequence[Piece], losses: Sequence[Tensor]) -> None:
        """Numbers about what the policy says now."""
        for tokens, piece, loss in zip(now, part, losses, strict=True):
            mask, sampled = piece.group.mask, piece.group.logp_sampled
            self.meter.total("loss", loss.item())
            self.meter.add("policy/entropy", (tokens.entropy.sum() / mask.sum()).item(), int(mask.sum()))
            if sampled is not None:
                gap = ((tokens.logp.detach() - sampled) * mask).abs().max().item()
                self.meter.most("policy/sampler_gap", gap)
            read = piece.scored.read
            if read is not None and read.any():
                divergence = ops.k3(tokens.logp.detach(), piece.scored.reference)[read]
                self.meter.add("reference/k3", divergence.mean().item(), int(read.sum()))

    def phase(self, name: str) -> "Phase":
        """Times what is done inside."""
        return Phase(self.meter, name)


@dataclass
class Phase:
    """A clock around one part of the step."""

    meter: Meter
    name: str
    start: float = 0.0

    def __enter__(self) -> None:
        self.start = perf_counter()

    def __exit__(self, *_) -> None:
        self.meter.total(f"seconds/{self.name}", perf_counter() - self.start)


def row_tokens(group: Group) -> int:
    """Tokens of the longest row of a group, its prompt included."""
    return len(group.prompt.tokens) + group.tokens.shape[1]


def packs(groups: Sequence[Group], limit: int) -> Iterator[list[int]]:
    """Neighbours together as long as their rows, padded to the longest, stay within ``limit`` tokens; never none."""
    some: list[int] = []
    rows = width = 0
    for index, group in enumerate(groups):
        wider = max(width, row_tokens(group))
        if some and (rows + len(group)) * wider > limit:
            yield some
            some, rows, wider = [], 0, row_tokens(group)
        some.append(index)
        rows, width = rows + len(group), wider
    if some:
        yield some


def cut(scored: Scored, credit: Credit, limit: int) -> Iterator[Piece]:
    """A group's rows in parts of at most ``limit`` tokens, a row at the least. A part of a group is a group."""
    rows = max(1, limit // row_tokens(scored.group))
    for start in range(0, len(scored.group), rows):
        part = slice(start, start + rows)
        yield Piece(0, scored.rows(part), credit.rows(part))
