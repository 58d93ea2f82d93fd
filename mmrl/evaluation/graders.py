"""Graders by name as the scorer of an evaluation, and what decides its verdicts: the specs and the code behind them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mmrl import rewards, world
from mmrl.config.open_data import grader
from mmrl.evaluation.scoring import DEFAULT, Scorer
from mmrl.rewards.graders import trace
from mmrl.rewards.run_graders import grade_one
from mmrl.runtime.files import short_hash
from mmrl.world.graders import WORLD_GRADERS


def scorer_of(graders: Mapping[str, str], name: str = DEFAULT) -> Scorer:
    """The scorer of metrics, each a grader's name or path.py:function."""
    if not graders:
        raise ValueError("graders: expected one or more metrics, as in accuracy=accuracy; found none")
    found = {metric: grader(spec) for metric, spec in graders.items()}
    facts = {"graders": dict(graders), "code": {metric: code_of(spec) for metric, spec in graders.items()}}
    return Scorer(partial(grade_one, graders=found), trace, name, facts)


def code_of(spec: str) -> str:
    """A fingerprint of the code that a grader is made of: its file, or the room that it comes from."""
    own, sign, _ = spec.rpartition(":")
    if sign:
        return fingerprint([Path(own)])
    return fingerprint(sorted(Path((world if spec in WORLD_GRADERS else rewards).__file__).parent.rglob("*.py")))


def fingerprint(paths: list[Path]) -> str:
    """Enough of SHA-256 over some files to tell versions apart."""
    return short_hash(*(part for path in paths for part in (path.name, path.read_bytes())))
