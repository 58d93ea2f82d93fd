"""Both arms at the same time: one process and one thread each, watched by their metrics."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from mmrl.cli.quickstart.settings import NAMES
from mmrl.config.load import dump
from mmrl.config.schema import Config
from mmrl.report import read_metrics
from mmrl.runtime.console import Show, side_by_side
from mmrl.runtime.files import write_whole
from mmrl.training.checkpoint import latest

ALONE = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # without a GPU: the same numbers wherever this runs
LOG = "log.txt"  # takes what an arm prints
LOOK_EVERY = 0.5  # seconds
PATIENCE = 20.0  # seconds that an arm is given to end after it was told to
TAIL = 20  # lines of a log
WINDOW = 10  # steps over which the accuracy on the progress line is a mean


@dataclass
class Arm:
    """A training that is going on."""

    name: str
    folder: Path
    process: subprocess.Popen
    show: Show
    done: int = 0

    def look(self) -> bool:
        """Show how far it is; whether it is still going on. Raises RuntimeError where it failed."""
        status = self.process.poll()
        rows = read_metrics(self.folder / "metrics.jsonl")
        if len(rows) > self.done:
            self.done = len(rows)
            recent = [row["rewards/accuracy/mean"] for row in rows[-WINDOW:]]
            self.show(self.done, f"accuracy {sum(recent) / len(recent):.2f}")
        if status:
            log = self.folder / LOG
            raise RuntimeError(
                f"{NAMES[self.name]}: training ended with status {status}, and the other arm does not go on. "
                f"The end of {log}:\n{log_tail(log)}"
            )
        return status is None


def train_arms(configs: Mapping[str, Config]) -> dict[str, Path]:
    """Train all arms; the last checkpoint of each. Where one fails, or somebody stops this process, none goes on."""
    with ExitStack() as stack:
        stack.enter_context(stopped_in_order())
        shows = stack.enter_context(side_by_side({NAMES[arm]: config.steps for arm, config in configs.items()}))
        arms = [
            Arm(name, Path(config.out), stack.enter_context(started(name, config)), show)
            for (name, config), show in zip(configs.items(), shows, strict=True)
        ]
        while any([arm.look() for arm in arms]):  # a list: all of them are looked at
            sleep(LOOK_EVERY)
    return {arm.name: last_checkpoint(arm.folder) for arm in arms}


@contextmanager
def started(name: str, config: Config) -> Iterator[subprocess.Popen]:
    """``mmrl train`` in a process of its own, which does not outlive the block."""
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".yaml")
    write_whole(path, f"# mmrl train {path}\n# {NAMES[name]}, as `mmrl quickstart` trained it\n{dump(config)}")
    command = [sys.executable, "-m", "mmrl", "train", str(path)]
    with (folder / LOG).open("w") as log:
        process = subprocess.Popen(command, env=os.environ | ALONE, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        end_process(process)


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """A SIGTERM leaves the block as an exception, as Ctrl-C does, so that what was started in it is ended, too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_process(process: subprocess.Popen) -> None:
    """Ask a process to end, and make it end if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def log_tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])


def last_checkpoint(folder: Path) -> Path:
    """Return the last checkpoint of an arm."""
    found = latest(folder / "checkpoints")
    assert found is not None, f"{folder}: a training that ended well has a checkpoint"
    return found
