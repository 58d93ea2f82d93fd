"""Where figures come from: the commit and the machine."""

import platform
import subprocess
from pathlib import Path

import torch

CHANGED = ("status", "--porcelain", "--", ":/", ":(exclude,top)benchmark/results")  # results decide no result


def git(*words: str) -> str | None:
    """Asks git about this checkout; gives None outside of one."""
    done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout.strip()


def commit() -> str:
    """The commit of this checkout, with a plus sign where files other than results differ from it; 'unknown' outside of git."""
    found = git("rev-parse", "--short=12", "HEAD")
    return "unknown" if found is None else found + ("+" if git(*CHANGED) else "")


def machine(gpu: bool = True) -> str:
    """Names what this runs on, in a few words; ``gpu`` False for what leaves a GPU alone."""
    if gpu and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
