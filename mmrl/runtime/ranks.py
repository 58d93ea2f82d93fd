"""Communication between processes that train together. A single process is the case of one rank."""

import importlib.util
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, gather_object
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _take_tensors, _unflatten_dense_tensors  # as torch's own DDP does
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

PATIENCE = InitProcessGroupKwargs(timeout=timedelta(days=1))  # ranks wait while rank 0 opens files, validates and saves

BUCKET = 2**26  # bytes of gradients that are summed over ranks at a time


def join(trackers: Sequence[str] = (), folder: Path = Path()) -> Accelerator:
    """Join the processes that a launcher started, on the CPU if there is no accelerator.

    Without ``cpu``, accelerate treats each of several CPU processes as the only one, and each would train the whole run, in
    the same directory. Raises ValueError for a missing tracker, RuntimeError if processes are missing.
    """
    absent = [name for name in trackers if importlib.util.find_spec(name) is None]
    if absent:
        raise ValueError(
            f"trackers: expected installed ones, found {', '.join(absent)} missing: pip install {absent[0]}"
        )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    cpu = launched > 1 and not torch.accelerator.is_available()
    accelerator = Accelerator(
        cpu=cpu, log_with=list(trackers) or None, project_dir=str(folder), kwargs_handlers=[PATIENCE]
    )
    if accelerator.num_processes != launched:
        raise RuntimeError(
            f"ranks: expected {launched} processes that train together, as the launcher started, found "
            f"{accelerator.num_processes}; start them with torchrun --nproc_per_node N -m mmrl train CONFIG"
        )
    return accelerator


class Ranks:
    """The few collectives that training needs, on top of accelerate."""

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.main = self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in the order of ranks."""
        return [value] if self.world == 1 else gather_object([value])

    def names(self, own: Sequence[str]) -> list[str]:
        """Return the sorted names of all ranks, without repetition."""
        return sorted({name for names in self.gather(list(own)) for name in names})

    def sums(self, values: Sequence[int]) -> list[int]:
        """Return each number's sum over the ranks."""
        return [sum(column) for column in zip(*self.gather(list(values)), strict=True)]

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sum gradients over ranks, in buckets. A parameter without a gradient gets zeros, so that the optimizer does not skip
        it for some numbers of ranks only.

        It is a sum and not a mean, because every token's loss weight already refers to the tokens of all ranks. Gradients of
        sharded parameters were summed in the backward pass.
        """
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        unsharded = [p.grad for p in parameters if not isinstance(p, DTensor)]
        for bucket in _take_tensors(unsharded, BUCKET) if self.world > 1 else ():
            dist.all_reduce(flat := _flatten_dense_tensors(bucket))
            for gradient, summed in zip(bucket, _unflatten_dense_tensors(flat, bucket), strict=True):
                gradient.copy_(summed)

    def mesh(self) -> DeviceMesh:
        """Return a one-dimensional mesh of all ranks, for sharding."""
        return init_device_mesh(self.accelerator.device.type, (self.world,))

    def wait(self) -> None:
        """Wait until all ranks have called it."""
        self.accelerator.wait_for_everyone()
