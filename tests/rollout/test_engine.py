"""The sampler: frequencies equal log-probabilities; a row depends on its key and not on its neighbours."""

import pytest
import torch

from mmrl.rollout.engine import Engine
from mmrl.types import Decoding
from tests import tiny_models


def engine(policy, **decoding):
    return Engine(policy, Decoding(**{"max_new_tokens": 8} | decoding), span=lambda text: None, max_num_seqs=5000)


def prompts(policy):
    examples = [tiny_models.example("a", ("video",)), tiny_models.example("b", ())]
    return policy.prompts(examples, [[tiny_models.clip(1)], []])


def test_sampled_frequencies_are_the_log_probabilities():
    policy = tiny_models.policy()
    count = 4000
    (group,) = engine(policy, max_new_tokens=1).sample(prompts(policy)[:1], [range(count)], seed=0)
    for token in group.tokens[:, 0].unique()[:20]:
        p = group.sampling_logprobs[group.tokens[:, 0] == token, 0][0].exp().item()
        found = (group.tokens[:, 0] == token).float().mean().item()
        assert abs(found - p) <= 4.5 * (p * (1 - p) / count) ** 0.5


def test_a_completion_does_not_depend_on_its_batch():
    policy = tiny_models.policy()
    together = engine(policy).sample(prompts(policy), [range(4), range(3)], seed=5, step=2)
    alone = engine(policy).sample(prompts(policy)[1:], [[2]], seed=5, step=2)
    length = int(alone[0].completion_mask.sum())
    assert torch.equal(alone[0].tokens[0, :length], together[1].tokens[2, :length])


def test_banned_tokens_are_never_drawn():
    policy = tiny_models.policy()
    (group,) = engine(policy, max_new_tokens=4).sample(prompts(policy)[:1], [range(1000)], seed=1)
    assert policy.rules.allowed[group.tokens[group.completion_mask]].all()
    assert not policy.rules.allowed[list(policy.placeholders)].any()
    assert not policy.rules.allowed[len(policy.tokenizer) :].any()


def test_rows_end_with_the_end_token_or_at_the_limit():
    policy = tiny_models.policy()
    (group,) = engine(policy, max_new_tokens=60).sample(prompts(policy)[:1], [range(64)], seed=2)
    for tokens, mask, finished in zip(group.tokens, group.completion_mask, group.finished, strict=True):
        ends = (tokens[mask] == policy.end).nonzero().flatten().tolist()
        assert ends == ([int(mask.sum()) - 1] if finished else [])
    assert group.finished.any()


@pytest.mark.parametrize("share", [True, False])
def test_tokens_are_those_of_prompts_and_completions_and_the_rest_is_padding(share):
    policy = tiny_models.policy(share_prefix=share)
    policy.rules.allowed[20:] = False  # few tokens: rows end at different times
    policy.rules.allowed[policy.end] = True
    asked = prompts(policy)
    groups = engine(policy, max_new_tokens=30).sample(asked, [range(6), range(5)], seed=3)
    lengths = torch.cat([group.completion_mask.sum(dim=1) for group in groups])
    real = sum(len(prompt.tokens) for prompt in asked) + int((lengths - 1).sum())  # nobody looks from a last token
    work = policy.work.taken()
    assert len(set(lengths.tolist())) > 3
    assert 0 < work.padding == work.forward_tokens - real


def test_greedy_decoding_takes_the_most_likely_token():
    policy = tiny_models.policy()
    one, two = (engine(policy, temperature=0.0).sample(prompts(policy)[:1], [[0]], seed=s)[0] for s in (0, 1))
    assert torch.equal(one.tokens, two.tokens)


def test_groups_are_not_cut_by_the_row_limit():
    policy = tiny_models.policy()
    small = Engine(policy, Decoding(max_new_tokens=3), span=lambda text: None, max_num_seqs=4)
    assert small.batches([range(3), range(3), range(9), range(1), range(2)]) == [[0], [1], [2], [3, 4]]
    assert small.batches([]) == []
