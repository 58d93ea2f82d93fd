"""Digests of weights: models with one digest hold the same numbers, to the bit."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn

from mmrl.runtime.files import short_hash
from mmrl.runtime.sharding import is_sharded

CHUNK = 2**22  # elements that are summed at a time
PRIME = 65521


@torch.no_grad()
def digest(tensors: Iterable[tuple[str, Tensor]], facts: str = "") -> str:
    """Hashes facts, names, shapes, types and two sums over the bits of every element, computed where a tensor lies."""
    lines = (f"{name}{tuple(t.shape)}{t.dtype}{sums(t.detach().flatten())}" for name, t in tensors)
    return short_hash(facts, *lines)


def sums(flat: Tensor) -> tuple[int, int]:
    """Sums all elements' bits, and bits times place (modulo a prime), in wrapping 64-bit integers."""
    kind = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
    plain = weighted = 0
    for start in range(0, len(flat), CHUNK):
        bits = flat[start : start + CHUNK].contiguous().view(kind).long()
        places = torch.arange(start, start + len(bits), device=bits.device) % PRIME + 1
        plain, weighted = plain + int(bits.sum()), weighted + int((bits * places).sum())
    return plain, weighted


@dataclass
class Fingerprint:
    """Keeps the digest of a module's weights for as long as nobody writes to them.

    It notices that a weight was replaced or written to, by torch's count of writes. ``.data`` and fused optimizers are
    not counted, and neither are writes to shards, which come and go while layers are gathered: whoever writes so calls
    ``forget``.
    """

    module: nn.Module
    without: tuple[str, ...] = ()  # beginnings of the names that are left out
    buffers: bool = False  # True includes buffers
    facts: Callable[[], str] = str  # describes what else decides the module's numbers
    known: str = ""
    versions: dict[int, tuple[Tensor, int]] = field(default_factory=dict)  # of the weights when the digest was computed

    def digest(self) -> str:
        """Gives the digest; computes it again if a weight was written to since."""
        now = self.read_versions()
        if not self.known or now != self.versions:
            self.known, self.versions = digest(self.tensors(), self.facts()), now
        return self.known

    def record(self) -> str:
        """Gives a digest to write down: computed again if any weight is in shards or may be trained."""
        if is_sharded(self.module) or any(parameter.requires_grad for parameter in self.module.parameters()):
            self.forget()
        return self.digest()

    def name(self, key: str) -> None:
        """Uses a unique throw-away key instead of hashing the weights, until they are written to."""
        self.known, self.versions = key, self.read_versions()

    def forget(self) -> None:
        """Must be called after a write that leaves no trace."""
        self.known = ""

    def read_versions(self) -> dict[int, tuple[Tensor, int]]:
        """Counts the writes to each tensor, by its id, which is its own as long as it is kept here; gives nothing for shards."""
        return {} if is_sharded(self.module) else {id(t): (t, t._version) for _, t in self.tensors()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Lists the tensors that the digest is of, by name."""
        buffers = self.module.named_buffers() if self.buffers else ()
        named = chain(self.module.named_parameters(), buffers)
        return ((name, tensor) for name, tensor in named if not name.startswith(self.without))
