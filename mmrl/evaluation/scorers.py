"""The scorer of an evaluation, made of graders by name, and the fingerprint of the code that decides its verdicts."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mmrl import rewards, world
from mmrl.config.open_data import grader
from mmrl.evaluation.scoring import DEFAULT, Scorer
from mmrl.rewards.graders import trace
from mmrl.rewards.run_graders import grade_one
from mmrl.runtime import user_code
from mmrl.runtime.files import short_hash
from mmrl.runtime.user_code import is_spec
from mmrl.world.graders import WORLD_GRADERS


def scorer_of(graders: Mapping[str, str], name: str = DEFAULT) -> Scorer:
    """Return the scorer of metrics, each with a grader's name or path.py:function.

    Raises ValueError without metrics.
    """
    if not graders:
        raise ValueError("graders: expected one or more metrics, as in accuracy=accuracy; found none")
    by_metric = {metric: grader(spec) for metric, spec in graders.items()}
    facts = {"graders": dict(graders), "code": {metric: code_of(spec) for metric, spec in graders.items()}}
    return Scorer(partial(grade_one, graders=by_metric), trace, name, facts)


def code_of(spec: str) -> str:
    """Return a short hash of a grader's code: its file, or all files of its package."""
    if is_spec(spec):
        return user_code.code_hash(spec)
    room = world if spec in WORLD_GRADERS else rewards
    files = sorted(Path(str(room.__file__)).parent.rglob("*.py"))
    return short_hash(*(path.name.encode() + path.read_bytes() for path in files))
