"""``mmrl prepare CONFIG`` samples completions of each example with the base model and writes their rewards, which runs read.

These rewards give the normaliser Z of a tilt or a constraint, the moments before training, and the difficulty of an example.
The file has one JSON object a line. The first line records the settings that decide the rewards; each further one is an example:
its id and, by the reward's name, the rewards of the base model's completions ("total" is their weighted sum).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmrl.algorithms import Algorithm
from mmrl.config.open_data import every, graders_of, media_reader, training_data
from mmrl.config.open_model import feature_cache, policy_of
from mmrl.config.schema import Config, ConfigError
from mmrl.data.media.reader import MediaReader
from mmrl.evaluation.scorers import code_of
from mmrl.models.policy import Policy
from mmrl.models.vision.processor_sizes import size_rules
from mmrl.rewards.run_graders import grade_groups
from mmrl.runtime.console import progress
from mmrl.runtime.files import write_whole
from mmrl.runtime.json_lines import append, cut_torn_end, line_of, read
from mmrl.runtime.ranks import Ranks, join
from mmrl.runtime.user_code import code_hashes
from mmrl.training.prompts import load_media
from mmrl.training.rollouts import rollouts_of
from mmrl.types import Example

Table = Mapping[str, Mapping[str, Tensor]]  # example -> reward -> [n]

STEP = -1  # no training step has this number, so that their noise differs
REMEDY = "run mmrl prepare with this config"
OF_A_SET = ("format", "file", "media", "options", "prefix")  # the keys of a set that decide its rewards


class BaseRewardsError(ValueError):
    """The file of base rewards is missing, is another kind of file, or was made with other settings."""


def score_base_model(config: Config, samples: int, quiet: bool = False) -> Path:
    """Write rewards of ``samples`` completions of every example into the file of ``base_rewards``, or continue such a file."""
    if config.base_rewards is None:
        raise ConfigError("base_rewards: expected the file to write; add base_rewards=runs/base.jsonl")
    ranks = Ranks(join())
    if ranks.world > 1:
        raise ConfigError(f"prepare: expected one process, found {ranks.world}")
    path = Path(config.base_rewards)
    done = begin(path, facts(config), samples)
    examples = [e for e in every(training_data(config.data, config.seed)) if e.id not in done]
    policy = policy_of(
        config.model, config.data.template, ranks.accelerator.device, config.rollout.decoding.logit_temperature
    )
    policy.model.requires_grad_(False)  # so that each medium is encoded once, and a run may reuse that
    policy.tower.cache = feature_cache(config)
    reader = media_reader(config.data, config.data.frame_cache_bytes, size_rules(policy.processor))
    with reader, progress("prepare", len(examples), quiet=quiet) as show:
        for count, row in enumerate(rows(config, examples, policy, reader, samples), 1):
            append(path, [row])
            show(count, "")
    return path


def begin(path: Path, made_with: Mapping[str, Any], samples: int) -> set[str]:
    """Begin the file; return the ids of the examples that it already has."""
    if path.is_file():
        head, recorded = read_rows(path, made_with)
        if head["samples"] != samples:
            raise ConfigError(f"--samples: expected {head['samples']}, as {path} was begun with; found {samples}")
        cut_torn_end(path)
        return {row["id"] for row in recorded}
    write_whole(path, line_of({"made_with": {**made_with}, "samples": samples}))
    return set()


def rows(
    config: Config, examples: Sequence[Example], policy: Policy, reader: MediaReader, samples: int
) -> Iterator[dict[str, Any]]:
    """Yield a row for each example whose media can be read."""
    graders = graders_of(config.rewards)
    weights = {name: r.weight for name, r in config.rewards.items()}
    rollout = config.rollout.model_copy(update={"group_size": samples})
    sample = rollouts_of(policy, "policy", rollout, config.seed)
    together = max(1, config.rollout.max_num_seqs // samples)
    for start in range(0, len(examples), together):
        readable, media, bad = load_media(reader, examples[start : start + together])
        if bad and config.data.on_bad_media == "stop":
            raise bad[0]
        groups = sample(policy.prompts(readable, media), STEP)
        for group, earned in zip(groups, grade_groups(groups, graders), strict=True):
            total = sum(weights[name] * reward for name, reward in earned.items())
            earned = {**earned, "total": total}
            plain = {name: reward.tolist() for name, reward in earned.items()}
            yield {"id": group.prompt.example.id, "rewards": plain} | summary(earned, config.algorithm)


def summary(earned: Mapping[str, Tensor], algorithm: Algorithm) -> dict[str, float]:
    """Return numbers that describe an example for people and other programs; a run itself reads the rewards.

    ``pass_rate`` is the fraction k / n of completions with an accuracy (or, without a grader for it, a total) above 0;
    ``difficulty`` is 1 - (k + 1/2) / (n + 1), which differs between 0 of 4 and 0 of 64. The algorithm may add more, such as
    ``log_z`` of its target.
    """
    right = (earned.get("accuracy", earned["total"]) > 0).double()
    rates = {"pass_rate": float(right.mean()), "difficulty": 1 - float((right.sum() + 0.5) / (len(right) + 1))}
    return {**rates, **algorithm.base_metrics(earned)}


def facts(config: Config) -> dict[str, Any]:
    """Return the settings that decide the rewards of an example, without the seed and the number of completions."""
    plain = config.model_dump(mode="json")
    model, data = plain["model"], plain["data"]
    return {
        "model": model["path"],
        "compute": [model["compute_dtype"], model["attn_implementation"]],
        "pixels": {"video": model["video_pixels"], "image": model["image_pixels"]},
        "sets": [{key: one[key] for key in OF_A_SET} for one in data["sets"]],
        "template": data["template"],
        "frames": data["frames"],
        "reader": data["reader"],
        "decoding": plain["rollout"]["decoding"],
        "rewards": {name: {"grader": r.grader, "weight": r.weight} for name, r in config.rewards.items()},
        "code": {name: code_of(reward.grader) for name, reward in config.rewards.items()}
        | code_hashes({"sets": [{"format": one["format"]} for one in data["sets"]]}),
    }


def read_table(path: Path, expected: Mapping[str, Any]) -> Table:
    """Read the rewards. Raises BaseRewardsError if the file is missing or has other settings than ``expected``."""
    if not path.is_file():
        raise BaseRewardsError(
            f"base_rewards: expected a table of what the base model earns, found nothing at {path}; {REMEDY}"
        )
    _, rows = read_rows(path, expected)
    return {row["id"]: {name: torch.tensor(earned) for name, earned in row["rewards"].items()} for row in rows}


def read_rows(path: Path, expected: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read the first line and the rows.

    Raises BaseRewardsError if the first line records other settings than ``expected``.
    """
    head, *rows = read(path) or [{}]
    made = head.get("made_with")
    if made is None:
        raise BaseRewardsError(
            f"{path}: expected a table of mmrl prepare, found no line about how it was made; {REMEDY}"
        )
    for name in sorted(made.keys() | expected.keys()):
        if made.get(name) != expected.get(name):
            raise BaseRewardsError(
                f"{path}: made with another {name}: expected {expected.get(name)}, found {made.get(name)}; {REMEDY}, into another "
                "file"
            )
    return head, rows
