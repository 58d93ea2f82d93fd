"""The projector by itself, which lies between the blocks of a vision tower and the language model.

A Qwen tower ends in a merger, which computes the features of one token from 2 x 2 patches. Qwen3-VL has further mergers in the
middle, one for each further level of its features. A merger processes each token alone. So its inputs, the block states, can be
cached while the mergers train, and each request for features projects them again.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.func import functional_call

from mmrl.models.families import Family
from mmrl.runtime.sharding import full


def mergers(tower: nn.Module, family: Family) -> list[nn.Module]:
    """Return the mergers, one for each level of the features, in the order of the levels."""
    modules = [tower.get_submodule(name.rstrip(".")) for name in parts(family)]
    return [merger for m in modules for merger in (m if isinstance(m, nn.ModuleList) else [m])]


def parts(family: Family) -> tuple[str, ...]:
    """Return the prefixes of the projector's parameter names inside the tower."""
    return tuple(name.removeprefix(family.tower) for name in family.projector)


@contextmanager
def unmerged(tower: nn.Module, family: Family) -> Iterator[None]:
    """Make the tower return its mergers' inputs, ``[v 4*d]`` per level, instead of projected features, inside the block.

    They are in the order of the tokens, because Qwen2.5-VL's tower reorders its merger's output, whose order is by windows.
    """
    all_mergers = mergers(tower, family)
    for merger in all_mergers:
        merger.forward = lambda patches, width=merger.hidden_size: patches.reshape(-1, width)
    try:
        yield
    finally:
        for merger in all_mergers:
            del merger.forward


def projected(
    tower: nn.Module, family: Family, states: Float[Tensor, "v k m"], compute: torch.dtype | None
) -> Float[Tensor, "v k d"]:
    """Compute features from block states; each level passes through its merger.

    Sharded weights are gathered in ``compute``, like those of other layers: all ranks that share them must call it,
    forward and backward.
    """
    patches, levels = len(states) * tower.config.spatial_merge_size**2, []
    for merger, rows in zip(mergers(tower, family), states.unbind(dim=1), strict=True):
        weights = dict(merger.named_parameters())
        for name, weight in weights.items():
            if isinstance(weight, DTensor):
                weights[name] = full(weight).to(compute or weight.dtype)
        levels.append(functional_call(merger, weights, (rows.reshape(patches, -1),)))
    return torch.stack(levels, dim=1)
