"""Models so small that every completion, and every group of completions, can be listed: expectations become sums.

``categorical(k)`` answers with one of k tokens. ``sequences(v, cap)`` is a tabular autoregressive model with v tokens and an
end-of-turn token, one row of logits for each prefix, completions cut at ``cap`` tokens (13 prefixes and 40 completions for 3, 3).
What is enumerated is an algorithm's own ``weights`` and ``loss``, as the trainer calls them.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from mmrl.types import Example, Group, LossNormalisers, Prompt, Scored, Tokens
from tests import type_checks


@dataclass(frozen=True)
class Outcomes:
    """Every completion of a tiny model, and for each of its tokens the row of logits that it is drawn from."""

    tokens: Tensor  # [N, t]
    mask: Tensor  # [N, t]
    prefix: Tensor  # [N, t]
    prefixes: int
    choices: int

    def __len__(self) -> int:
        return len(self.tokens)

    def logprobs(self, logits: Tensor) -> Tensor:
        """[N, t] log-probabilities of the tokens; 0 off the mask."""
        return logits.log_softmax(dim=-1)[self.prefix, self.tokens] * self.mask

    def log_prob(self, logits: Tensor) -> Tensor:
        """[N] log-probabilities of the completions; their exponentials add up to 1."""
        return self.logprobs(logits).sum(dim=1)

    def divergence(self, logits: Tensor, reference: Tensor, direction: str) -> Tensor:
        """[N, t] the exact divergence between the laws of the next token at each token's prefix; 0 off the mask."""
        first, second = (logits, reference) if direction == "kl_policy_reference" else (reference, logits)
        p, q = first.log_softmax(dim=-1), second.log_softmax(dim=-1)
        return (p.exp() * (p - q)).sum(dim=-1)[self.prefix] * self.mask

    def reach(self, logits: Tensor) -> Tensor:
        """[prefixes] the probability that a completion passes through each prefix."""
        through = torch.zeros(len(self), self.prefixes, dtype=torch.float64)
        return self.log_prob(logits).exp() @ through.scatter_add(1, self.prefix, self.mask.double())

    def logits(self, seed: int, scale: float = 1.0) -> Tensor:
        """[prefixes, choices] random logits in float64."""
        noise = torch.Generator().manual_seed(seed)
        return scale * torch.randn(self.prefixes, self.choices, dtype=torch.float64, generator=noise)


def categorical(k: int) -> Outcomes:
    """One token out of k."""
    tokens = torch.arange(k)[:, None]
    return Outcomes(tokens, torch.ones_like(tokens, dtype=torch.bool), torch.zeros_like(tokens), 1, k)


def sequences(vocabulary: int = 3, cap: int = 3) -> Outcomes:
    """All sequences of tokens that end with end-of-turn (the last token) or at the cap; prefixes shortest first."""
    end, prefixes = vocabulary, [()]
    for prefix in prefixes:
        if len(prefix) < cap - 1:
            prefixes += [(*prefix, token) for token in range(vocabulary)]
    whole = [(*prefix, end) for prefix in prefixes]
    whole += [(*prefix, token) for prefix in prefixes if len(prefix) == cap - 1 for token in range(vocabulary)]
    place = {prefix: row for row, prefix in enumerate(prefixes)}
    tokens = torch.tensor([[*s, *[0] * (cap - len(s))] for s in whole])
    mask = torch.tensor([[i < len(s) for i in range(cap)] for s in whole])
    rows = torch.tensor([[place[s[:i]] if i < len(s) else 0 for i in range(cap)] for s in whole])
    return Outcomes(tokens, mask, rows, len(prefixes), vocabulary + 1)


