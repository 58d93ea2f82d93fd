"""A prompt once: equal to the untouched transformers model that reads it once a completion."""

import sys
from dataclasses import replace
from itertools import accumulate
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from mmrl.models import reader
from mmrl.models.attention import prefix
from mmrl.models.attention.shared import CompletionPass, PromptPass, use_shared
from mmrl.models.self_check import DisagreementError, compare, tolerance
from mmrl.models.transformers_versions import checkpoint_activations
from mmrl.rollout.engine import Engine
from mmrl.types import Decoding, RowSlice
from tests import tiny_models
from tests.models.test_reader import completions, mixed, plain

FAMILIES = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"]
LENGTHS = ((5, 1, 9), (1, 1), (4, 4, 4))


def groups_of(policy):
    return [completions(policy, p, n, seed=i) for i, (p, n) in enumerate(zip(mixed(policy), LENGTHS, strict=True))]


def untouched(family, policy):
    """The same weights in a model that mmrl never saw."""
    model = tiny_models.model(family, policy.processor).to(policy.dtype)
    return SimpleNamespace(model=model, dtype=policy.dtype, rules=policy.rules)


def shares(groups):
    """Any numbers, one a token: what the loss weighs them by."""
    return [
        torch.randn(g.completion_mask.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
        for g in groups
    ]


def by_shares(policy, groups, parts):
    """Log-probabilities and gradients, prompts once."""
    logprobs = [torch.zeros_like(s) for s in shares(groups)]
    with policy.encode([g.prompt for g in groups]) as encoded:
        for part in parts:
            row_slices = [RowSlice(i, groups[i].rows(rows)) for i, rows in part]
            loss = 0
            for (i, rows), tokens in zip(part, policy.logprobs(encoded, row_slices), strict=True):
                logprobs[i][rows] = tokens.logprobs.detach().double()
                loss = loss + (tokens.logprobs * shares(groups)[i][rows].to(tokens.logprobs.dtype)).sum()
            loss.backward()
    return logprobs, {n: p.grad for n, p in policy.model.named_parameters()}


def by_copies(other, groups):
    """The same from the untouched model, a completion at a time."""
    logprobs = [torch.zeros_like(s) for s in shares(groups)]
    for group, share, out in zip(groups, shares(groups), logprobs, strict=True):
        for row in range(len(group)):
            read = plain(other, group, row)
            (read * share[row, : len(read)].to(read.dtype)).sum().backward()
            out[row, : len(read)] = read.detach().double()
    return logprobs, {n: p.grad for n, p in other.model.named_parameters()}


WHOLE = [[(i, slice(None)) for i in range(3)]]
ROWS = [[(i, slice(r, r + 1))] for i, lengths in enumerate(LENGTHS) for r in range(len(lengths))]
CROSSED = [[(2, slice(0, 2)), (0, slice(1, 3))], [(0, slice(0, 1)), (1, slice(None)), (2, slice(2, 3))]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("parts", "checkpointing"), [(WHOLE, False), (ROWS, False), (CROSSED, True)])
def test_log_probabilities_and_gradients_are_those_of_the_untouched_model(exact, family, parts, checkpointing):
    policy = tiny_models.policy(family, torch.float64)
    if checkpointing:
        checkpoint_activations(policy.model)
        policy.model.train()
    assert policy.shares_prefix
    groups = groups_of(policy)
    logprobs, gradients = by_shares(policy, groups, parts)
    expected, wanted = by_copies(untouched(family, policy), groups)
    for one, two in zip(logprobs, expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-9, rtol=0)
    for name, gradient in wanted.items():
        scale = gradient.abs().max().item() + 1
        torch.testing.assert_close(gradients[name], gradient, atol=1e-9 * scale, rtol=0, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_float32_it_is_as_close_to_float64_as_the_untouched_model_is(family):
    policy, wide = tiny_models.policy(family), tiny_models.policy(family, torch.float64)
    groups = groups_of(policy)
    with torch.no_grad():
        truth = by_copies_only(untouched(family, wide), groups_of(wide))
        own = (by_copies_only(untouched(family, policy), groups) - truth).abs().max()
        with policy.encode([g.prompt for g in groups]) as encoded:
            read = policy.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
    ours = torch.cat([t.logprobs[g.completion_mask] for t, g in zip(read, groups, strict=True)])
    assert (ours - truth).abs().max() <= 3 * own


def by_copies_only(other, groups):
    return torch.cat([plain(other, g, row) for g in groups for row in range(len(g))])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_token_is_predicted_at_the_prompts_last_place(family):
    policy = tiny_models.policy(family)
    group = groups_of(policy)[0]
    other = untouched(family, policy)
    with torch.no_grad(), policy.encode([group.prompt]) as encoded:
        first = policy.logprobs(encoded, [RowSlice(0, group)])[0].logprobs[:, 0]
        expected = torch.stack([plain(other, group, row)[0] for row in range(3)])
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=1e-5)
    assert len(first.unique()) == 3  # different tokens, one distribution


@pytest.mark.parametrize("family", FAMILIES)
def test_sampling_against_shared_keys_draws_what_copies_draw(exact, family):
    """Two prompts lose their rows at different times; the plain engine keeps a cache of its own for every row."""
    drawn = []
    for share in (True, False):
        policy = tiny_models.policy(family, torch.float64, share_prefix=share)
        policy.rules.allowed[20:] = False  # few tokens: rows end at different times
        policy.rules.allowed[policy.end] = True
        engine = Engine(policy, Decoding(max_new_tokens=40), lambda text: None)
        groups = engine.sample(mixed(policy), [range(4), range(3), range(5)], seed=1)
        with torch.no_grad(), policy.encode([g.prompt for g in groups]) as encoded:
            read = policy.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
        for group, tokens in zip(groups, read, strict=True):
            torch.testing.assert_close(tokens.logprobs, group.sampling_logprobs, atol=1e-9, rtol=0)
        drawn.append((groups, policy.work.forward_tokens))
    (ours, few), (theirs, many) = drawn
    assert len({int(n) for g in ours for n in g.completion_mask.sum(dim=1)}) > 3
    assert few < many
    for one, two in zip(ours, theirs, strict=True):
        assert torch.equal(one.tokens, two.tokens)
        torch.testing.assert_close(one.sampling_logprobs, two.sampling_logprobs, atol=1e-9, rtol=0)


def test_tokens_are_counted_where_they_pass_and_parts_cost_the_prompt_once():
    policy = tiny_models.policy()
    group = groups_of(policy)[0]
    p = len(group.prompt.tokens)
    for parts in ([slice(0, 3)], [slice(0, 1), slice(1, 2), slice(2, 3)]):
        policy.work.taken()
        with policy.encode([group.prompt]) as encoded:
            for rows in parts:
                policy.logprobs(encoded, [RowSlice(0, group.rows(rows))])
        assert policy.work.padding == 0
        # nobody looks from an answer's last token; a part of which nothing is left passes one token
        assert policy.work.forward_tokens == p + 4 + 8 + (len(parts) == 3)


@pytest.mark.parametrize("compute", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_ways_to_read_are_compared_and_nothing_is_changed(family, compute):
    policy = tiny_models.policy(family, compute=compute)
    before = [p.clone() for p in policy.model.parameters()]
    for groups in (groups_of(policy), [completions(policy, mixed(policy)[0], [1])]):
        with policy.encode([g.prompt for g in groups]) as encoded:
            found = compare(policy, encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
        assert 0 < found["distance"] < (1e-5 if compute is None else 0.3)
        assert 0 < found["plain_distance"] < (1e-5 if compute is None else 0.3)  # what was measured, not a bound
    assert all(torch.equal(p, q) for p, q in zip(policy.model.parameters(), before, strict=True))
    assert (policy.compute, policy.shares_prefix) == (compute, True)


def hidden_at(place):
    """No answer looks at a place of its prompt."""
    own = CompletionPass.tables.func

    def change(some, table, back, mask):
        mask = mask.clone()
        mask[:, range(some.prompt.stop - some.prompt.start)[place]] = False
        return table, back, mask

    tables = property(lambda self: [change(some, *t) for some, t in zip(self.rows, own(self), strict=True)])
    return {(CompletionPass, "tables"): tables}


def attending(kind, change):
    """Attention of a pass, its query, key and value or its scaling changed."""
    own = kind.attend
    return {(kind, "attend"): lambda self, layer, *rest: own(self, layer, *change(layer, *rest))}


def next_position(delta):
    """Answers begin too late."""
    own = prefix.completion_states

    def completion_states(language, encoded, rows):
        later = replace(
            encoded, encoded=replace(encoded.encoded, prompts=tuple(Later(p, delta) for p in encoded.encoded.prompts))
        )
        return own(language, later, rows)

    return {(reader, "completion_states"): completion_states}


class Later(SimpleNamespace):
    """A prompt after which text resumes too late."""

    def __init__(self, prompt, delta):
        super().__init__(tokens=prompt.tokens, next_position=prompt.next_position + delta)


def first_token_late():
    """The first token of an answer is predicted where the second is."""

    def state_indices(wanted, prompts):
        starts = [prompts, *accumulate((len(row.inputs) for row in wanted), initial=prompts)][1:-1]
        return torch.cat([start + row.positions.clamp(min=1) - 1 for start, row in zip(starts, wanted, strict=True)])

    return {(reader, "state_indices"): state_indices}


MISTAKES = {
    "the last place of the prompt is hidden": lambda: hidden_at(-1),
    "the first place of the prompt is hidden": lambda: hidden_at(0),
    "answers begin one position late": lambda: next_position(1),
    "answers begin one position early": lambda: next_position(-1),
    "the first answer token from the wrong place": first_token_late,
    "scaling of answers": lambda: attending(CompletionPass, lambda _, q, k, v, s, f: (q, k, v, 1.02 * s, f)),
    "scaling of prompts": lambda: attending(PromptPass, lambda _, q, k, v, s, f: (q, k, v, 1.02 * s, f)),
    "values in one layer": lambda: attending(CompletionPass, lambda n, q, k, v, s, f: (q, k, v * (1 + 0.02 * n), s, f)),
    "answers see the one before": lambda: attending(
        CompletionPass, lambda _, q, k, v, s, f: (q, k, v.roll(1, 2), s, f)
    ),
}


@pytest.mark.parametrize("compute", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_attention_stops_the_run_however_coarse_its_arithmetic(monkeypatch, mistake, compute):
    """In bfloat16 each of these is lost among the rounding errors of products."""
    policy = tiny_models.policy(compute=compute)
    groups = groups_of(policy)[:1]
    for (where, name), wrong in MISTAKES[mistake]().items():
        monkeypatch.setattr(where, name, wrong)
    said = r"model\.share_prefix: expected .* found .*on examples slow.*share_prefix=off"
    with policy.encode([g.prompt for g in groups]) as encoded, pytest.raises(DisagreementError, match=said):
        compare(policy, encoded, [RowSlice(i, g) for i, g in enumerate(groups)])


def test_a_model_whose_layers_have_windows_takes_the_plain_path_and_says_so_once(caplog):
    made = tiny_models.processor("qwen2_5_vl")
    model = tiny_models.model("qwen2_5_vl", made)
    model.config.text_config.layer_types = ["full_attention", "sliding_attention"]
    policy = tiny_models.Policy(model, made, "plain")
    assert not policy.shares_prefix
    assert [r.message for r in caplog.records if "sliding_attention" in r.message] == [
        "model: every completion is read with a copy of its prompt, because its layers have sliding_attention, "
        "whose state or window is not a prompt's keys and values"
    ]


def bottom_right(q, k, v, ends_q, ends_k, most_q, most_k, softmax_scale, causal):
    """What flash-attn says that its function does: sequences one behind the other, causal from the bottom right."""
    assert causal
    assert most_q == ends_q.diff().max()
    assert most_k == ends_k.diff().max()
    outs = []
    for i in range(len(ends_q) - 1):
        one, two, three = q[ends_q[i] : ends_q[i + 1]], *(x[ends_k[i] : ends_k[i + 1]] for x in (k, v))
        mask = torch.ones(len(one), len(two), dtype=torch.bool).tril(len(two) - len(one))
        some = (x.transpose(0, 1)[None] for x in (one, two, three))
        out = scaled_dot_product_attention(*some, attn_mask=mask, scale=softmax_scale, enable_gqa=True)
        outs.append(out[0].transpose(0, 1))
    return torch.cat(outs)


def test_flash_attention_is_told_of_prompts_and_answers_as_its_varlen_function_wants_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_varlen_func=bottom_right))
    results = []
    for base in ("sdpa", "flash_attention_2"):
        policy = tiny_models.policy(dtype=torch.float64)
        layers = policy.layers
        layers.config._attn_implementation = base
        use_shared(layers)
        results.append(by_shares(policy, groups_of(policy), CROSSED))
    (logprobs, gradients), (other, others) = results
    for one, two in zip(logprobs, other, strict=True):
        torch.testing.assert_close(one, two, atol=1e-12, rtol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-10, rtol=1e-10, msg=name)


@pytest.mark.gpu
def test_flash_attention_equals_sdpa_in_bfloat16_on_a_gpu():
    pytest.importorskip("flash_attn")
    results = []
    for base in ("sdpa", "flash_attention_2"):
        policy = tiny_models.policy(compute=torch.bfloat16)
        policy.model.to("cuda")
        policy.rules = replace(policy.rules, allowed=policy.rules.allowed.cuda())
        policy.layers.config._attn_implementation = base
        use_shared(policy.layers)
        results.append(by_shares(policy, groups_of(policy), WHOLE)[0])
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, atol=0.05, rtol=0.02)


def test_a_plain_path_that_is_exact_by_luck_refuses_no_sound_run():
    """Once found on few tokens: 5.7e-6 nats off, where the longest log-probability was 13."""
    eps = torch.finfo(torch.float32).eps
    assert tolerance(0.0, 13.0, eps, measured=True) > 2 * 5.7e-6
    assert tolerance(0.0, 13.0, eps, measured=True) < 1e-4  # a wrong mask is off by far more
