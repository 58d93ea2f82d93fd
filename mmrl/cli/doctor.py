"""``mmrl doctor``: check devices, dtypes, attention, video readers and extras by trying them."""

import importlib.metadata
import importlib.util
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.markup import escape
from rich.table import Table

from mmrl.data.media.frame_choice import FrameChoice
from mmrl.data.media.video import MediaError, decode
from mmrl.runtime.console import console

PACKAGES = ("torch", "torchvision", "transformers", "accelerate", "decord", "av", "einops", "safetensors", "flash-attn")
EXTRAS = {"eval": ("rouge_score", "jiwer", "pysubs2"), "dev": ("pytest", "beartype"), "flash": ("flash_attn",)}
TRACKERS = ("tensorboard", "wandb", "trackio", "swanlab")
Verdict = Literal["ok", "missing", "broken"]
COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the report. ``needed`` is True if mmrl cannot work without it."""

    what: str
    verdict: Verdict
    detail: str
    needed: bool = False


def diagnoses() -> Iterator[Diagnosis]:
    """Yield all diagnoses in the order of the report."""
    yield Diagnosis("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    yield from map(package, PACKAGES)
    yield from devices()
    yield from precisions()
    yield from attentions()
    yield from map(video_reader, ("decord", "pyav"))
    yield from (option(f"tracker {name}", (name,), f"pip install {name}") for name in TRACKERS)
    yield from (option(f"extra {name}", modules, f"pip install mmrl[{name}]") for name, modules in EXTRAS.items())


def package(name: str) -> Diagnosis:
    """Diagnose a package by its version."""
    needed = name not in ("decord", "flash-attn")
    try:
        return Diagnosis(name, "ok", importlib.metadata.version(name), needed)
    except importlib.metadata.PackageNotFoundError:
        return Diagnosis(name, "missing", "not installed", needed)


def devices() -> Iterator[Diagnosis]:
    """Yield the devices that can compute."""
    yield Diagnosis("cpu", "ok", f"{torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Diagnosis(f"cuda:{index}", "ok", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        yield Diagnosis("cuda", "missing", "no CUDA device; everything runs on the CPU")


def precisions() -> Iterator[Diagnosis]:
    """Yield whether matrix products work in each dtype, on the device that training would use."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        name = f"{str(dtype).removeprefix('torch.')} on {device}"
        try:
            product = torch.ones(8, 8, dtype=dtype, device=device) @ torch.ones(8, 8, dtype=dtype, device=device)
            yield Diagnosis(name, "ok" if product.sum().item() == 512 else "broken", "matrix product")
        except RuntimeError as error:
            yield Diagnosis(name, "broken", first_line(error))


def attentions() -> Iterator[Diagnosis]:
    """Yield a comparison of each attention back end with the plain formula."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, 16, 32, generator=generator).to(device) for _ in range(3))
    causal = torch.ones(16, 16, device=device).tril().log()
    plain = (q @ k.mT / 32**0.5 + causal).softmax(-1) @ v
    sdpa = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    gap = (plain - sdpa).abs().max().item()
    yield Diagnosis("attention sdpa", "ok" if gap < 1e-5 else "broken", f"differs from eager by {gap:.1e}", needed=True)
    yield flash(q, k, v, plain)


def flash(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, plain: torch.Tensor) -> Diagnosis:
    """Diagnose flash-attn, if it is installed and a CUDA device exists."""
    name = "attention flash_attention_2"
    if importlib.util.find_spec("flash_attn") is None:
        return Diagnosis(name, "missing", "pip install mmrl[flash]; sdpa serves")
    if q.device.type != "cuda":
        return Diagnosis(name, "missing", "installed, but there is no CUDA device")
    try:
        from flash_attn import flash_attn_func
    except ImportError as error:
        return Diagnosis(name, "broken", f"does not load: {error}")
    out = flash_attn_func(*(x.transpose(1, 2).bfloat16() for x in (q, k, v)), causal=True).transpose(1, 2).float()
    gap = (plain - out).abs().max().item()
    return Diagnosis(name, "ok" if gap < 3e-2 else "broken", f"bfloat16 differs from float32 eager by {gap:.1e}")


def video_reader(name: str) -> Diagnosis:
    """Diagnose a video reader by decoding a small generated film, because a reader that can be imported may not work."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mp4"
        try:
            write_film(path)
            clip = decode(path, FrameChoice(count=4), name)
        except (MediaError, ValueError, ImportError) as error:
            verdict = "missing" if name == "decord" else "broken"
            return Diagnosis(f"video {name}", verdict, first_line(error), name == "pyav")
    brightness = clip.frames.mean(axis=(1, 2, 3)).tolist()
    right = brightness == sorted(brightness) and clip.total == 8
    return Diagnosis(f"video {name}", "ok" if right else "broken", f"decoded {len(clip.frames)} of {clip.total} frames")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return str(error).partition("\n")[0] or type(error).__name__


def write_film(path: Path) -> None:
    """Write eight grey frames, each lighter than the one before, as H.264."""
    from mmrl.world.axes import Environment
    from mmrl.world.codec import write_clip

    levels = np.arange(16, 240, 28, dtype=np.uint8)
    write_clip(path, np.broadcast_to(levels[:, None, None, None], (8, 64, 64, 3)), 4, Environment(), tail_start=4)


def option(what: str, modules: Sequence[str], remedy: str) -> Diagnosis:
    """Diagnose an optional dependency: it is installed if all its modules are; else the detail is how to install it."""
    installed = all(importlib.util.find_spec(module) is not None for module in modules)
    return Diagnosis(what, "ok", "installed") if installed else Diagnosis(what, "missing", remedy)


def report() -> bool:
    """Print all diagnoses; return True if nothing is broken and nothing needed is missing."""
    table = Table("what", "", "detail", box=None, pad_edge=False)
    findings = list(diagnoses())
    for f in findings:
        table.add_row(f.what, f"[{COLOURS[f.verdict]}]{f.verdict}[/]", escape(f.detail))
    console.print(table)
    amiss = [f.what for f in findings if f.verdict == "broken" or (f.needed and f.verdict != "ok")]
    console.print(f"[red]amiss: {', '.join(amiss)}[/]" if amiss else "[green]mmrl can train and evaluate here.[/]")
    return not amiss
