"""Where only the projector learns, the blocks look once, and features and gradients are those of the whole tower."""

import pytest
import torch

from mmrl.models.proposal import Proposal
from mmrl.models.reference import Reference
from mmrl.models.vision.feature_cache import FeatureCache
from mmrl.models.vision.projector import mergers, unmerged
from mmrl.models.vision.tower import CacheLevel
from mmrl.runtime.disk_cache import open_disk
from mmrl.runtime.memory_cache import ByteCache
from mmrl.types import EMA, Frozen
from tests import tiny_models
from tests.models.test_reader import FAMILIES, mixed
from tests.models.vision.test_feature_cache import MEDIA, features


def learning(family="qwen2_5_vl", cache=None, **options):
    """A policy of whose tower only the projector trains."""
    policy = tiny_models.policy(family, **options)
    for name, parameter in policy.model.named_parameters():
        of_blocks = name.startswith(policy.family.tower) and not name.startswith(policy.family.projector)
        parameter.requires_grad_(not of_blocks)
    policy.tower.cache = cache
    return policy


def alone(policy, kind="video"):
    """A prompt about one medium, of several windows and, if a video, frames."""
    for part in (policy.processor.video_processor, policy.processor.image_processor):
        part.size = {"shortest_edge": 28 * 28, "longest_edge": 10**6}
    medium = tiny_models.clip(3, frames=6, size=(84, 112)) if kind == "video" else tiny_models.image(3, (84, 112))
    prompts = policy.prompts([tiny_models.example(kinds=(kind,))], [[medium]])
    (grid,) = prompts[0].vision.grids
    assert (grid.height, grid.width) == (6, 8)  # in tokens 3 x 4, in Qwen2.5-VL's windows of 2 x 2
    return prompts


class Hook:
    """Counts media and calls through a tower's blocks, and calls of its mergers, independently of what it says of itself."""

    def __init__(self, model):
        self.media = self.blocks = self.merged = 0
        visual = model.model.visual
        visual.register_forward_pre_hook(self.see, with_kwargs=True)
        visual.blocks[-1].register_forward_hook(self.through)
        visual.merger.mlp.register_forward_hook(self.merge)

    def see(self, _, args, options):
        self.media += len(options["grid_thw"] if "grid_thw" in options else args[1])

    def through(self, *_):
        self.blocks += 1

    def merge(self, *_):
        self.merged += 1


def outcome(policy, prompts):
    """Features, and the gradients of a function of them that no two tokens, levels or numbers share."""
    policy.model.zero_grad()
    with policy.tower.encode_prompts(prompts) as encoded:
        whole = torch.cat(encoded.features)
        weights = torch.randn(whole.shape, dtype=whole.dtype, generator=torch.Generator().manual_seed(1))
        (whole.sin() * weights).sum().backward()
    named = policy.model.named_parameters()
    return whole.detach(), {name: p.grad for name, p in named if p.grad is not None and "visual" in name}


@pytest.mark.parametrize("family", FAMILIES)
def test_features_and_gradients_are_those_of_the_whole_tower(exact, family):
    policy = learning(family, dtype=torch.float64, cache=FeatureCache(ByteCache(10**7)))
    for prompts in (mixed(policy), mixed(policy), alone(policy), alone(policy, "image")):
        assert policy.tower.cache_level == "states"
        found, gradients = outcome(policy, prompts)
        policy.tower.fixed_level = CacheLevel.NOTHING
        expected, theirs = outcome(policy, prompts)
        policy.tower.fixed_level = None
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
        assert gradients.keys() == theirs.keys()
        assert {n for n in theirs if not n.startswith(policy.family.projector)} == set()
        for name, gradient in theirs.items():
            assert gradient.any(), name
            torch.testing.assert_close(gradients[name], gradient, atol=1e-10, rtol=1e-10, msg=name)


