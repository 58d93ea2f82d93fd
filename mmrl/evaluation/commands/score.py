"""``mmrl eval score``: new verdicts on recorded responses, without a model and without data."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmrl.evaluation.run_folder import sets_of, summary_of
from mmrl.evaluation.scorers import scorer_of
from mmrl.evaluation.scoring import DEFAULT, score, verdicts_path
from mmrl.evaluation.tables.levels import write_summary
from mmrl.evaluation.tables.terminal import summaries_table
from mmrl.runtime.console import console


def rescore(folder: Path, specs: Sequence[str], name: str) -> None:
    """Score all sets in a folder, by the given graders or by the present code of the run's; write and print the results."""
    levels = {}
    for at, out in sets_of(folder).items():
        scorer = scorer_of(dict(map(parted, specs)) if specs else graders_of(out), name)
        levels[at] = summary_of(out, score(out, scorer, anew=True))
    write_summary(folder / f"summary.{name}.json", levels, {"scorer": name})
    console.print(summaries_table(levels, f"Scored by {name}"))


def parted(spec: str) -> tuple[str, str]:
    """Split metric=grader. Raises ValueError for anything else."""
    metric, sign, grader = spec.partition("=")
    if not (sign and metric and grader):
        raise ValueError(f"eval score: expected metric=grader, as in strict=accuracy, found {spec!r}")
    return metric, grader


def graders_of(out: Path) -> Mapping[str, str]:
    """Return the graders that the run came with. Raises ValueError if they are not on record."""
    path = verdicts_path(out, DEFAULT).with_suffix(".json")
    facts = json.loads(path.read_text()) if path.exists() else {}
    if "graders" not in facts:
        raise ValueError(
            f"{out}: expected graders, as in strict=accuracy, as none are on record here; found none given"
        )
    return facts["graders"]
