"""The number of questions of each level; fewer are refused, unless a partial look is asked for."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmrl.config.load import load
from mmrl.config.open_data import open_set
from mmrl.config.schema import ConfigError, EvalConfig
from mmrl.evaluation import IncompleteError
from mmrl.world.files import MANIFEST

CONFIG = Path(__file__).parents[3] / "configs" / "eval" / "seed_bench_r1.yaml"
RELEASED = {"L1": 2432, "L2": 923, "L3": 1321}  # rows of the release; L1 and L2 are EgoPlan-Val, L3 is EgoPlan-Bench2
DOMAINS = ("Daily life", "Hobbies", "Recreation", "Work")  # of L3, in the papers' order


def world(root: Path) -> Mapping[str, int] | None:
    """Return the rows of each annotation file where the root is a rendered ProcBench, by its manifest; None for anything else."""
    path = root / MANIFEST
    return json.loads(path.read_text()).get("rows") if path.is_file() else None


def expected(root: Path) -> dict[str, int]:
    """Return how many questions each level must have."""
    rows = world(root)
    if rows is None:
        return dict(RELEASED)
    missing = [level for level in RELEASED if f"validation_{level}" not in rows]
    if missing:
        raise ConfigError(f"{root / MANIFEST}: expected rows of validation_{missing[0]}, found {sorted(rows)}")
    return {level: rows[f"validation_{level}"] for level in RELEASED}


def configured(
    model: str, data: Path, out: Path, partial: int | None, overrides: Sequence[str], path: Path = CONFIG
) -> EvalConfig:
    """Return the config with the command line's model and data, and the counts that there must be."""
    if not data.is_dir():
        raise ConfigError(f"--data: expected a directory with annotations, videos and images, found nothing at {data}")
    told = [f"model.path={model}", f"evaluation.root={data}", f"out={out}"]
    counts = expected(data)
    for number, level in enumerate(RELEASED):
        limit = ["limit", partial] if partial is not None else ["expect", counts[level]]
        told += [f"evaluation.sets.{number}.{limit[0]}={limit[1]}"]
        told += [f"evaluation.sets.{number}.expect=null"] if partial is not None else []
    return load(EvalConfig, path, [*told, *overrides])


def check_counts(config: EvalConfig) -> None:
    """Refuse files with another number of questions, all of them at once, before a model is loaded."""
    root, wrong = Path(config.evaluation.root), []
    for one in config.evaluation.sets:
        found = len(open_set(one, root, "file", config.evaluation.seed))
        if one.expect is not None and found != one.expect:
            wrong.append(f"{one.name}: expected {one.expect:,} questions, found {found:,} in {root / one.file}")
    if wrong:
        raise IncompleteError(
            "\n".join(wrong) + "\nA mean over other questions is another number: complete the files, or take a look "
            "at the first N of each level with --partial N, which its table says."
        )
