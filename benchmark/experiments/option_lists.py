"""Several seeds, or strengths of a cue, as a command line states them."""

import re

PART = r"\d+(-\d+)?"
SEVERAL = re.compile(rf"{PART}(,{PART})*")


def numbers(text: str) -> list[int]:
    """Return the numbers of "0-4,7", each once, in the order stated. Raises ValueError for anything else."""
    if not SEVERAL.fullmatch(text):
        raise ValueError(f"--seeds: expected numbers and ranges as in 0-4,7; found {text!r}")
    found: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise ValueError(f"--seeds: expected the smaller number first, found {part!r}")
        found |= dict.fromkeys(range(int(first), int(last or first) + 1))
    return list(found)


def strengths(text: str) -> list[float]:
    """Return the numbers of "0.25,0.5". Raises ValueError for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--strengths: expected numbers as in 0.25,0.5; found {text!r}") from None
