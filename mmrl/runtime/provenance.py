"""Where figures come from: the commit and the machine."""

import platform
import subprocess
from functools import partial
from pathlib import Path

import torch

CHANGED = [
    "git",
    "status",
    "--porcelain",
    "--",
    ":/",
    ":(exclude,top)benchmark/results",
]  # results decide no result


def commit() -> str:
    """The commit of this checkout, with a plus sign where files other than results differ from it; 'unknown' outside of git."""
    here = Path(__file__).parent
    run = partial(subprocess.run, cwd=here, capture_output=True, text=True, check=False)
    found = run(["git", "rev-parse", "--short=12", "HEAD"])
    if found.returncode:
        return "unknown"
    return found.stdout.strip() + ("+" if run(CHANGED).stdout.strip() else "")


def machine(gpu: bool = True) -> str:
    """What this runs on, in a few words; ``gpu`` False for what leaves a GPU alone."""
    if gpu and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
