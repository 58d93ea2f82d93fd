"""Attention in blocks: the tower's features are those of transformers' own loop."""

import pytest
import torch

from mmrl.models.vision.faster import block_attention, use_blocks
from tests import tiny_models


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_5"])
def test_features_are_those_of_the_untouched_tower(family):
    media = [
        [tiny_models.clip(1, frames=8), tiny_models.image(2, (28, 84)), tiny_models.clip(3, frames=2, size=(84, 56))]
    ]
    example = tiny_models.example(kinds=("video", "image", "video"))
    results = []
    for fast in (False, True):
        policy = tiny_models.policy(family, torch.float64)
        assert policy.model.model.visual.config._attn_implementation == "sdpa"
        if fast:
            use_blocks(policy.model.model.visual)
        (features,) = policy.tower.features(policy.prompts([example], media))
        (gradient,) = torch.autograd.grad(features.pow(2).sum(), policy.model.model.visual.blocks[0].attn.qkv.weight)
        results.append((features, gradient))
    for own, theirs in zip(*results, strict=True):
        torch.testing.assert_close(own, theirs, atol=1e-9, rtol=1e-6)


def test_blocks_of_different_lengths_do_not_see_one_another():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 9, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    got, _ = block_attention(None, q, k, v, cu_seq_lens_q=torch.tensor([0, 4, 4, 6, 9]), scaling=0.5)
    for start, end in ((0, 4), (4, 6), (6, 9)):
        weights = (q[:, :, start:end] @ k[:, :, start:end].mT * 0.5).softmax(-1)
        torch.testing.assert_close(got[:, start:end], (weights @ v[:, :, start:end]).transpose(1, 2))
