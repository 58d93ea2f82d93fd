"""The algorithm box: collect, credit, learn. It knows no algorithm, no model family, no file format."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor

from mmrl.algorithms.base import Algorithm, Choosing, Proposing, Remembering, claims, exact
from mmrl.fit import fitted
from mmrl.meter import Meter
from mmrl.observe import describe, observe
from mmrl.plan import Filler, Piece, Planner
from mmrl.shard import clip_gradients
from mmrl.types import Against, Credit, Example, Group, Memory, Prompt, Scored, Tokens, Totals

Graded = tuple[Group, Mapping[str, Tensor]]  # a group and its rewards by name

REMEDY = "Look at these examples, lower the learning rate or use float32"


class NonFiniteError(RuntimeError):
    """A reward, loss or gradient that is not finite. The weights are those before the update that would have been."""


class Policy(Protocol):
    """What the trainer needs of the model that learns."""

    def whole(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def see(self, prompts: Sequence[Prompt]) -> Any: ...
    def read(self, seen: Any, pieces: Sequence[Any], *, against: Against | None = None) -> list[Tokens]: ...


class Reference(Protocol):
    """What the trainer needs of the model that it compares with."""

    def whole(self) -> AbstractContextManager: ...  # inside, ranks read independently of one another
    def score(self, groups: Sequence[Group], where: Sequence[Tensor], keep: bool) -> list[Tokens]: ...
    def head(self) -> Tensor: ...
    def follow(self, policy: Policy, step: int) -> bool: ...
    def drift_ratio(self) -> float: ...


class Proposal(Protocol):
    """What the trainer needs of a model that samples in the policy's place."""

    def adopt(self, policy: Policy) -> None: ...


