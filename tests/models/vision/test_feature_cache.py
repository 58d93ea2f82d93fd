"""A frozen tower looks once, and what a cache holds changes no bit; a tower that trains looks anew."""

import pytest
import torch
from torch import nn

from mmrl.models.families import Grid
from mmrl.models.reference import Reference
from mmrl.models.vision.feature_cache import FeatureCache, name_of
from mmrl.models.vision.tower import CacheLevel
from mmrl.runtime.disk_cache import open_disk
from mmrl.runtime.memory_cache import ByteCache
from mmrl.types import EMA, Frozen
from tests import tiny_models
from tests.models.test_reader import FAMILIES, mixed

MEDIA = 5  # in mixed


def frozen(family="qwen2_5_vl", cache=None, part="model.visual.", **options):
    """A policy whose tower, or whatever else the name begins, does not train."""
    policy = tiny_models.policy(family, **options)
    for name, parameter in policy.model.named_parameters():
        parameter.requires_grad_(not name.startswith(part))
    policy.tower.cache = cache
    return policy


class Hook:
    """Counts media through a tower, independently of what it says of itself."""

    def __init__(self, model: nn.Module):
        self.media = self.calls = 0
        model.model.visual.register_forward_pre_hook(self.see, with_kwargs=True)

    def see(self, _, args, options):
        self.calls += 1
        self.media += len(options["grid_thw"] if "grid_thw" in options else args[1])


def features(policy, prompts):
    with torch.no_grad(), policy.tower.encode_prompts(prompts) as encoded:
        return torch.cat(encoded.features)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frozen_tower_makes_of_each_medium_what_it_makes_of_all_together(family):
    moving, still = tiny_models.policy(family, torch.float64), frozen(family, dtype=torch.float64)
    torch.testing.assert_close(features(still, mixed(still)), features(moving, mixed(moving)), atol=1e-6, rtol=1e-6)
    assert (still.work.vision_passes, moving.work.vision_passes) == (MEDIA, MEDIA)


def test_company_changes_no_bit_of_what_a_frozen_tower_says():
    policy = frozen()
    together = features(policy, mixed(policy))
    alone = torch.cat([features(policy, [prompt]) for prompt in mixed(policy)])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("compute", [None, torch.bfloat16], ids=["float32", "bfloat16"])
def test_what_is_found_is_what_was_made_to_the_bit(tmp_path, compute):
    disk, hooks, found = open_disk(tmp_path, 10**7), [], []
    caches = [None, *(FeatureCache(ByteCache(size), disk) for size in (0, 10**6, 10**6))]
    for cache in caches:
        policy = frozen(cache=cache, compute=compute)
        hooks.append(Hook(policy.model))
        found += [features(policy, mixed(policy)) for _ in range(2)]
        assert policy.work.vision_passes == hooks[-1].media
    assert all(torch.equal(found[0], other) for other in found)
    assert [hook.media for hook in hooks] == [2 * MEDIA, MEDIA, 0, 0]
    assert [(cache.hits, cache.tally.hits) for cache in caches[1:]] == [(0, MEDIA), (MEDIA, MEDIA), (MEDIA, MEDIA)]


def test_as_long_as_there_is_the_prompt_nobody_looks_twice():
    policy = frozen()
    prompts, hook = mixed(policy), Hook(policy.model)
    policy.encode_media(prompts)
    for _ in range(3):
        with policy.encode(prompts):  # with gradients, too: none reaches the tower
            pass
    assert hook.media == policy.work.vision_passes == MEDIA


@pytest.mark.parametrize("level", [CacheLevel.FEATURES, CacheLevel.STATES])
def test_what_is_handed_out_is_not_what_is_kept(level):
    policy = frozen(cache=FeatureCache(ByteCache(10**6)))
    policy.tower.fixed_level = level
    prompts = policy.prompts([tiny_models.example(kinds=("video",))], [[tiny_models.clip(1)]]) + mixed(policy)
    expected = features(policy, prompts)
    for asked in (prompts, prompts[:1], prompts):
        with torch.no_grad(), policy.tower.encode_prompts(asked) as encoded:
            for some in encoded.features:
                some.zero_()
    assert torch.equal(features(policy, prompts), expected)


def test_a_reference_with_equal_weights_finds_what_the_policy_saw():
    policy = frozen()
    prompts = mixed(policy)
    features(policy, prompts)
    for update in (Frozen(), EMA(every=1)):
        reference = Reference(policy, update)
        assert reference.tower.cache_level == "features"
        assert torch.equal(features(reference, prompts), features(policy, prompts))
        assert (reference.update_towards(policy, 1) is not None) == isinstance(update, EMA)
        features(reference, prompts)
        assert reference.work.vision_passes == 0


