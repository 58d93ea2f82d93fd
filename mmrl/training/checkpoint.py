"""Checkpoints, and the best model: a Hugging Face directory with the trainer's state in it, written whole or not at all."""

import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from mmrl.runtime.files import PARTIAL, REPLACED, settle, whole_directory
from mmrl.runtime.sharding import SAVED, WHOLE

VERSION = 3  # 2, 3: keys of the recorded config were renamed; 3: hashes of user code
NAME = re.compile(r"step-(\d{6,})")  # name of a checkpoint's directory; other directories are left alone
STATE = "trainer"  # the directory beside the weights
BEST, BEST_FACTS = "best", "best.json"


class CheckpointError(ValueError):
    """The directory is no checkpoint, or belongs to another run."""


def write(
    directory: Path,
    save_model: Callable[[Path], None],
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
) -> None:
    """Write a checkpoint, whole or not at all. Raises WriteError if the disk refuses it."""
    with whole_directory(directory) as partial:
        (partial / STATE).mkdir()
        save_model(partial)
        for name, values in tensors.items():
            own = {k: v.detach().cpu().contiguous().clone() for k, v in values.items()}
            save_file(own, partial / STATE / f"{name}.safetensors")
        (partial / STATE / "state.json").write_text(json.dumps({"version": VERSION, **state}, indent=1))


def read(directory: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Return the trainer's state and tensors of a checkpoint. Raises CheckpointError if it is none, or damaged."""
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
    """Return the trainer's state without its tensors. Raises CheckpointError if there is none, or of another version."""
    path = directory / STATE / "state.json"
    if not path.exists():
        raise CheckpointError(f"{directory}: expected a checkpoint of mmrl, found no {STATE}/state.json in it")
    state = json.loads(path.read_text())
    if state["version"] != VERSION:
        raise CheckpointError(
            f"{directory}: expected checkpoint version {VERSION}, found {state['version']}, of another version of mmrl, whose "
            "config has other keys; go on with that version, or start a new run with another out"
        )
    return state


def name_of(step: int) -> str:
    """Return the directory name of a step's checkpoint."""
    return f"step-{step:06d}"


def step_of(path: Path) -> int | None:
    """Return the step in a directory's name; None if the name is not a checkpoint's."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the whole checkpoints of a folder, the newest last. Steps are compared as numbers; other names do not count."""
    for path in folder.glob(f"step-*{REPLACED}"):
        settle(path.with_suffix(""))
    return sorted((path for path in folder.glob("step-*") if path.is_dir() and step_of(path) is not None), key=step_of)


def latest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint; None if there is none."""
    return next(reversed(checkpoints_in(folder)), None)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints, and half-written ones of a killed process."""
    for path in checkpoints_in(folder)[:-keep]:
        shutil.rmtree(path)
    for path in folder.glob(f"step-*{PARTIAL}"):
        if step_of(path.with_suffix("")) is not None:
            shutil.rmtree(path)


@dataclass(frozen=True, slots=True)
class Best:
    """The step and the value of the best model, by a metric of the validation."""

    step: int
    metric: str  # SET/METRIC
    value: float


def read_best(run: Path) -> Best | None:
    """Return the best model of a run so far; None if there is none."""
    settle(run / BEST)
    path = run / BEST / BEST_FACTS
    return Best(**json.loads(path.read_text())) if path.exists() else None


def improves(run: Path, metric: str, value: float) -> bool:
    """Return True if a value is above the best so far. The earlier of two equals stays; a best by another metric does not count."""
    before = read_best(run)
    return before is None or before.metric != metric or value > before.value


def keep_best(run: Path, checkpoint: Path, best: Best) -> None:
    """Copy the model of a checkpoint, whole or not at all, to ``best``, which pruning leaves alone; the trainer's state is not copied."""
    with whole_directory(run / BEST) as partial:
        shutil.copytree(checkpoint, partial, ignore=shutil.ignore_patterns(STATE), dirs_exist_ok=True)
        (partial / BEST_FACTS).write_text(json.dumps(asdict(best), indent=1) + "\n")


def drop_later(run: Path, step: int) -> None:
    """Delete validations and the best model of steps after ``step``, which a resumed run will take again."""
    for path in checkpoints_in(run / "validation"):
        if step_of(path) > step:
            shutil.rmtree(path)
    best = read_best(run)
    if best is not None and best.step > step:
        shutil.rmtree(run / BEST)


def shapes(model: nn.Module) -> dict[str, list[int]]:
    """Return the shapes of the parameters by name, which must agree for the trainer's state to fit."""
    return {name: list(p.shape) for name, p in model.named_parameters()}


def same_model(model: nn.Module, recorded: Mapping[str, list[int]], directory: Path) -> None:
    """Raise CheckpointError if the checkpoint has parameters of other names or shapes."""
    own = shapes(model)
    wrong = [n for n in sorted(own.keys() | recorded.keys()) if own.get(n) != recorded.get(n)]
    if wrong:
        example = f"{wrong[0]}: expected {own.get(wrong[0])}, found {recorded.get(wrong[0])}"
        raise CheckpointError(
            f"{directory}: a checkpoint of another model; {len(wrong)} parameters differ, the first is {example}"
        )


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's tensors by parameter name, whole on rank 0, none on the others. All ranks must call it."""
    if not optimizer.state:  # torch would take an empty step to make one, and count it
        return {}
    states = get_optimizer_state_dict(model, optimizer, options=SAVED).get("state", {})
    return {f"{key}/{name}": value for name, values in states.items() for key, value in values.items()}


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the tensors of ``optimizer_tensors``, which every rank has read, sharded as the model is. Learning rates stay."""
    if not tensors:
        return
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, name = key.split("/", 1)
        states.setdefault(name, {})[kind] = value
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]
    set_optimizer_state_dict(model, optimizer, {"state": states, "param_groups": groups}, options=WHOLE)


def randomness() -> dict[str, Any]:
    """Return the global random states. mmrl draws from none of them; a user's reward function may."""
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
    """Set the global random states that ``randomness`` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if "cuda" in state:
        for device, saved in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):  # maybe fewer now
            torch.cuda.set_rng_state(torch.tensor(saved, dtype=torch.uint8), device)
