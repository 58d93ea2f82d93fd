"""The patch embedding as one matrix product.

transformers calls a convolution whose kernel is as large as the patch, so that it moves nowhere. On a CPU that takes
three times as long (57 ms against 16 for 4,096 patches of 1,176 numbers, forward, one thread).
"""

from types import MethodType

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


def as_product(self: nn.Module, hidden_states: Float[Tensor, "n patch"]) -> Float[Tensor, "n d"]:
    """Embeds patches; a patch's numbers are in the order of the kernel's."""
    weight = self.proj.weight
    return functional.linear(hidden_states.to(weight.dtype), weight.flatten(1), self.proj.bias)


def use_product(tower: nn.Module) -> None:
    """Lets a vision tower embed its patches by ``as_product``. Weights and their names stay as they are."""
    tower.patch_embed.forward = MethodType(as_product, tower.patch_embed)
