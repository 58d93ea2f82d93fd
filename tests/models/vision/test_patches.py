"""Patches embedded by a product are those of the convolution."""

import copy

import pytest
import torch

from mmrl.models.vision.faster import use_product
from tests import tiny_models


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_5"])
def test_a_product_is_the_convolution(family):
    embed = tiny_models.policy(family, torch.float64).model.model.visual.patch_embed
    patches = torch.randn(12, embed.proj.weight[0].numel(), dtype=torch.float64)

    def results():
        out = embed(patches)
        return out, *torch.autograd.grad(out.sin().sum(), embed.proj.weight)

    theirs = results()
    use_product(type("Tower", (), {"patch_embed": embed}))
    for own, other in zip(results(), theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-12, rtol=1e-12)


def test_a_copy_embeds_with_its_own_weights():
    tower = tiny_models.policy().model.model.visual
    use_product(tower)
    other = copy.deepcopy(tower)
    with torch.no_grad():
        other.patch_embed.proj.weight.zero_()
    patches = torch.randn(4, tower.patch_embed.proj.weight[0].numel())
    assert other.patch_embed(patches).abs().max() == 0
    assert tower.patch_embed(patches).abs().max() > 0
    assert set(other.state_dict()) == set(tower.state_dict())
