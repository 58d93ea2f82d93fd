"""The checkpoint of a run that a validation metric liked most, as a model directory that pruning leaves alone."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from mmrl.runtime.files import settle, whole_directory
from mmrl.training.checkpoint import STATE

FOLDER, FACTS = "best", "best.json"


@dataclass(frozen=True, slots=True)
class Best:
    """What the kept checkpoint is."""

    step: int
    metric: str  # SET/METRIC
    value: float


def read(run: Path) -> Best | None:
    """The best of a run so far."""
    settle(run / FOLDER)
    path = run / FOLDER / FACTS
    return Best(**json.loads(path.read_text())) if path.exists() else None


def improves(run: Path, metric: str, value: float) -> bool:
    """Whether this is more than ever; the earlier of two equals stays. What was best by another metric is no rival."""
    before = read(run)
    return before is None or before.metric != metric or value > before.value


def keep(run: Path, checkpoint: Path, best: Best) -> None:
    """Copy the model of a checkpoint, whole or not at all; the trainer's state stays behind."""
    with whole_directory(run / FOLDER) as partial:
        shutil.copytree(checkpoint, partial, ignore=shutil.ignore_patterns(STATE), dirs_exist_ok=True)
        (partial / FACTS).write_text(json.dumps(asdict(best), indent=1) + "\n")


def drop_later(run: Path, step: int) -> None:
    """Forget a best of steps that a resumed run will take again."""
    before = read(run)
    if before is not None and before.step > step:
        shutil.rmtree(run / FOLDER)
