"""What the base model earned on each example: the table that ``mmrl prepare`` writes and algorithms with an offline Z read.

One JSON a line. The first says what decided the numbers; each further one is an example: its id and, by reward, what its
completions earned ("total" is their weighted sum).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmrl.config.schema import Config
from mmrl.runtime.json_lines import read as read_json_lines

Table = Mapping[str, Mapping[str, Tensor]]  # example -> reward -> [n]


class PreparedError(ValueError):
    """A table that is none, or that is of other settings."""


def facts(config: Config) -> dict[str, Any]:
    """What decides the numbers of a table, beside the seed and how many completions there are."""
    plain = config.model_dump(mode="json")
    return {
        "model": plain["model"]["path"],
        "template": plain["data"]["template"],
        "frames": plain["data"]["frames"],
        "decoding": plain["rollout"]["decoding"],
        "rewards": plain["rewards"],
    }


def read_table(path: Path, facts: Mapping[str, Any]) -> Table:
    """The table. Raises PreparedError where it is not there or was made with other settings than ``facts``."""
    if not path.is_file():
        raise PreparedError(
            f"prepared: expected a table of what the base model earns, found nothing at {path}; {REMEDY}"
        )
    head, *rows = lines(path)
    same(head, facts, path)
    return {row["id"]: {name: torch.tensor(earned) for name, earned in row["rewards"].items()} for row in rows}


REMEDY = "run mmrl prepare with this config"


def same(head: Mapping[str, Any], facts: Mapping[str, Any], path: Path) -> None:
    """Refuse a table of another model, of other questions or rewards."""
    made = head.get("made_with")
    if made is None:
        raise PreparedError(f"{path}: expected a table of mmrl prepare, found no line about how it was made; {REMEDY}")
    for name in sorted(made.keys() | facts.keys()):
        if made.get(name) != facts.get(name):
            raise PreparedError(
                f"{path}: made with another {name}: expected {facts.get(name)}, found {made.get(name)}; {REMEDY}, into another "
                "file"
            )


def lines(path: Path) -> list[dict[str, Any]]:
    """All rows; half a line at the end, as a process that was killed leaves it, is left out."""
    return read_json_lines(path) or [{}]
