"""Layers with a recurrent state (Qwen3.5): no prompt is shared, no padding is remembered, and every row keeps its own state."""

from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache

from mmrl.models.attention.decode import decoder as start
from mmrl.models.loading import load_policy
from mmrl.models.proposal import Proposal
from mmrl.models.reference import Reference
from mmrl.models.transformers_versions import cached, checkpoint_activations
from mmrl.rollout.engine import Engine
from mmrl.types import EMA, Decoding, Frozen, RowSlice
from tests import tiny_models
from tests.models.attention.test_shared import CROSSED, ROWS, WHOLE, by_copies, by_shares, groups_of, untouched
from tests.models.test_reader import mixed, plain

FAMILY = "qwen3_5"
REASON = "model: every completion is read with a copy of its prompt, because its layers have linear_attention"


def few_tokens(policy):
    """So few that rows end at different times."""
    policy.rules.allowed[20:] = False
    policy.rules.allowed[policy.end] = True
    return policy


def states(cache):
    """What the layers with a recurrent state keep: of the convolution, and of the delta rule."""
    layers = [layer for layer in cache.layers if hasattr(layer, "recurrent_states")]
    assert len(layers) == 2
    return [x[0] for layer in layers for x in (layer.conv_states, layer.recurrent_states)]


@pytest.mark.parametrize(("parts", "checkpointing"), [(WHOLE, False), (ROWS, False), (CROSSED, True)])
def test_log_probabilities_and_gradients_are_those_of_the_untouched_model(exact, parts, checkpointing):
    policy = tiny_models.policy(FAMILY, torch.float64)
    if checkpointing:
        checkpoint_activations(policy.model)
        policy.model.train()
    assert not policy.shares_prefix
    groups = groups_of(policy)
    logprobs, gradients = by_shares(policy, groups, parts)
    expected, wanted = by_copies(untouched(FAMILY, policy), groups)
    for one, two in zip(logprobs, expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-9, rtol=0)
    assert any(name.endswith("A_log") for name in wanted)
    for name, gradient in wanted.items():
        scale = gradient.abs().max().item() + 1
        torch.testing.assert_close(gradients[name], gradient, atol=1e-9 * scale, rtol=0, msg=name)


def test_an_answer_depends_on_where_and_how_long_ago_its_prompt_was():
    """Else the equalities here would say little."""
    policy = tiny_models.policy(FAMILY)
    group, other = groups_of(policy)[0], untouched(FAMILY, policy)
    squeezed, changed = group.prompt.positions.clamp(max=3), group.prompt.tokens.clone()
    changed[0] += 1
    with torch.no_grad():
        as_it_is = plain(other, group, 2)
        for prompt in (replace(group.prompt, positions=squeezed), replace(group.prompt, tokens=changed)):
            assert (plain(other, replace(group, prompt=prompt), 2) - as_it_is).abs().max() > 1e-3


def test_padding_reaches_no_state_and_every_row_has_its_prompts(exact):
    """The second prompt is padded at the left; rows are copied, then some leave."""
    policy = tiny_models.policy(FAMILY, torch.float64)
    prompts, language = mixed(policy), policy
    with torch.no_grad(), policy.encode(prompts) as encoded:
        decoder = start(policy, encoded, [2, 1, 3])
        decoder.keep(torch.tensor([1, 2, 5]))
        assert len({len(p.tokens) for p in prompts}) == 3
        for row, (prompt, features) in enumerate(zip(prompts, encoded.features, strict=True)):
            cache = DynamicCache(config=language.layers.config)
            embedded, _ = language.embed(prompt.tokens[None], [features])
            out = language.forward(embedded, prompt.positions[:, None], **cached(language.layers, cache))
            torch.testing.assert_close(decoder.last[[1, 2, 5][row]], out.last_hidden_state[0, -1], atol=1e-9, rtol=0)
            for mine, alone in zip(states(decoder.cache), states(cache), strict=True):
                torch.testing.assert_close(mine[row], alone[0], atol=1e-9, rtol=0)


def test_a_row_sampled_beside_others_is_the_row_sampled_alone_and_is_read_so(exact):
    """Prompts of three lengths, all longer than a chunk of the delta rule; rows leave one after the other."""
    policy = few_tokens(tiny_models.policy(FAMILY, torch.float64))
    engine, counts = Engine(policy, Decoding(max_new_tokens=40), lambda text: None), (4, 3, 5)
    groups = engine.sample(mixed(policy), [range(n) for n in counts], seed=1)
    assert len({int(n) for g in groups for n in g.completion_mask.sum(dim=1)}) > 6
    with torch.no_grad(), policy.encode([g.prompt for g in groups]) as encoded:
        read = policy.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
    for group, tokens, prompt, count in zip(groups, read, mixed(policy), counts, strict=True):
        torch.testing.assert_close(tokens.logprobs, group.sampling_logprobs, atol=1e-9, rtol=0)
        for row in range(count):
            (alone,) = engine.sample([prompt], [range(row, row + 1)], seed=1)
            length = alone.tokens.shape[1]
            assert torch.equal(group.tokens[row, :length], alone.tokens[0])
            torch.testing.assert_close(
                group.sampling_logprobs[row, :length], alone.sampling_logprobs[0], atol=1e-9, rtol=0
            )


def test_media_are_seen_once_however_much_is_read_and_sampled():
    policy = tiny_models.policy(FAMILY)
    group = groups_of(policy)[0]
    with policy.encode([group.prompt]) as encoded:
        for row in range(3):
            policy.logprobs(encoded, [RowSlice(0, group.rows(slice(row, row + 1)))])
    assert policy.work.vision_passes == 2
    Engine(policy, Decoding(max_new_tokens=3), lambda text: None).sample([group.prompt], [range(4)], seed=0)
    assert policy.work.vision_passes == 4


def test_it_is_said_once_for_a_policy_and_its_copies(caplog):
    policy = tiny_models.policy(FAMILY)
    copies = [Reference(policy, Frozen()), Reference(policy, EMA(0.9, 1)), Proposal(policy)]
    assert not any(copy.shares_prefix for copy in copies)
    assert [REASON in r.message for r in caplog.records if r.name.startswith("mmrl")] == [True]
    caplog.clear()
    assert not tiny_models.policy(FAMILY, share_prefix=False).shares_prefix
    assert not [r for r in caplog.records if r.name.startswith("mmrl")]


def test_a_saved_policy_is_loaded_and_reads_the_same(tmp_path):
    policy = tiny_models.policy(FAMILY)
    policy.save(tmp_path)
    again = load_policy(tmp_path, "plain")
    said = []
    for one in (policy, again):
        groups = groups_of(one)
        with torch.no_grad(), one.encode([g.prompt for g in groups]) as encoded:
            said.append(
                torch.cat(
                    [
                        t.logprobs.flatten()
                        for t in one.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
                    ]
                )
            )
    torch.testing.assert_close(*said, atol=1e-5, rtol=1e-5)
