"""``mmrl eval score``: verdicts anew on what was generated, without a model and without data."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmrl.evaluation.evaluator import write_summary
from mmrl.evaluation.graders import scorer_of
from mmrl.evaluation.run_folder import sets_of
from mmrl.evaluation.scoring import DEFAULT, expected_of, facts_path, score
from mmrl.evaluation.summary import Summary, summarise
from mmrl.evaluation.tables.terminal import summaries_table
from mmrl.runtime.console import console


def rescore(folder: Path, told: Sequence[str], name: str) -> None:
    """Score all sets in a folder, write the summary, print the table."""
    levels = {at: rescored(out, told, name) for at, out in sets_of(folder).items()}
    write_summary(folder / f"summary.{name}.json", levels, {"scorer": name})
    console.print(summaries_table(levels, f"Scored by {name}"))


def rescored(out: Path, told: Sequence[str], name: str) -> Summary:
    """One set, scored again by the graders told, or by those of the run as their code is now."""
    scorer = scorer_of(dict(map(parted, told)) if told else graders_of(out), name)
    title, items, samples = expected_of(out)
    return summarise(title, score(out, scorer, anew=True), items, samples)


def parted(told: str) -> tuple[str, str]:
    """metric=grader in two."""
    metric, sign, spec = told.partition("=")
    if not (sign and metric and spec):
        raise ValueError(f"eval score: expected metric=grader, as in strict=accuracy, found {told!r}")
    return metric, spec


def graders_of(out: Path) -> Mapping[str, str]:
    """The graders that the run came with."""
    path = facts_path(out, DEFAULT)
    facts = json.loads(path.read_text()) if path.exists() else {}
    if "graders" not in facts:
        raise ValueError(f"{out}: expected graders, as in strict=accuracy, as none are on record here; found none told")
    return facts["graders"]
