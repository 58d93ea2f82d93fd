"""The exact divergence of two heads: its definition, both ways, in chunks, with its gradient."""

import pytest
import torch

from mmrl.models.full_kl import token_divergence
from mmrl.models.logprobs import LogitRules
from mmrl.types import Frozen, ReferenceDistribution, RowSlice
from tests import run_fixtures, tiny_models

WAYS = ("kl_policy_reference", "kl_reference_policy")


def made(seed=0, places=7, vocabulary=11, width=4):
    """Hidden states and heads of two models, and the tokens that may be sampled."""
    noise = torch.Generator().manual_seed(seed)
    shapes = ((places, width), (places, width), (vocabulary, width), (vocabulary, width))
    tensors = [torch.randn(shape, dtype=torch.float64, generator=noise) for shape in shapes]
    allowed = torch.arange(vocabulary) % 4 != 1
    return tensors, allowed


def plain(hidden, states, weight, head, allowed, temperature, way):
    """By the definition, over the allowed tokens alone."""
    p, q = ((x @ w.T / temperature)[:, allowed].log_softmax(-1) for x, w in ((hidden, weight), (states, head)))
    first, second = (p, q) if way == WAYS[0] else (q, p)
    return (first.exp() * (first - second)).sum(-1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_it_is_its_definition_with_its_gradient_whatever_the_chunks(way, chunk):
    (hidden, states, weight, head), allowed = made()
    limit = chunk * 3 * len(weight) * 8
    found = []
    for function in (
        lambda h, w: token_divergence(h, states, w, head, LogitRules(allowed, (), 0.7, limit), way),
        lambda h, w: plain(h, states, w, head, allowed, 0.7, way),
    ):
        leaves = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        value = function(*leaves)
        weights = torch.arange(len(value), dtype=torch.float64)
        found.append((value, *torch.autograd.grad((value * weights).sum(), leaves)))
    for got, expected in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_does_not_differ_from_itself(way):
    (hidden, _, weight, _), allowed = made()
    got = token_divergence(hidden, hidden, weight, weight, LogitRules(allowed, (), 1.0, 10**6), way)
    assert not got.any()


def test_the_two_ways_differ_and_nothing_asked_is_nothing_found():
    (hidden, states, weight, head), allowed = made()
    both = [token_divergence(hidden, states, weight, head, LogitRules(allowed, (), 1.0, 10**6), way) for way in WAYS]
    assert (both[0] - both[1]).abs().min() > 1e-3
    none = token_divergence(hidden[:0], states[:0], weight, head, LogitRules(allowed, (), 1.0, 10**6), WAYS[0])
    assert none.shape == (0,)


@pytest.mark.parametrize("rows", [2, 5])
def test_logits_stay_within_their_bytes(rows):
    """Of both heads together, the largest matrix that is made at a time."""
    (hidden, states, weight, head), allowed = made()
    made_rows = []

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if function is torch.Tensor.matmul:
                made_rows.append(len(out))
            return out

    with Spy():
        token_divergence(
            hidden, states, weight, head, LogitRules(allowed, (), 1.0, rows * 3 * len(weight) * 8 + 1), WAYS[0]
        )
    assert max(made_rows) == rows


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("max_logit_bytes", [1, 2**28])
def test_a_policy_read_against_a_reference_says_how_far_it_is(way, max_logit_bytes):
    """From the states of both, kept, by the definition; rows of several prompts together."""
    policy = tiny_models.policy(dtype=torch.float64, max_logit_bytes=max_logit_bytes)
    reference = run_fixtures.disturbed(policy, Frozen())
    groups = run_fixtures.fixed_groups(policy)
    masks = [group.completion_mask for group in groups]
    known = reference.group_logprobs(groups, masks, keep=True)
    distribution = ReferenceDistribution(tuple(tokens.hidden_states for tokens in known), reference.head(), way)
    row_slices = [RowSlice(i, group) for i, group in enumerate(groups)]
    with policy.encode([group.prompt for group in groups]) as encoded:
        read = policy.logprobs(encoded, row_slices, keep=True, reference=distribution)
        assert read[0].divergence.requires_grad
    weight = policy.model.get_output_embeddings().weight
    for mine, its, mask in zip(read, known, masks, strict=True):
        states = (mine.hidden_states[mask], its.hidden_states[mask])
        expected = plain(*states, weight, reference.head(), policy.rules.allowed, policy.rules.temperature, way)
        torch.testing.assert_close(mine.divergence[mask], expected, atol=1e-10, rtol=0)
        assert not mine.divergence[~mask].any()
        assert mine.divergence[mask].min() > 0
