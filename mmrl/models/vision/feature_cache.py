"""A cache for the results of a frozen vision tower, in memory and on disk, within size limits.

An entry's name is a digest of everything that decides its numbers: the patches (and so the file, the choice and order of
frames, and the pixel settings), the tower's weights and configuration, and the arithmetic. A tower with other weights finds no
entries; one with equal weights, such as the reference's, finds all of them. If the projector trains, the cache stores the block
states before it, and the digest covers the weights of the blocks only.
"""

import json
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import transformers
from safetensors.torch import load, save
from torch import Tensor, nn

from mmrl.models.families import Grid
from mmrl.runtime.disk_cache import Disk, Tally
from mmrl.runtime.files import sha256
from mmrl.runtime.memory_cache import ByteCache

logger = logging.getLogger(__name__)


@dataclass
class FeatureCache:
    """A cache of tensors by name, in the host's memory and on ``disk`` if that is given. Do not write to its tensors."""

    memory: ByteCache
    disk: Disk | None = None
    hits: int = 0  # requests served from memory
    tally: Tally = field(default_factory=Tally)

    def of(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return the tensor of a name, bit by bit as ``make`` returned it; call ``make`` and store the result if it is missing."""
        cached = self.memory.get(name)
        if cached is not None:
            self.hits += 1
            return cached
        entry = None if self.disk is None else self.disk.get(name, self.tally)
        features = make() if entry is None else load(entry)["features"]
        self.memory.put(name, features)
        if entry is None and self.disk is not None:
            before = self.tally.bypassed
            self.disk.put(name, save({"features": features.contiguous()}), self.tally)
            if self.tally.bypassed > before == 0:
                logger.warning("%s: features are not kept on disk: %s", self.disk.folder, self.tally.reason)
        return features


def arithmetic(tower: nn.Module, compute: torch.dtype | None) -> str:
    """Return, as JSON, everything except the weights that decides a tower's results, including their rounding."""
    device = next(tower.parameters()).device
    facts = {
        "config": tower.config.to_json_string(),
        "attention": tower.config._attn_implementation,
        "compute": str(compute),
        "precision": torch.get_float32_matmul_precision(),
        "versions": f"{torch.__version__} {transformers.__version__}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
    return json.dumps(facts, sort_keys=True)


def memory_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor."""
    return memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())


def name_of(pixels: Tensor, grid: Grid, weights: str) -> str:
    """Return the entry's name for a medium that is encoded by weights with this digest."""
    shape = (grid.kind, grid.frames, grid.height, grid.width, str(pixels.dtype), tuple(pixels.shape))
    return sha256(f"{weights} {shape}", memory_of(pixels))