def scored(
    outcomes: Outcomes,
    rows: Sequence[int],
    rewards: Mapping[str, Tensor],
    *,
    policy: Tensor,
    sampler: Tensor | None = None,
    reference: Tensor | None = None,
    name: str = "made",
    **more,
) -> Scored:
    """A group of the outcomes ``rows``. ``rewards`` hold a number for each outcome, ``policy``, ``sampler`` and ``reference``
    are logits; without a sampler the policy sampled. The total is the reward "total", or the sum of all."""
    rows = list(rows)
    mask = outcomes.mask[rows]
    prompt = Prompt(Example(name, "q"), torch.zeros(2, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long))
    sampled = outcomes.logprobs(policy if sampler is None else sampler).detach()[rows]
    group = Group(
        prompt,
        outcomes.tokens[rows],
        mask,
        mask,
        tuple(map(str, rows)),
        torch.ones(len(rows), dtype=torch.bool),
        sampled,
    )
    own = {key: reward[rows] for key, reward in rewards.items()}
    total = own["total"] if "total" in own else sum(own.values())
    read = None if reference is None else outcomes.logprobs(reference).detach()[rows]
    exact = more.pop("exact", None)
    more.setdefault("old_policy", tokens(outcomes, policy.detach(), rows, reference, exact))
    return Scored(group, own, total, read, None if read is None else mask, **more)


def tokens(
    outcomes: Outcomes, logits: Tensor, rows: Sequence[int], reference: Tensor | None, exact: str | None
) -> Tokens:
    """What a policy says of some outcomes, and if it is asked for the exact divergence to a reference."""
    logprobs = outcomes.logprobs(logits)[list(rows)]
    divergence = None if exact is None else outcomes.divergence(logits, reference, exact)[list(rows)]
    return Tokens(logprobs, torch.zeros_like(logprobs).detach(), divergence)


def groups(count: int, size: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """All groups of ``size`` among ``count`` outcomes, order aside, and in how many orders each can be drawn."""
    for rows in combinations_with_replacement(range(count), size):
        yield rows, math.factorial(size) // math.prod(math.factorial(n) for n in Counter(rows).values())


def step_loss(
    algorithm,
    outcomes: Outcomes,
    logits: Tensor,
    one: Scored,
    rows: Sequence[int],
    *state,
    reference: Tensor | None = None,
) -> Tensor:
    """What the trainer would backpropagate if this group were all of its batch."""
    totals = LossNormalisers(1, len(rows), int(one.group.completion_mask.sum()))
    weights = algorithm.token_weights(one, totals, *state)
    policy = tokens(outcomes, logits, rows, reference, algorithm.needs.full_vocabulary_kl)
    return (algorithm.loss(policy, weights, one) * weights.loss_weight).sum()


def expected_gradient(
    algorithm,
    outcomes: Outcomes,
    logits: Tensor,
    size: int,
    rewards: Mapping[str, Tensor],
    *,
    sampler: Tensor | None = None,
    reference: Tensor | None = None,
    state: Sequence = (),
    **more,
) -> Tensor:
    """The expectation over all groups of ``size`` draws of the sampler (or policy) of the gradient of the step's loss with
    respect to the logits."""
    logits = logits.detach().clone().requires_grad_()
    log_q = outcomes.log_prob(logits.detach() if sampler is None else sampler)
    total = logits.new_zeros(())
    for index, (rows, orders) in enumerate(groups(len(outcomes), size)):
        known = {"exact": algorithm.needs.full_vocabulary_kl, **more}
        with type_checks.off() if index else nullcontext():
            one = scored(outcomes, rows, rewards, policy=logits, sampler=sampler, reference=reference, **known)
            loss = step_loss(algorithm, outcomes, logits, one, rows, *state, reference=reference)
        total = total + orders * log_q[list(rows)].sum().exp() * loss
    return torch.autograd.grad(total, logits)[0]


def gradient(function, logits: Tensor) -> Tensor:
    """The exact gradient of a scalar function of the logits."""
    logits = logits.detach().clone().requires_grad_()
    return torch.autograd.grad(function(logits), logits)[0]
