"""Train both arms at the same time, each in one process with one thread, and show their metrics."""

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

ALONE = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # no GPU, so that results are the same on every machine
LOG = "log.txt"  # the file with the output of an arm
LOOK_EVERY = 0.5  # seconds
PATIENCE = 20.0  # seconds that an arm has to end after SIGTERM
TAIL = 20  # lines of a log
WINDOW = 10  # the progress line shows the mean accuracy over so many steps


@dataclass
class Arm:
    """A running training process."""

    name: str
    folder: Path
    process: subprocess.Popen
    show: Show
    done: int = 0

    def update(self) -> bool:
        """Show the progress; return True while the process runs. Raises RuntimeError if it failed."""
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
    """Train all arms; return the last checkpoint of each. If one fails, or this process is stopped, all arms end."""
    with ExitStack() as stack:
        stack.enter_context(stopped_in_order())
        shows = stack.enter_context(side_by_side({NAMES[arm]: config.steps for arm, config in configs.items()}))
        arms = [
            Arm(name, Path(config.out), stack.enter_context(started(name, config)), show)
            for (name, config), show in zip(configs.items(), shows, strict=True)
        ]
        while any([arm.update() for arm in arms]):  # a list, so that all arms are updated
            sleep(LOOK_EVERY)
    return {arm.name: last_checkpoint(arm.folder) for arm in arms}


@contextmanager
def started(name: str, config: Config) -> Iterator[subprocess.Popen]:
    """Start ``mmrl train`` in a process that ends with the block."""
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
    """Convert SIGTERM to an exception inside the block, like Ctrl-C, so that the processes started in it end too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_process(process: subprocess.Popen) -> None:
    """Terminate a process; kill it if it does not end in time."""
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
    checkpoint = latest(folder / "checkpoints")
    assert checkpoint is not None, f"{folder}: a training that ended well has a checkpoint"
    return checkpoint
