"""What is as wide as the vocabulary stays within the bytes that are allowed, wherever it is made: measured, not told."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from mmrl.models import full_kl, logprobs
from mmrl.models.logprobs import LogitRules
from mmrl.rollout import Engine, engine
from mmrl.rollout.noise import draw
from mmrl.types import Decoding, Frozen, ReferenceDistribution, RowSlice
from tests import run_fixtures, tiny_models

ROWS, ENTRIES, WIDTH = 64, 5000, 4
UNIT = ROWS * ENTRIES * 4  # bytes of one tensor as wide as the vocabulary


def peak(work) -> int:
    """The most bytes that were allocated at a time beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as encoded:
        kept = work()  # noqa: F841 what it returns counts
    events = [e for e in encoded.profiler.kineto_results.events() if e.name() == "[memory]"]  # not among seen.events()
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def made():
    generator = torch.Generator().manual_seed(0)
    hidden, weight, states, head = (torch.randn(n, WIDTH, generator=generator) for n in (ROWS, ENTRIES) * 2)
    tokens, noise = torch.arange(ROWS), torch.rand(ROWS, dtype=torch.float64, generator=generator)
    return hidden, weight, states, head, tokens, noise, torch.ones(ENTRIES, dtype=torch.bool)


def test_so_many_tensors_exist_at_a_time_as_are_counted():
    hidden, weight, states, head, tokens, noise, allowed = made()

    def drawn(top_p):
        logits = logprobs.allowed_logits(hidden, weight, allowed, 0.7)
        token = draw(logits, noise, top_p)
        return token, logits.gather(-1, token[:, None]).squeeze(-1) - logits.logsumexp(dim=-1)

    more = 1.02  # what is as long as tokens, but not as wide as the vocabulary
    assert peak(lambda: drawn(1.0)) <= more * engine.TENSORS * UNIT
    assert peak(lambda: drawn(0.9)) <= more * engine.TENSORS_TOP_P * UNIT
    assert (
        peak(lambda: logprobs.token_logprobs(hidden, tokens, weight, LogitRules(allowed, (), 1.0, 2**40)))
        <= more * logprobs.TENSORS * UNIT
    )
    for direction in ("kl_policy_reference", "kl_reference_policy"):
        how = (LogitRules(allowed, (), 1.0, 2**40), direction)
        found = peak(lambda how=how: full_kl.token_divergence(hidden, states, weight, head, *how))
        assert found <= more * full_kl.TENSORS * UNIT


def test_what_is_measured_is_what_is_allocated():
    assert peak(lambda: torch.zeros(ROWS, ENTRIES)) == UNIT
    assert 2 * UNIT <= peak(lambda: torch.zeros(ROWS, ENTRIES).add(1).add(1)) < 2.01 * UNIT


@pytest.mark.parametrize("bound", [8, 3])
@pytest.mark.parametrize("direction", [None, "kl_policy_reference", "kl_reference_policy"])
def test_the_bound_holds_there_and_back_however_many_chunks(bound, direction):
    """In tensors of all tokens; the gradient of the weights comes on top."""
    hidden, weight, states, head, tokens, _, allowed = made()
    hidden.requires_grad_()
    limit, found = UNIT * bound // 8, []

    def forward():
        if direction is None:
            found.append(logprobs.token_logprobs(hidden, tokens, weight, LogitRules(allowed, (), 1.0, limit))[0])
        else:
            how = (LogitRules(allowed, (), 1.0, limit), direction)
            found.append(full_kl.token_divergence(hidden, states, weight, head, *how))

    assert 0.5 * limit < peak(forward) <= 1.05 * limit
    assert 0.5 * limit < peak(found[0].sum().backward) <= 1.05 * limit


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_tokens_drawn_a_few_rows_at_a_time_are_the_same_and_what_it_took_is_counted(top_p):
    texts, counted = [], []
    for max_logit_bytes in (2**28, 20_000):
        policy = tiny_models.policy(max_logit_bytes=max_logit_bytes)
        policy.model.eval()
        decoding = Decoding(top_p=top_p, max_new_tokens=6)
        prompts = [group.prompt for group in run_fixtures.fixed_groups(policy, ("text", "film"))]
        texts.append(Engine(policy, decoding, lambda _: None).sample(prompts, [range(5)] * 2, seed=1))
        counted.append(policy.work.taken().max_logit_bytes)
    for one, other in zip(*texts, strict=True):
        assert one.texts == other.texts
        torch.testing.assert_close(one.sampling_logprobs, other.sampling_logprobs, atol=1e-6, rtol=0)
    assert counted[1] <= 20_000 < counted[0]


def test_a_divergence_is_counted_too():
    policy = tiny_models.policy()
    groups = run_fixtures.fixed_groups(policy)
    reference = run_fixtures.disturbed(policy, Frozen())
    known = reference.group_logprobs(groups, [group.completion_mask for group in groups], keep=True)
    reference = ReferenceDistribution(
        tuple(tokens.hidden_states for tokens in known), reference.head(), "kl_policy_reference"
    )
    row_slices = [RowSlice(i, group) for i, group in enumerate(groups)]
    found = []
    for more in (None, reference):
        with policy.encode([group.prompt for group in groups]) as encoded:
            policy.logprobs(encoded, row_slices, reference=more)
        found.append(policy.work.taken().max_logit_bytes)
    assert found[1] == found[0] * full_kl.TENSORS // logprobs.TENSORS
