"""Laps, peak memory above what is there anyway, and what passes through the tower and the language model."""

import ctypes
import gc
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Lap:
    """Times something: by the wall's clock, and by the processor time of all threads together."""

    seconds: float
    cpu: float

    @property
    def undisturbed(self) -> float:
        """Gives processor time if one thread did all, so that other processes do not count, else the wall's."""
        return self.cpu if torch.get_num_threads() == 1 and not torch.cuda.is_available() else self.seconds


@dataclass
class Watch:
    """Laps by name."""

    laps: dict[str, list[Lap]] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what is done inside; on a GPU its queue is empty before and after."""
        settle()
        start, cpu = perf_counter(), process_time()
        yield
        settle()
        self.laps.setdefault(name, []).append(Lap(perf_counter() - start, process_time() - cpu))

    def around(self, name: str, call: Callable) -> Callable:
        """Wraps a callable so that each call is timed."""

        def timed(*args, **options):
            with self(name):
                return call(*args, **options)

        return timed

    def join(self, name: str, every: int) -> None:
        """Adds up each ``every`` laps in a row to one."""
        laps = self.laps[name]
        some = [laps[i : i + every] for i in range(0, len(laps), every)]
        self.laps[name] = [Lap(sum(lap.seconds for lap in few), sum(lap.cpu for lap in few)) for few in some]

    def rest(self, name: str, whole: str, parts: Iterable[str]) -> None:
        """Subtracts parts, each of which happens once in a whole, from the laps of the whole."""
        rows = zip(self.laps[whole], *(self.laps[part] for part in parts), strict=True)
        self.laps[name] = [
            Lap(all_.seconds - sum(p.seconds for p in some), all_.cpu - sum(p.cpu for p in some))
            for all_, *some in rows
        ]

    def spreads(self, last: int) -> dict[str, Any]:
        """The last so many laps of every name."""
        return {name: spread(laps[-last:]) for name, laps in self.laps.items()}


def settle() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def spread(laps: Sequence[Lap]) -> dict[str, Any]:
    """Least, middle and most of the wall, and the least of the processor's time."""
    seconds = [lap.seconds for lap in laps]
    return {
        "min": min(seconds),
        "median": median(seconds),
        "max": max(seconds),
        "n": len(seconds),
        "cpu_min": min(lap.cpu for lap in laps),
    }


class Peak:
    """The most memory in use since ``start``, above what was in use then: models, optimizer state, libraries.

    On a CPU the kernel's high-water mark of the resident set (Linux), free memory having been returned first; on a GPU the
    allocator's.
    """

    def start(self) -> None:
        """Starts to measure, above the memory in use now."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
            return
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the mark falls to what is resident
        self.before = resident("VmRSS")

    def above(self, gradients: int) -> int:
        """Bytes, less those of the gradients, which every trainer needs."""
        most = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else resident("VmHWM")
        return most - self.before - gradients


def resident(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status: expected {name}, found none; peak memory is measured on Linux")


def gradient_bytes(model: nn.Module) -> int:
    """Counts the bytes of a gradient for every trained weight."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


@dataclass
class Counts:
    """Counts patches and tokens that passed through models since ``clear``."""

    patches: int = 0  # through the tower
    patches_with_gradient: int = 0
    tokens: int = 0  # through the language model
    tokens_with_gradient: int = 0
    tower_calls: int = 0
    language_calls: int = 0

    def watch(self, model: nn.Module) -> None:
        """Hook a Qwen2.5-VL; several models add up."""
        model.model.visual.register_forward_pre_hook(self.saw, with_kwargs=True)
        model.model.language_model.register_forward_pre_hook(self.read, with_kwargs=True)

    def saw(self, _module: nn.Module, args: tuple, options: dict) -> None:
        pixels = args[0] if args else options["hidden_states"]
        self.tower_calls += 1
        self.patches += len(pixels)
        self.patches_with_gradient += len(pixels) * torch.is_grad_enabled()

    def read(self, _module: nn.Module, args: tuple, options: dict) -> None:
        embedded = options["inputs_embeds"]
        tokens = embedded.shape[0] * embedded.shape[1]
        self.language_calls += 1
        self.tokens += tokens
        self.tokens_with_gradient += tokens * torch.is_grad_enabled()

    def clear(self) -> None:
        """Counts from 0 again."""
        self.__init__()

    def per_step(self, steps: int, patches: int) -> dict[str, float]:
        """Means over steps; passes are in clips of a prompt."""
        return {
            "vision_passes_per_prompt": self.patches / patches / steps,
            "vision_passes_with_gradient": self.patches_with_gradient / patches / steps,
            "forward_tokens": self.tokens / steps,
            "trained_tokens": self.tokens_with_gradient / steps,
            "tower_calls": self.tower_calls / steps,
            "language_calls": self.language_calls / steps,
        }


def surroundings() -> dict[str, Any]:
    """Commit, threads and versions."""
    import transformers

    from mmrl.runtime.provenance import commit

    return {
        "commit": commit(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "processors": os.cpu_count(),
    }
