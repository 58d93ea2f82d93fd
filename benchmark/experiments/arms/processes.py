"""Processes side by side, so many at a time; none outlives the program that started them."""

import os
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from benchmark.paths import ROOT
from mmrl.cli.quickstart.train_arms import ALONE, LOOK_EVERY, end_process, stopped_in_order


@dataclass(frozen=True, slots=True)
class Task:
    """A command, and the file that takes what it prints."""

    name: str
    command: Sequence[str]
    log: Path


def run_all(tasks: Sequence[Task], at_once: int, ended: Callable[[Task, int], None]) -> None:
    """Run every task, one thread each; ``ended`` is told of each and of its exit status. Ctrl-C or SIGTERM ends all."""
    going: dict[subprocess.Popen, Task] = {}
    with stopped_in_order():
        try:
            keep_going(deque(tasks), going, at_once, ended)
        finally:
            for process in going:
                end_process(process)


def keep_going(
    waiting: deque[Task], going: dict[subprocess.Popen, Task], at_once: int, ended: Callable[[Task, int], None]
) -> None:
    """Start what waits where there is room, until nothing goes on."""
    while waiting or going:
        while waiting and len(going) < at_once:
            task = waiting.popleft()
            going[started(task)] = task
        for process in [each for each in going if each.poll() is not None]:
            ended(going.pop(process), process.returncode)
        sleep(LOOK_EVERY if going else 0)


def started(task: Task) -> subprocess.Popen:
    """Return the process of a task."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("w") as log:
        return subprocess.Popen(task.command, env=os.environ | ALONE, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
