"""Digests of weights: two models with the same digest have the same weights, bit by bit."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn

from mmrl.runtime.files import short_hash
from mmrl.runtime.sharding import is_sharded

CHUNK = 2**22  # elements summed at a time
PRIME = 65521


@torch.no_grad()
def digest(tensors: Iterable[tuple[str, Tensor]], facts: str = "") -> str:
    """Hash facts, names, shapes, types and two sums over the bits of all elements, computed on the tensor's own device."""
    lines = (f"{name}{tuple(t.shape)}{t.dtype}{sums(t.detach().flatten())}" for name, t in tensors)
    return short_hash(facts, *lines)


def sums(flat: Tensor) -> tuple[int, int]:
    """Sum all elements' bits, and bits times index (modulo a prime), in wrapping 64-bit integers."""
    kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
    plain = weighted = 0
    for start in range(0, len(flat), CHUNK):
        bits = flat[start : start + CHUNK].contiguous().view(kind).long()
        indices = torch.arange(start, start + len(bits), device=bits.device) % PRIME + 1
        plain, weighted = plain + int(bits.sum()), weighted + int((bits * indices).sum())
    return plain, weighted


@dataclass
class Fingerprint:
    """Cache the digest of a module's weights until they change.

    torch's version counters show that a weight was replaced or written to. They do not count writes through ``.data``, by
    fused optimizers or to shards (which come and go while layers are gathered): after such a write, call ``forget``.
    """

    module: nn.Module
    without: tuple[str, ...] = ()  # prefixes of parameter names that are left out
    buffers: bool = False  # True includes buffers
    facts: Callable[[], str] = str  # returns a description of everything else that decides the module's outputs
    known: str = ""
    versions: dict[int, tuple[Tensor, int]] = field(
        default_factory=dict
    )  # version counters when the digest was computed

    def digest(self) -> str:
        """Return the digest; compute it again if a weight has changed."""
        now = self.read_versions()
        if not self.known or now != self.versions:
            self.known, self.versions = digest(self.tensors(), self.facts()), now
        return self.known

    def record(self) -> str:
        """Return a digest for a record; it is computed again if any weight is sharded or trainable."""
        if is_sharded(self.module) or any(parameter.requires_grad for parameter in self.module.parameters()):
            self.forget()
        return self.digest()

    def name(self, key: str) -> None:
        """Use a unique throw-away key instead of hashing the weights, until they change."""
        self.known, self.versions = key, self.read_versions()

    def forget(self) -> None:
        """Discard the cached digest; call it after a write that no version counter shows."""
        self.known = ""

    def read_versions(self) -> dict[int, tuple[Tensor, int]]:
        """Return each tensor's version counter by its id; empty for sharded modules.

        The tensors are stored too, so that no id is used again.
        """
        return {} if is_sharded(self.module) else {id(t): (t, t._version) for _, t in self.tensors()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the names and tensors that the digest covers."""
        buffers = self.module.named_buffers() if self.buffers else ()
        named = chain(self.module.named_parameters(), buffers)
        return ((name, tensor) for name, tensor in named if not name.startswith(self.without))