@pytest.mark.parametrize("compute", [None, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl", "qwen3_5"])
def test_where_tokens_stay_in_order_no_bit_differs(family, compute):
    """Qwen2.5-VL's merger takes windows one after the other, so that sums over tokens are in another order there."""
    policy = learning(family, compute=compute)
    prompts = alone(policy)
    found, gradients = outcome(policy, prompts)
    policy.tower.fixed_level = CacheLevel.NOTHING
    expected, theirs = outcome(policy, prompts)
    assert torch.equal(found, expected)
    assert all(torch.equal(gradients[name], gradient) for name, gradient in theirs.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_projector_is_the_mergers_and_they_are_left_as_they_were(family):
    policy = tiny_models.policy(family)
    visual = policy.model.model.visual
    found = {id(p) for merger in mergers(visual, policy.family) for p in merger.parameters()}
    named = policy.model.named_parameters()
    assert found == {id(p) for name, p in named if name.startswith(policy.family.projector)}
    with pytest.raises(RuntimeError, match="stop"), unmerged(visual, policy.family):
        raise RuntimeError("stop")
    assert not any("forward" in vars(merger) for merger in mergers(visual, policy.family))


def test_what_is_kept_is_so_much_larger_than_features():
    """By hand: 4 patches of width 32 for a token of width 32, at each of a level (Qwen3-VL: three levels)."""
    for family, levels in (("qwen2_5_vl", 1), ("qwen3_vl", 3)):
        policy = learning(family)
        (prompt,) = alone(policy)
        policy.encode_media([prompt])
        (states,) = prompt.vision.cached.values()
        assert states.shape == (prompt.vision.grids[0].tokens(2), levels, 4 * 32)
        with policy.tower.encode_prompts([prompt]) as encoded:
            assert encoded.features[0].shape == (len(states), levels, 32)


@pytest.mark.parametrize("compute", [None, torch.bfloat16], ids=["float32", "bfloat16"])
def test_caches_change_no_bit_and_the_second_run_passes_through_no_block(tmp_path, compute):
    disk, hooks, found = open_disk(tmp_path, 10**7), [], []
    for cache in [None, *(FeatureCache(ByteCache(size), disk) for size in (0, 10**6, 10**6))]:
        policy = learning(cache=cache, compute=compute)
        hooks.append(Hook(policy.model))
        found += [outcome(policy, mixed(policy)) for _ in range(2)]
        assert policy.work.vision_passes == hooks[-1].media == hooks[-1].blocks
    for whole, gradients in found[1:]:
        assert torch.equal(found[0][0], whole)
        assert all(torch.equal(found[0][1][name], gradient) for name, gradient in gradients.items())
    assert [hook.media for hook in hooks] == [2 * MEDIA, MEDIA, 0, 0]


@pytest.mark.parametrize("update", [Frozen(), EMA(decay=0.5, every=1)], ids=["frozen", "ema"])
def test_a_reference_finds_the_policy_s_states_and_runs_its_own_projector(update):
    policy = learning(cache=FeatureCache(ByteCache(10**6)))
    prompts, reference, proposal = mixed(policy), Reference(policy, update), Proposal(policy)
    before = features(policy, prompts)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.1 if parameter.requires_grad else 1.0)
    for other in (reference, proposal):
        assert torch.equal(features(other, prompts), before)
        other.tower.cache = policy.tower.cache
    hook = Hook(reference.model)
    assert (reference.update_towards(policy, 1) is not None) == isinstance(update, EMA)
    found = features(reference, mixed(policy))  # other prompts, the same media: from the cache
    assert torch.equal(found, before) == isinstance(update, Frozen)
    assert not torch.equal(found, features(policy, prompts))
    assert (hook.media, hook.blocks, hook.merged) == (0, 0, 1)
    assert reference.work.vision_passes == proposal.work.vision_passes == 0
    proposal.sync(policy)
    assert torch.equal(features(proposal, prompts), features(policy, prompts))
    assert (policy.work.vision_passes, proposal.work.vision_passes) == (MEDIA, 0)


def test_an_average_whose_blocks_differ_looks_with_its_own_and_again_when_they_move():
    policy = learning(cache=FeatureCache(ByteCache(10**6)))
    reference, prompts = Reference(policy, EMA(decay=0.5, every=1)), mixed(policy)
    reference.tower.cache = policy.tower.cache
    with torch.no_grad():
        reference.model.model.visual.blocks[0].norm1.weight.add_(1.0)
    passes = []
    for _ in range(2):
        features(reference, prompts)
        passes.append(reference.work.vision_passes)
        reference.update_towards(policy, 1)
    assert passes == [MEDIA, 2 * MEDIA]


def test_a_run_of_the_blocks_without_a_projector_is_not_taken_for_its_features():
    policy = learning(cache=FeatureCache(ByteCache(10**6)))
    prompts = mixed(policy)
    expected = features(policy, prompts)
    policy.tower.fixed_level = CacheLevel.FEATURES
    torch.testing.assert_close(features(policy, prompts), expected, atol=1e-5, rtol=1e-5)
    assert policy.work.vision_passes == 2 * MEDIA


def test_something_to_read_for_ranks_in_step_passes_through_the_projector_alone():
    policy = learning()
    hook, group = Hook(policy.model), policy.dummy_group({"video", "image"})
    with policy.tower.encode_prompts([group.prompt]) as encoded:
        assert len(encoded.features[0]) == 2 * 4
    assert (hook.media, hook.blocks, hook.merged) == (0, 0, 1)