def test_a_frozen_reference_of_a_tower_that_trains_keeps_its_own():
    policy = tiny_models.policy()
    reference, average = Reference(policy, Frozen()), Reference(policy, EMA(every=1))
    prompts = mixed(policy)
    before = features(reference, prompts)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.1)
    average.update_towards(policy, 1)
    assert torch.equal(features(reference, prompts), before)
    assert reference.work.vision_passes == MEDIA
    for _ in range(2):
        assert not torch.allclose(features(average, prompts), before)
        assert not torch.allclose(features(policy, prompts), before)
    assert (average.work.vision_passes, policy.work.vision_passes) == (2 * MEDIA, 2 * MEDIA)


def test_a_tower_that_learns_looks_once_as_long_as_it_is_still(tmp_path):
    policy, disk = tiny_models.policy(), open_disk(tmp_path, 10**7)
    policy.tower.cache = cache = FeatureCache(ByteCache(10**6), disk)
    for _ in range(2):
        with policy.tower.reuse_features(again=True):
            found = [features(policy, mixed(policy)) for _ in range(2)]
            assert policy.work.vision_passes == MEDIA
        assert (policy.tower.cache, policy.tower.cache_level) == (cache, "nothing")
        expected = features(policy, mixed(policy))
        assert policy.work.taken().vision_passes == 2 * MEDIA
        assert torch.equal(*found)
        torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)
        policy.model.model.visual.blocks[0].norm1.weight.data.mul_(2.0)  # leaves no trace
    assert len(cache.memory) == 2 * MEDIA
    assert not disk.entries()


def test_a_frozen_tower_that_is_still_keeps_what_it_kept():
    policy = frozen(cache=FeatureCache(ByteCache(10**6)))
    features(policy, mixed(policy))
    with policy.tower.reuse_features(again=True):
        features(policy, mixed(policy))
    assert (policy.work.vision_passes, policy.tower.cache.hits) == (MEDIA, MEDIA)


def test_weights_that_were_written_to_find_nothing():
    policy = frozen(cache=FeatureCache(ByteCache(10**6)))
    prompts = mixed(policy)
    before = features(policy, prompts)
    with torch.no_grad():
        policy.model.model.visual.merger.mlp[0].bias.add_(1.0)
    after = features(policy, prompts)
    assert not torch.allclose(before, after)
    assert torch.equal(after, features(policy, mixed(policy)))
    assert policy.work.vision_passes == 2 * MEDIA
    policy.model.load_state_dict(tiny_models.policy().model.state_dict())
    assert torch.equal(features(policy, mixed(policy)), before)


def test_a_name_is_of_the_patches_the_grid_the_weights_and_the_arithmetic():
    pixels, grid = torch.arange(8.0).reshape(4, 2), Grid("video", 1, 2, 2)
    other = pixels.clone()
    other[3, 1] += 1e-6
    names = [
        name_of(pixels, grid, "w"), name_of(other, grid, "w"), name_of(pixels, grid, "v"),
        name_of(pixels, Grid("video", 2, 1, 2), "w"), name_of(pixels, Grid("image", 1, 2, 2), "w"),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert name_of(pixels, Grid("video", 1, 2, 2, seconds=3.0), "w") == names[0]  # seconds are for positions
    others = [{}, {"compute": torch.bfloat16}, {"family": "qwen2_vl"}, {"dtype": torch.float64}]
    digests = {tiny_models.policy(**other).tower.weights.digest() for other in others}
    assert len(digests) == 4
    assert tiny_models.policy().tower.weights.digest() in digests


def test_a_damaged_entry_is_seen_again_and_counted(tmp_path):
    disk = open_disk(tmp_path, 10**7)
    first = frozen(cache=FeatureCache(ByteCache(0), disk))
    before = features(first, mixed(first))
    for path, _ in disk.entries()[:2]:
        entry = bytearray(path.read_bytes())
        entry[-1] ^= 1
        path.write_bytes(entry)
    again = frozen(cache=FeatureCache(ByteCache(0), disk))
    assert torch.equal(features(again, mixed(again)), before)
    assert (again.work.vision_passes, again.tower.cache.tally.corrupt) == (2, 2)


def test_a_disk_that_keeps_nothing_is_said_once(tmp_path, caplog):
    policy = frozen(cache=FeatureCache(ByteCache(0), open_disk(tmp_path, 100)))
    features(policy, mixed(policy))
    assert policy.tower.cache.tally.bypassed == MEDIA
    assert len(caplog.records) == 1
    assert "features are not kept on disk: " in caplog.text
