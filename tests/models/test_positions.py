"""M-RoPE positions: numbers worked by hand, and transformers' own where it is right."""

import pytest
import torch

from mmrl.models.families import Grid, positions
from tests import tiny_models


def test_text_resumes_after_the_largest_position_of_a_slow_video():
    # 2 text tokens (0, 1); a video of 3 temporal patches of 1 x 2 merged patches, 2 s apart at 2 positions a second: times
    # 2 + 0, 2 + 4, 2 + 8; then text at 11, although the block is only 2 wide
    got = positions(10, [(2, Grid("video", 3, 2, 4, seconds=2.0))], merge=2, tokens_per_second=2)
    assert got.tolist() == [
        [0, 1, 2, 2, 6, 6, 10, 10, 11, 12],
        [0, 1, 2, 2, 2, 2, 2, 2, 11, 12],
        [0, 1, 2, 3, 2, 3, 2, 3, 11, 12],
    ]


def test_seconds_are_cut_to_whole_positions_after_multiplication():
    # 0.75 s at 2 a second: 0, 1.5 -> 1, 3.0 -> 3
    got = positions(3, [(0, Grid("video", 3, 2, 2, seconds=0.75))], merge=2, tokens_per_second=2)
    assert got[0].tolist() == [0, 1, 3]


def test_without_a_clock_temporal_patches_count_one_by_one():
    got = positions(4, [(0, Grid("video", 3, 2, 2, seconds=9.0))], merge=2, tokens_per_second=None)
    assert got[0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_5"])
def test_transformers_agrees_on_clips_that_are_no_longer_than_wide(family):
    policy = tiny_models.policy(family)
    example = tiny_models.example(kinds=("video", "image", "video"))
    # a temporal patch a second, as 5.17 cuts seconds to whole ones: times 0 and 2 in a block 4 wide
    wide = (28, 112)
    media = [tiny_models.clip(1, size=wide), tiny_models.image(2), tiny_models.clip(3, frames=2, size=wide)]
    (prompt,) = policy.prompts([example], [media])
    ids = prompt.tokens[None]
    kinds = torch.zeros_like(ids)
    for kind, token in zip((1, 2), policy.placeholders, strict=True):
        kinds[ids == token] = kind
    grids = {
        k: [torch.tensor([g.frames, g.height, g.width]) for g in prompt.vision.grids if g.kind == k]
        for k in ("image", "video")
    }
    seconds = torch.tensor([g.seconds for g in prompt.vision.grids if g.kind == "video"])
    options = {"second_per_grid_ts": seconds} if family == "qwen2_5_vl" else {}
    theirs, delta = policy.model.model.get_rope_index(
        ids, kinds, torch.stack(grids["image"]), torch.stack(grids["video"]), **options
    )
    assert torch.equal(theirs[:, 0], prompt.positions)
    assert prompt.next_position == len(prompt.tokens) + int(delta)
