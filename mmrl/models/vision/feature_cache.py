"""What a frozen vision tower made of its media, kept in memory and on disk for as long as there is room.

An entry's name is a digest of everything that decides its numbers: the very patches that the tower was fed (so the
file, the frames that were chosen or shuffled, and the pixel settings), the tower's weights and configuration, and the
arithmetic. A tower whose weights differ finds nothing; one whose weights are equal, such as the reference's, finds all.
Where the projector learns, the states before it are kept, and the weights are those of the blocks.
"""

import hashlib
import json
import logging
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import torch
import transformers
from safetensors.torch import load, save
from torch import Tensor, nn

from mmrl.models.families import Grid
from mmrl.runtime.disk_cache import Disk, Tally
from mmrl.runtime.memory_cache import ByteCache
from mmrl.runtime.sharding import is_sharded

logger = logging.getLogger(__name__)


@dataclass
class FeatureCache:
    """Features by name, in the host's memory and, where there is one, on ``disk``. What is handed out is not to be written to."""

    memory: ByteCache
    disk: Disk | None = None
    hits: int = 0  # found in memory
    tally: Tally = field(default_factory=Tally)

    def get(self, name: str) -> Tensor | None:
        """What was put there, to the bit, or None."""
        kept = self.memory.get(name)
        if kept is not None:
            self.hits += 1
            return kept
        entry = None if self.disk is None else self.disk.get(name, self.tally)
        if entry is None:
            return None
        features = load(entry)["features"]
        self.memory.put(name, features)
        return features

    def put(self, name: str, features: Tensor) -> None:
        """Keep it where there is room."""
        self.memory.put(name, features)
        if self.disk is not None:
            before = self.tally.bypassed
            self.disk.put(name, save({"features": features.contiguous()}), self.tally)
            if self.tally.bypassed > before == 0:
                logger.warning("%s: features are not kept on disk: %s", self.disk.folder, self.tally.reason)


@dataclass
class Weights:
    """The digest of a tower's weights and arithmetic, made once for each state of the weights."""

    tower: nn.Module
    compute: torch.dtype | None
    without: tuple[str, ...] = ()  # how the names of those begin that it is not of
    known: str = ""
    since: tuple[tuple[Tensor, int], ...] = ()  # the weights that it is of, and how often each had been written to

    def digest(self) -> str:
        """Made anew where a weight was replaced or written to since (not through ``.data``, which leaves no trace).

        Shards come and go while layers are gathered; they are taken to stay as they are until ``forget`` is called.
        """
        now = self.state()
        if not self.known or not same(now, self.since):
            self.known, self.since = self.made(), now
        return self.known

    def call(self, name: str) -> None:
        """Weights that will not be known again need no digest: a name that was never given is theirs until they are written to."""
        self.known, self.since = name, self.state()

    def state(self) -> tuple[tuple[Tensor, int], ...]:
        """What tells that a weight was written to."""
        return () if is_sharded(self.tower) else tuple((t, t._version) for _, t in self.tensors())

    def forget(self) -> None:
        """The weights were written to."""
        self.known = ""

    def made(self) -> str:
        """From every bit of the weights."""
        hashed = hashlib.sha256()
        hashed.update(json.dumps(self.arithmetic(), sort_keys=True).encode())
        for name, tensor in self.tensors():
            hashed.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            hashed.update(memory_of(tensor.clone()))  # numpy would pin memory that a shard must free
        return hashed.hexdigest()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and buffers that it is of."""
        several = chain(self.tower.named_parameters(), self.tower.named_buffers())
        return ((name, tensor) for name, tensor in several if not name.startswith(self.without))

    def arithmetic(self) -> dict[str, str | int]:
        """What else decides the numbers, down to their rounding."""
        device = next(self.tower.parameters()).device
        return {
            "config": self.tower.config.to_json_string(),
            "attention": self.tower.config._attn_implementation,
            "compute": str(self.compute),
            "precision": torch.get_float32_matmul_precision(),
            "versions": f"{torch.__version__} {transformers.__version__}",
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "processor": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
        }


def same(one: tuple[tuple[Tensor, int], ...], other: tuple[tuple[Tensor, int], ...]) -> bool:
    """Whether these are the same tensors, written to as often."""
    return len(one) == len(other) and all(a is b and m == n for (a, m), (b, n) in zip(one, other, strict=True))


def memory_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor."""
    return memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())


def name_of(pixels: Tensor, grid: Grid, weights: str) -> str:
    """The name of what is kept of a medium."""
    hashed = hashlib.sha256()
    shape = (grid.kind, grid.frames, grid.height, grid.width, str(pixels.dtype), tuple(pixels.shape))
    hashed.update(f"{weights} {shape}".encode())
    hashed.update(memory_of(pixels))
    return hashed.hexdigest()
