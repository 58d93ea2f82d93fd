"""The projector by itself: it stands between the blocks of a vision tower and the language model.

A Qwen tower ends in a merger, which computes one token's features from the 2 x 2 patches that become that token.
Qwen3-VL has further mergers in the middle, one for each further level of its features. A merger takes each token alone. So
its input, the block states, can be kept while the mergers learn, and be projected again whenever features are asked for.
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
    """Lists the mergers, one for each level of the features, in the order of the levels."""
    named = [tower.get_submodule(name.rstrip(".")) for name in parts(family)]
    return [merger for one in named for merger in (one if isinstance(one, nn.ModuleList) else [one])]


def parts(family: Family) -> tuple[str, ...]:
    """Gives the prefixes of the projector's parameter names inside the tower."""
    return tuple(name.removeprefix(family.tower) for name in family.projector)


@contextmanager
def unmerged(tower: nn.Module, family: Family) -> Iterator[None]:
    """Lets the tower put the patches of a token together and project nothing.

    Its features are then its mergers' inputs, ``[v 4*d]`` a level. They are in the order of the tokens, since Qwen2.5-VL's
    tower puts into order whatever its merger gives back window by window.
    """
    several = mergers(tower, family)
    for merger in several:
        merger.forward = lambda patches, width=merger.hidden_size: patches.reshape(-1, width)
    try:
        yield
    finally:
        for merger in several:
            del merger.forward


def projected(
    tower: nn.Module, family: Family, states: Float[Tensor, "v k m"], compute: torch.dtype | None
) -> Float[Tensor, "v k d"]:
    """Computes features from block states: each level through its merger.

    Shards of the weights are gathered, in ``compute``, as those of other layers are: all ranks that share them must
    call it, forward and backward.
    """
    patches, levels = len(states) * tower.config.spatial_merge_size**2, []
    for merger, rows in zip(mergers(tower, family), states.unbind(dim=1), strict=True):
        weights = dict(merger.named_parameters())
        for name, weight in weights.items():
            if isinstance(weight, DTensor):
                weights[name] = full(weight).to(compute or weight.dtype)
        levels.append(functional_call(merger, weights, (rows.reshape(patches, -1),)))
    return torch.stack(levels, dim=1)
