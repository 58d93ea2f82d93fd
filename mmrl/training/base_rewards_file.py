"""The file of base rewards, which ``mmrl prepare`` writes and algorithms with an offline Z read.

It has one JSON object a line. The first line records the settings that decide the rewards; each further one is an example: its id
and, by the reward's name, the rewards of the base model's completions ("total" is their weighted sum).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmrl.config.schema import Config
from mmrl.evaluation.scorers import code_of
from mmrl.runtime.json_lines import read

Table = Mapping[str, Mapping[str, Tensor]]  # example -> reward -> [n]

REMEDY = "run mmrl prepare with this config"
OF_A_SET = ("format", "file", "media", "options", "prefix")  # its rows' rewards do not depend on other keys


class BaseRewardsError(ValueError):
    """The file of base rewards is missing, is another kind of file, or was made with other settings."""


def facts(config: Config) -> dict[str, Any]:
    """The settings that decide the rewards of an example, without the seed and the number of completions."""
    plain = config.model_dump(mode="json")
    model, data = plain["model"], plain["data"]
    return {
        "model": model["path"],
        "compute": [model["compute"], model["attention"]],
        "pixels": {"video": model["video_pixels"], "image": model["image_pixels"]},
        "sets": [{key: one[key] for key in OF_A_SET} for one in data["sets"]],
        "template": data["template"],
        "frames": data["frames"],
        "reader": data["reader"],
        "decoding": plain["rollout"]["decoding"],
        "rewards": plain["rewards"],
        "code": {name: code_of(reward.grader) for name, reward in config.rewards.items()},
    }


def read_table(path: Path, facts: Mapping[str, Any]) -> Table:
    """Read the rewards. Raises BaseRewardsError if the file is missing or was made with other settings than ``facts``."""
    if not path.is_file():
        raise BaseRewardsError(
            f"prepared: expected a table of what the base model earns, found nothing at {path}; {REMEDY}"
        )
    _, rows = read_rows(path, facts)
    return {row["id"]: {name: torch.tensor(earned) for name, earned in row["rewards"].items()} for row in rows}


def read_rows(path: Path, facts: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the first line and the rows; half a line at the end, as a process that was killed leaves it, is left out.

    Raises BaseRewardsError if the first line records other settings than ``facts``.
    """
    head, *rows = read(path) or [{}]
    made = head.get("made_with")
    if made is None:
        raise BaseRewardsError(
            f"{path}: expected a table of mmrl prepare, found no line about how it was made; {REMEDY}"
        )
    for name in sorted(made.keys() | facts.keys()):
        if made.get(name) != facts.get(name):
            raise BaseRewardsError(
                f"{path}: made with another {name}: expected {facts.get(name)}, found {made.get(name)}; {REMEDY}, into another "
                "file"
            )
    return head, rows
