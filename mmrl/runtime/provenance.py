"""The commit and the machine of a run, for its records."""

import platform
import subprocess
from pathlib import Path

import torch

CHANGED = ("status", "--porcelain", "--", ":/", ":(exclude,top)benchmark/results")  # written results have no influence


def git(*words: str) -> str | None:
    """Run git in this checkout and return its output; None outside of a checkout."""
    done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout.strip()


def commit() -> str:
    """Return this checkout's commit, with a plus sign if files other than results differ from it; 'unknown' outside of git."""
    head = git("rev-parse", "--short=12", "HEAD")
    return "unknown" if head is None else head + ("+" if git(*CHANGED) else "")


def machine(gpu: bool = True) -> str:
    """Return a short description of this machine; pass ``gpu=False`` for work that does not use a GPU."""
    if gpu and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
