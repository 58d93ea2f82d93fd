"""Paths as results state them."""

from pathlib import Path

import benchmark

ROOT = Path(benchmark.__file__).parents[1]  # of the repository


def told(path: Path) -> str:
    """From the repository's root; outside of it the name alone, as nobody else has this machine's directories."""
    whole = path.resolve()
    return str(whole.relative_to(ROOT)) if whole.is_relative_to(ROOT) else whole.name
