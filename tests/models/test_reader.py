"""Reading: equal to the untouched transformers forward and to generation; the video is seen; parts change nothing."""

import pytest
import torch

from mmrl.models.transformers_versions import checkpoint_activations
from mmrl.rollout.engine import Engine
from mmrl.types import Decoding, Group, RowSlice
from tests import tiny_models

FAMILIES = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_5"]


def mixed(policy):
    """Prompts with several media, one and none; the first clip is long in time."""
    examples = [
        tiny_models.example("slow", ("video", "image")),
        tiny_models.example("text", ()),
        tiny_models.example("two", ("image", "video", "video"), question="what was the next thing of all"),
    ]
    media = [
        [tiny_models.clip(1, frames=8, fps=1.0, stride=2), tiny_models.image(2)],
        [],
        [tiny_models.image(3, (28, 56)), tiny_models.clip(4, frames=2), tiny_models.clip(5, frames=4, size=(28, 28))],
    ]
    return policy.prompts(examples, media)


def completions(policy, prompt, lengths=(5, 1, 9), seed=0):
    """Random allowed tokens of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    choices = policy.rules.allowed.nonzero().flatten()
    tokens = choices[torch.randint(len(choices), (len(lengths), max(lengths)), generator=generator)]
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    flags = torch.ones(len(lengths), dtype=torch.bool)
    return Group(prompt, tokens, mask, torch.zeros_like(mask), ("",) * len(lengths), flags)


def plain(policy, group, row):
    """The untouched transformers model on one row, given our positions, over the allowed tokens."""
    prompt, length = group.prompt, int(group.completion_mask[row].sum())
    ids = torch.cat([prompt.tokens, group.tokens[row, :length]])[None]
    tail = (torch.arange(length) + prompt.next_position).expand(3, -1)
    inputs = {"input_ids": ids, "position_ids": torch.cat([prompt.positions, tail], dim=1)[:, None]}
    for kind, names in (
        ("video", ("pixel_values_videos", "video_grid_thw")),
        ("image", ("pixel_values", "image_grid_thw")),
    ):
        chosen = [i for i, g in enumerate(prompt.vision.grids if prompt.vision else ()) if g.kind == kind]
        if chosen:
            grids = [prompt.vision.grids[i] for i in chosen]
            inputs[names[0]] = torch.cat([prompt.vision.pixels[i] for i in chosen]).to(policy.dtype)
            inputs[names[1]] = torch.tensor([(g.frames, g.height, g.width) for g in grids])
    logits = (
        policy.model(**inputs).logits[0, len(prompt.tokens) - 1 : -1].masked_fill(~policy.rules.allowed, -torch.inf)
    )
    return logits.log_softmax(-1).gather(-1, group.tokens[row, :length, None]).squeeze(-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_the_untouched_model(family):
    policy = tiny_models.policy(family)
    groups = [completions(policy, prompt, seed=i) for i, prompt in enumerate(mixed(policy))]
    with torch.no_grad(), policy.encode([g.prompt for g in groups]) as encoded:
        read = policy.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
    for group, tokens in zip(groups, read, strict=True):
        assert not tokens.logprobs[~group.completion_mask].any()
        for row in range(len(group)):
            expected = plain(policy, group, row)
            torch.testing.assert_close(tokens.logprobs[row, : len(expected)], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_sampled_is_what_is_read(family):
    policy = tiny_models.policy(family)
    engine = Engine(policy, Decoding(max_new_tokens=12), span=lambda text: None)
    groups = engine.sample(mixed(policy), [range(4)] * 3, seed=3)
    with torch.no_grad(), policy.encode([g.prompt for g in groups]) as encoded:
        read = policy.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
    for group, tokens in zip(groups, read, strict=True):
        torch.testing.assert_close(tokens.logprobs, group.sampling_logprobs, atol=2e-5, rtol=1e-5)
        assert (group.sampling_logprobs[group.completion_mask] < 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_a_group_add_up_to_its_gradient_in_tower_and_language_model(exact, family):
    policy = tiny_models.policy(family, torch.float64)
    groups = [completions(policy, prompt, seed=i) for i, prompt in enumerate(mixed(policy))]

    def gradient(parts):
        policy.model.zero_grad()
        with policy.encode([g.prompt for g in groups]) as encoded:
            for part in parts:
                for tokens in policy.logprobs(encoded, part):
                    (tokens.logprobs.sum() / 7).backward(retain_graph=True)
        return {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}

    whole = gradient([[RowSlice(i, g) for i, g in enumerate(groups)]])
    cut = gradient([[RowSlice(i, g.rows(slice(r, r + 1)))] for i, g in enumerate(groups) for r in range(3)])
    assert any("visual" in name for name in whole)
    for name, expected in whole.items():
        torch.testing.assert_close(cut[name], expected, atol=1e-10, rtol=1e-6, msg=name)


def test_the_tower_runs_once_a_medium_however_many_parts_are_read():
    policy = tiny_models.policy()
    group = completions(policy, mixed(policy)[0])
    with policy.encode([group.prompt]) as encoded:
        for row in range(3):
            policy.logprobs(encoded, [RowSlice(0, group.rows(slice(row, row + 1)))])
    assert policy.work.vision_passes == 2


def test_changing_one_frame_moves_the_log_probabilities():
    policy = tiny_models.policy()
    example, clip = tiny_models.example(kinds=("video",)), tiny_models.clip(0, frames=8)
    frames = clip.frames.copy()
    frames[5] = 255 - frames[5]
    other = type(clip)(frames, clip.indices, clip.timestamps, clip.fps, clip.total, clip.reader)
    prompts = policy.prompts([example, example], [[clip], [other]])
    groups = [completions(policy, p) for p in prompts]
    with torch.no_grad(), policy.encode(prompts) as encoded:
        one, two = policy.logprobs(encoded, [RowSlice(i, g) for i, g in enumerate(groups)])
    assert (one.logprobs - two.logprobs).abs().max() > 1e-3


def test_reading_some_tokens_leaves_the_rest_zero_and_the_read_ones_unchanged():
    policy = tiny_models.policy()
    group = completions(policy, mixed(policy)[0])
    where = torch.zeros_like(group.completion_mask)
    where[0, 2:4] = where[2, 8] = True
    with torch.no_grad(), policy.encode([group.prompt]) as encoded:
        (all_of_it,) = policy.logprobs(encoded, [RowSlice(0, group)])
        (some,) = policy.logprobs(encoded, [RowSlice(0, group)], [where])
    torch.testing.assert_close(some.logprobs, all_of_it.logprobs * where, atol=1e-6, rtol=1e-5)


def test_placeholders_must_equal_features():
    policy = tiny_models.policy()
    group = completions(policy, mixed(policy)[0])
    group.tokens[0, 0] = policy.placeholders[1]
    with policy.encode([group.prompt]) as encoded, pytest.raises(ValueError, match="placeholders: expected"):
        policy.logprobs(encoded, [RowSlice(0, group)])


def test_a_question_that_holds_a_placeholder_is_refused():
    policy = tiny_models.policy()
    example = tiny_models.example(kinds=("image",), question="what is <|video_pad|>")
    with pytest.raises(ValueError, match="example one: expected one placeholder each for"):
        policy.prompts([example], [[tiny_models.image()]])


def test_gradient_checkpointing_changes_nothing():
    def gradient(checkpointing):
        policy = tiny_models.policy(dtype=torch.float64)
        if checkpointing:
            checkpoint_activations(policy.model)
        policy.model.train()
        group = completions(policy, mixed(policy)[0])
        with policy.encode([group.prompt]) as encoded:
            policy.logprobs(encoded, [RowSlice(0, group)])[0].logprobs.sum().backward()
        return policy.model.model.language_model.embed_tokens.weight.grad

    torch.testing.assert_close(gradient(True), gradient(False), atol=1e-12, rtol=1e-10)
