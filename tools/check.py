"""Format, lint, types and tests: what a change must pass. `make check`."""

import subprocess
import sys

COMMANDS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("pyright", "--pythonpath", sys.executable),  # over the rooms that pyproject.toml lists
    ("pytest",),
)


def main() -> int:
    """Run each; stop at the first that fails."""
    for command in COMMANDS:
        print("$", " ".join(command), flush=True)
        status = subprocess.run([sys.executable, "-m", *command], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
