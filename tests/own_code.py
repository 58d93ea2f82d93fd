"""Code of a user's own in a temporary file, as a new process would find it."""

import sys
from pathlib import Path


def forget() -> None:
    """Let each file be run anew, as in a new process."""
    for name in [name for name in sys.modules if name.startswith("mmrl_user_")]:
        del sys.modules[name]


def own(folder: Path, name: str, code: str) -> str:
    """Write code into a file that is run anew; return its path."""
    path = folder / name
    path.write_text(code)
    forget()
    return str(path)
