"""Checkpoints: a Hugging Face directory with the trainer's state beside it, written whole or not at all."""

import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mmrl.runtime.files import PARTIAL, REPLACED, settle, whole_directory
from mmrl.runtime.sharding import cut_like

VERSION = 1
NAME = re.compile(r"step-(\d{6,})")  # of a checkpoint's directory; directories of other names are left alone
STATE = "trainer"  # the directory beside the weights


class CheckpointError(ValueError):
    """A checkpoint that does not belong to this run, or is none."""


def write(
    directory: Path,
    save_model: Callable[[Path], None],
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
) -> None:
    """Write a checkpoint, whole or not at all. Raises WriteError where the disk does not take it."""
    with whole_directory(directory) as partial:
        (partial / STATE).mkdir()
        save_model(partial)
        for name, some in tensors.items():
            own = {k: v.detach().cpu().contiguous().clone() for k, v in some.items()}
            save_file(own, partial / STATE / f"{name}.safetensors")
        (partial / STATE / "state.json").write_text(json.dumps({"version": VERSION, **state}, indent=1))


def read(directory: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """The trainer's state and tensors of a checkpoint."""
    state, tensors = read_state(directory), {}
    for file in sorted((directory / STATE).glob("*.safetensors")):
        try:
            tensors[file.stem] = load_file(file)
        except SafetensorError as error:
            raise CheckpointError(
                f"{file}: expected whole tensors, found {error}; resume from an older checkpoint"
            ) from None
    return state, tensors


def read_state(directory: Path) -> dict[str, Any]:
    """The trainer's state without its tensors."""
    path = directory / STATE / "state.json"
    if not path.exists():
        raise CheckpointError(f"{directory}: expected a checkpoint of mmrl, found no {STATE}/state.json in it")
    state = json.loads(path.read_text())
    if state["version"] != VERSION:
        raise CheckpointError(f"{directory}: expected checkpoint version {VERSION}, found {state['version']}")
    return state


def name_of(step: int) -> str:
    """The directory name of a step's checkpoint."""
    return f"step-{step:06d}"


def step_of(path: Path) -> int | None:
    """The step that a directory's name says, or None where it is no name of a checkpoint."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def checkpoints_in(folder: Path) -> list[Path]:
    """The whole checkpoints of a folder, the newest last; steps are compared as numbers, other names left out."""
    for path in folder.glob(f"step-*{REPLACED}"):
        settle(path.with_suffix(""))
    return sorted((path for path in folder.glob("step-*") if path.is_dir() and step_of(path) is not None), key=step_of)


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint."""
    whole = checkpoints_in(folder)
    return whole[-1] if whole else None


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest ``keep``, and what a killed process left half-written."""
    for path in checkpoints_in(folder)[:-keep]:
        shutil.rmtree(path)
    for path in folder.glob(f"step-*{PARTIAL}"):
        if step_of(path.with_suffix("")) is not None:
            shutil.rmtree(path)


def drop_later(folder: Path, step: int) -> None:
    """Delete what was written about steps that a resumed run will take again."""
    for path in checkpoints_in(folder):
        if step_of(path) > step:
            shutil.rmtree(path)


def shapes(model: nn.Module) -> dict[str, list[int]]:
    """What a checkpoint's model must look like for the trainer's state to fit it."""
    return {name: list(p.shape) for name, p in model.named_parameters()}


def same_model(model: nn.Module, recorded: Mapping[str, list[int]], directory: Path) -> None:
    """Raise CheckpointError where the checkpoint is of another model."""
    own = shapes(model)
    wrong = [n for n in sorted(own.keys() | recorded.keys()) if own.get(n) != recorded.get(n)]
    if wrong:
        example = f"{wrong[0]}: expected {own.get(wrong[0])}, found {recorded.get(wrong[0])}"
        raise CheckpointError(
            f"{directory}: a checkpoint of another model; {len(wrong)} parameters differ, the first is {example}"
        )


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    """An optimizer's tensors by parameter name."""
    return {
        f"{key}/{names[p]}": value if isinstance(value, Tensor) else torch.as_tensor(value)
        for p, values in optimizer.state.items()
        for key, value in values.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], tensors: Mapping[str, Tensor]
) -> None:
    """The inverse of ``optimizer_tensors``."""
    parameters = {name: p for p, name in names.items()}
    for key, value in tensors.items():
        kind, name = key.split("/", 1)
        p = parameters[name]
        optimizer.state[p][kind] = value if kind == "step" else cut_like(value.to(p.device, p.dtype), p)


def randomness() -> dict[str, Any]:
    """The global random states. mmrl draws from none of them; a user's reward function may."""
    kind, keys, position, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [kind, keys.tolist(), position, *rest],
        "torch": torch.get_rng_state().tolist(),
    }
    if torch.cuda.is_available():
        state["cuda"] = [s.tolist() for s in torch.cuda.get_rng_state_all()]
    return state


def restore_randomness(state: Mapping[str, Any]) -> None:
    """The inverse of ``randomness``."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if "cuda" in state:
        for device, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):  # there may be fewer now
            torch.cuda.set_rng_state(torch.tensor(one, dtype=torch.uint8), device)