@dataclass
class Trainer:
    """One optimizer, one algorithm, and the callables that feed it."""

    algorithm: Algorithm
    policy: Policy
    reference: Reference | None
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]  # optimizer step -> share of each parameter group's base_lr
    ranks: Any
    examples: Callable[[int], Sequence[Example]]  # draw -> this rank's examples
    prepare: Callable[[Sequence[Example]], Sequence[Prompt]]  # decoded and tokenised
    sample: Callable[[Sequence[Prompt], int], Sequence[Group]]
    grade: Callable[[Group], Mapping[str, Tensor]]
    weights: Mapping[str, float]  # of the rewards
    planner: Planner
    updates: int = 1  # optimizer steps on the groups of one collection
    clip_norm: float = 1.0
    proposal: Proposal | None = None  # samples in the policy's place
    compare: Callable[[Any, Sequence[Any]], Mapping[str, float]] | None = None  # two ways to read; may raise
    base: Mapping[str, Mapping[str, Tensor]] | None = None  # example -> reward -> what the base model earned
    memory: Memory = field(default_factory=dict)  # of the algorithm
    step_done: int = 0  # collections learned from
    draw_done: int = 0  # batches of examples drawn for them: more than steps where the algorithm chooses
    drawn: int = 0  # batches drawn for the step that is under way
    update_done: int = 0  # optimizer steps
    moved: bool = False  # whether the weights changed since the newest whole step
    meter: Meter = field(default_factory=Meter)
    last: Sequence[Scored] = ()  # what the newest step collected

    def __post_init__(self) -> None:
        if isinstance(self.algorithm, Remembering):
            self.memory = self.algorithm.start(self.base)

    def step(self) -> dict[str, float]:
        """Collect, credit, learn."""
        self.last = scored = self.collect()
        memory = self.remember(scored)
        for number, batch in enumerate(self.batches(scored)):
            batch = self.see_now(batch) if number else batch
            totals = self.totals(batch)
            credits = [self.credit(s, totals) for s in batch]
            self.learn(self.loud(batch, credits))
            self.update(batch, totals)
        self.memory, self.draw_done = memory, self.draw_done + self.drawn
        self.step_done, self.moved = self.step_done + 1, False
        return self.meter.summary(self.ranks)

    def collect(self) -> list[Scored]:
        """Sample and grade; then ask the reference and the policy what the algorithm wants to know of the completions."""
        self.drawn = 0
        graded = self.choose() if isinstance(self.algorithm, Choosing) else self.draw()
        with self.phase("reference"):
            read = self.read_reference([group for group, _ in graded], [rewards for _, rewards in graded])
        scored = [
            Scored(group, rewards, self.total(group, rewards), *known, base=self.base_of(group))
            for (group, rewards), known in zip(graded, read, strict=True)
        ]
        scored = self.see_now(scored)
        describe(self.meter, scored, self.algorithm, self.memory)
        return scored

    def draw(self) -> list[Graded]:
        """The groups of one batch of examples."""
        number = self.draw_done + self.drawn
        with self.phase("data"):
            prompts = self.prepare(self.examples(number))
        with self.phase("rollout"):
            groups = self.sample(prompts, number)
        with self.phase("reward"):
            rewards = [self.grade(group) for group in groups]
        self.drawn += 1
        bad = [g.prompt.example.id for g, r in zip(groups, rewards, strict=True) if not all_finite(r.values())]
        self.refuse(self.everybody(bad), "reward", "Look at what the graders say of these examples")
        return list(zip(groups, rewards, strict=True))

    def choose(self) -> list[Graded]:
        """The useful groups of as many batches as it takes to have one batch of them, or of as many as may be drawn.

        They are taken in the order of the examples, however many ranks there are.
        """
        kept: list[Graded] = []
        found = size = 0
        while self.drawn < self.algorithm.draws and (found < size or not self.drawn):
            graded = self.draw()
            useful = [pair for pair in graded if self.algorithm.useful(*pair)]
            counts = self.ranks.gather((len(graded), len(useful)))
            size = size or sum(count for count, _ in counts)
            others = found + sum(count for _, count in counts[: self.ranks.rank])
            kept += useful[: max(0, size - others)]
            found += sum(count for _, count in counts)
            self.meter.total("groups/drawn", len(graded))
        self.meter.total("groups/kept", len(kept))
        self.meter.most("groups/draws", self.drawn)
        return kept

    def base_of(self, group: Group) -> Mapping[str, Tensor] | None:
        """What the base model earned on the group's example. Raises ValueError where the table lacks it."""
        if self.base is None:
            return None
        name = group.prompt.example.id
        if name not in self.base:
            raise ValueError(
                f"prepared: expected what the base model earned on every example, found nothing of {name}; "
                "run mmrl prepare with the data of this config"
            )
        return self.base[name]

    def see_now(self, scored: Sequence[Scored]) -> Sequence[Scored]:
        """The same with what the policy says of the completions as it is, for an algorithm that needs it.

        Read by the policy itself, also before the first update, where the sampler's numbers are of the same weights: those
        differ by rounding (``policy/sampler_gap``), which the sum over a completion's tokens makes large.
        """
        if not claims(self.algorithm, "needs_now"):
            return scored
        found, head = list(scored), self.head()

        def attempt(part_tokens: int) -> None:
            for some in replace(self.planner, part_tokens=part_tokens).packs([s.group for s in scored]):
                with self.policy.see([scored[i].group.prompt for i in some]) as seen:
                    read = self.read(seen, [Unread(place, scored[i]) for place, i in enumerate(some)], head)
                for i, tokens in zip(some, read, strict=True):
                    found[i] = replace(scored[i], now=tokens)

        with self.phase("now"), torch.no_grad(), self.policy.whole():
            self.fitted(attempt, [s.group for s in scored], self.least_uncut([s.group for s in scored]))
        return found

    def remember(self, scored: Sequence[Scored]) -> Memory:
        """What the algorithm will know after this step; and the proposal follows, where the policy is closer to the target."""
        if not isinstance(self.algorithm, Remembering):
            return self.memory
        everybody = self.ranks.gather([self.algorithm.notes(s, self.memory) for s in scored])
        memory = self.algorithm.remember(self.memory, [notes for rank in everybody for notes in rank])
        if self.proposal is not None and isinstance(self.algorithm, Proposing):
            adopted = (self.step_done + 1) % self.algorithm.proposal.every == 0 and self.algorithm.adopt(memory)
            if adopted:
                self.proposal.adopt(self.policy)
            self.meter.most("proposal/adopted", float(adopted))
        return memory

    def credit(self, scored: Scored, totals: Totals) -> Credit:
        """The algorithm's, by what it knew before this step."""
        if isinstance(self.algorithm, Remembering):
            return self.algorithm.credit(scored, totals, self.memory)
        return self.algorithm.credit(scored, totals)

    def total(self, group: Group, rewards: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the rewards; 0 where there are none."""
        return sum((w * rewards[name] for name, w in self.weights.items()), torch.zeros(len(group)))

    def read_reference(
        self, groups: Sequence[Group], rewards: Sequence[Mapping[str, Tensor]]
    ) -> list[tuple[Tensor | None, ...]]:
        """For each group what the reference says of the tokens that the algorithm asks for, which these are, and its states."""
        if self.reference is None:
            return [(None, None, None)] * len(groups)
        where = [self.algorithm.reads(group, reward) for group, reward in zip(groups, rewards, strict=True)]
        where = [torch.zeros_like(g.mask) if w is None else w for g, w in zip(groups, where, strict=True)]
        keep = exact(self.algorithm) is not None

        def attempt(part_tokens: int) -> list[tuple[Tensor | None, ...]]:
            out = []
            for some in replace(self.planner, part_tokens=part_tokens).packs(groups):
                read = self.reference.score([groups[i] for i in some], [where[i] for i in some], keep)
                out += [(tokens.logp, where[i], tokens.states) for tokens, i in zip(read, some, strict=True)]
            return out

        with self.reference.whole():
            return self.fitted(attempt, groups, self.least_uncut(groups))

    def head(self) -> Tensor | None:
        """That of the reference, where a divergence over the whole vocabulary is wanted. All ranks must ask together."""
        return None if exact(self.algorithm) is None else self.reference.head()

    def read(self, seen: Any, part: Sequence[Any], head: Tensor | None) -> list[Tokens]:
        """What the policy says of some completions; with a head also how far that is from the reference, exactly."""
        if head is None or isinstance(part[0], Filler):
            return self.policy.read(seen, part)
        states = tuple(piece.scored.states for piece in part)
        return self.policy.read(seen, part, against=Against(states, head, exact(self.algorithm)))

    def batches(self, scored: Sequence[Scored]) -> Iterator[Sequence[Scored]]:
        """The groups of each optimizer step: all of them, or as many equal parts as there are updates."""
        size = -(-len(scored) // self.updates) if scored else 1
        for k in range(self.updates):
            yield scored[k * size : (k + 1) * size]

    def totals(self, batch: Sequence[Scored]) -> Totals:
        """The denominators over all ranks, so that neither parts nor ranks change the loss."""
        sequences, tokens = sum(len(s.group) for s in batch), sum(int(s.group.mask.sum()) for s in batch)
        return Totals(*self.ranks.sums([len(batch), sequences, tokens]))

    def loud(self, batch: Sequence[Scored], credits: Sequence[Credit]) -> list[tuple[Scored, Credit]]:
        """What is learned from. A group of which no token moves the policy is left out, and counted."""
        loud = [(s, c) for s, c in zip(batch, credits, strict=True) if not c.silent]
        self.meter.add("groups/useful", len(loud) / len(batch) if batch else 0.0, len(batch))
        return loud

    def learn(self, loud: Sequence[tuple[Scored, Credit]]) -> None:
        """Add up the gradient of an update; where memory does not suffice, from the start in smaller parts."""
        before = copy.deepcopy(self.meter)

        def undo() -> None:
            self.optimizer.zero_grad(set_to_none=True)
            self.meter = copy.deepcopy(before)

        groups = [s.group for s, _ in loud]
        least = min((self.planner.cost([g.rows(slice(0, 1))]) for g in groups), default=1)
        if self.planner.filler is not None:  # ranks that keep step cannot begin anew alone: there it is an error
            least = self.planner.part_tokens
        self.fitted(lambda part_tokens: self.descend(loud, part_tokens), groups, least, undo)

    def descend(self, loud: Sequence[tuple[Scored, Credit]], part_tokens: int) -> None:
        """See, read and go back, bundle by bundle."""
        head = self.head()
        for bundle in replace(self.planner, part_tokens=part_tokens).plan(loud):
            with self.policy.see(bundle.prompts) as seen:  # prompts and videos once; their backward at exit
                self.compare_once(seen, bundle.parts[0])
                for part in bundle.parts:  # cut for memory only
                    now = self.read(seen, part, head)
                    self.backward(now, part)

    def least_uncut(self, groups: Sequence[Group]) -> int:
        """The tokens down to which groups that are not cut can still be parted from one another."""
        return min((self.planner.cost([group]) for group in groups), default=1)

    def fitted(
        self,
        attempt: Callable[[int], Any],
        groups: Sequence[Group],
        least: int,
        undo: Callable[[], None] = lambda: None,
    ) -> Any:
        """What is made of the groups in parts of so many tokens as memory suffices for; they stay that small.

        ``least`` tokens make the parts that cannot be cut.
        """
        now = max(1, min(self.planner.part_tokens, self.planner.cost(groups)))
        found, part_tokens, halvings = fitted(attempt, now, least, "part_tokens", undo)
        if halvings:
            self.planner = replace(self.planner, part_tokens=part_tokens)
            self.meter.total("work/halvings", halvings)
        return found

    def compare_once(self, seen: Any, part: Sequence[Piece] | tuple[Filler]) -> None:
        """Before the first part of a run is learned from, the policy compares its two ways to read it."""
        if self.compare is None:
            return
        with self.phase("compare"):
            found = self.compare(seen, part)
        for name, value in found.items():
            self.meter.most(f"work/compare_{name}", value)
        self.compare = None

    def backward(self, now: Sequence[Tokens], part: Sequence[Piece] | tuple[Filler]) -> None:
        """Add the part's gradient."""
        if isinstance(part[0], Filler):
            (0 * now[0].logp).sum().backward()
            return
        losses = [
            (self.algorithm.loss(tokens, piece.credit, piece.scored) * piece.credit.share).sum()
            for tokens, piece in zip(now, part, strict=True)
        ]
        observe(self.meter, now, part, losses)
        for piece, loss in zip(part, losses, strict=True):
            if not loss.isfinite():
                self.meter.bad.append(piece.group.prompt.example.id)
        torch.stack(losses).sum().backward()  # also where it is not finite, as other ranks wait; update refuses it

    def update(self, batch: Sequence[Scored], totals: Totals) -> None:
        """Reduce once over ranks, clip, step, zero; the reference follows."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        with self.phase("update"):
            self.refuse(self.everybody(self.meter.bad), "loss")
            if totals.groups == 0:
                return
            self.ranks.add_gradients(parameters)
            norm = clip_gradients(parameters, self.clip_norm)
            if not norm.isfinite():
                self.refuse(self.everybody([s.group.prompt.example.id for s in batch]), "gradient")
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

    def everybody(self, names: Sequence[str]) -> list[str]:
        """The names of all ranks, each once."""
        return sorted({name for own in self.ranks.gather(list(names)) for name in own})

    def refuse(self, ids: Sequence[str], what: str, remedy: str = REMEDY) -> None:
        """Stop before the weights are touched."""
        if not ids:
            return
        self.optimizer.zero_grad(set_to_none=True)
        self.meter.bad = []
        raise NonFiniteError(
            f"step {self.step_done + 1}: expected a finite {what}, found one that is not; examples "
            f"{', '.join(ids[:20])}. The weights are those before this update. {remedy}"
        )

    def phase(self, name: str) -> "Phase":
        """Times what is done inside."""
        return Phase(self.meter, name)


@dataclass(frozen=True, slots=True)
class Unread:
    """A whole group for the policy to read; ``index`` is its place among the prompts."""

    index: int
    scored: Scored

    @property
    def group(self) -> Group:
        return self.scored.group


def all_finite(rewards: Iterable[Tensor]) -> bool:
    """Whether every reward of a group is a number."""
    return all(bool(reward.isfinite().all()) for reward in rewards)


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
