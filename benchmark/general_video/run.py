"""Ask a model the questions of benchmarks, one after the other, and make their tables. What is finished is not asked again."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmark.general_video.lines import Line, lines
from benchmark.general_video.page import show, write
from benchmark.general_video.protocols import PROTOCOLS
from mmrl.answering import Asking
from mmrl.build import policy_of
from mmrl.config import ConfigError, EvalConfig, EvalSetSection, EvaluationSection, dump, load
from mmrl.data.conditions import frames_of, known
from mmrl.data.errors import MediaError
from mmrl.data.paths import inside
from mmrl.evaluate import IncompleteError, Item, Record, evaluate, read_items
from mmrl.evaluate.folders import write_run
from mmrl.evaluate.records import FAILED
from mmrl.evaluations.run import started
from mmrl.examine import evaluating, questions, sampled, settings_of
from mmrl.models.policy import Policy
from mmrl.progress import progress
from mmrl.scorers import scorer_of
from mmrl.sources import media_reader, root_of
from mmrl.types import Example

CONFIGS = Path("configs", "eval")
SHOWN = 5  # missing files named in a message


@dataclass(frozen=True)
class Asked:
    """What the command line said."""

    names: Sequence[str]
    model: str
    data: Path
    out: Path
    conditions: Sequence[str] = ()
    partial: bool = False
    retry: bool = False
    overrides: Sequence[str] = ()
    command: str = ""


@dataclass(frozen=True)
class Found:
    """One benchmark under one condition."""

    name: str
    condition: str
    items: Mapping[str, Item]
    records: Sequence[Record]
    lines: Sequence[Line]
    expected: int  # of the release
    missing: tuple[str, ...] = field(default=())  # what was left out, in words; only with --partial

    @property
    def failed(self) -> int:
        """Questions that could not be asked; they count as wrong."""
        return sum(record.status in FAILED for record in self.records)

    @property
    def partial(self) -> bool:
        """Whether these are fewer items than the release has."""
        return len(self.items) != self.expected


def run(asked: Asked) -> int:
    """All benchmarks; the exit status: 1 where a table is missing or incomplete. An error costs its own benchmark."""
    for name in asked.names:
        if name not in PROTOCOLS:
            raise ConfigError(f"--only: expected some of {', '.join(PROTOCOLS)}, found {name!r}")
    conditions = ["full", *(known(one) for one in asked.conditions if one != "full")]
    policy, status = None, 0
    for name in asked.names:
        try:
            config = config_of(name, asked)
            sets = planned(name, config, asked.partial)
            policy = policy or loaded(config)
            found = [examined(name, condition, config, sets, policy, asked) for condition in conditions]
        except (ConfigError, ValueError, MediaError) as error:
            print(f"{name}: {error}\n{name}: no table; what was asked so far is kept.", file=sys.stderr)
            status = 1
            continue
        show(found)
        write(folder_of(name, asked) / "table.json", found, asked)
        status = max(status, complain(found))
    return status


def config_of(name: str, asked: Asked) -> EvalConfig:
    """The benchmark's config with the command line's model and data; data lie in a folder of the benchmark's name, or in the root."""
    own = asked.data / name
    root = own if own.is_dir() else asked.data
    told = [f"model.path={asked.model}", f"evaluation.root={root}", f"out={folder_of(name, asked)}"]
    return load(EvalConfig, CONFIGS / f"{name}.yaml", [*told, *asked.overrides])


def folder_of(name: str, asked: Asked) -> Path:
    """Where a benchmark's records lie; those of a part of it apart."""
    return asked.out / (f"{name}.partial" if asked.partial else name)


def loaded(config: EvalConfig) -> Policy:
    """The model, once for all benchmarks."""
    return policy_of(
        config.model, config.evaluation.template, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )


@dataclass(frozen=True)
class Planned:
    """What will be asked of a set, and what of it is not there."""

    section: EvalSetSection
    keep: frozenset[str]  # ids
    missing: tuple[str, ...] = ()


def planned(name: str, config: EvalConfig, partial: bool) -> list[Planned]:
    """Look at annotations and media before anything is asked. Raises one error for all that is missing, unless partial."""
    evaluation, sets, absent = config.evaluation, [], []
    root = root_of(evaluation)
    for one in evaluation.sets:
        if not (root / one.file).is_file():
            absent.append(f"the annotation file {root / one.file}")
            continue
        examples = questions(one, evaluation.model_copy(update={"condition": "full"}))
        lost = missing_media(examples, root)
        keep = frozenset(example.id for example in examples if not lost_of(example, lost))
        words = (
            [f"{one.name}: {len(examples)} items where the release has {one.expect}"]
            if len(examples) != one.expect
            else []
        )
        words += [told(one.name, lost, examples)] if lost else []
        absent += words
        if keep:
            sets.append(Planned(one, keep, tuple(words)))
    if absent and not partial:
        raise IncompleteError(
            "; ".join(absent) + ". Complete the data, or say --partial for a table that is labelled so"
        )
    if not sets:
        raise IncompleteError(f"nothing to ask: {'; '.join(absent)}")
    return sets


def missing_media(examples: Sequence[Example], root: Path) -> dict[Path, None]:
    """The files that are not there, in order."""
    paths = dict.fromkeys(media.path for example in examples for media in example.every_media)
    return {path: None for path in paths if not inside(root, path).is_file()}


def lost_of(example: Example, lost: Mapping[Path, None]) -> bool:
    """Whether one of the example's files is missing."""
    return any(media.path in lost for media in example.every_media)


def told(name: str, lost: Mapping[Path, None], examples: Sequence[Example]) -> str:
    """How many files are missing, and the first of them."""
    files = len({media.path for example in examples for media in example.every_media})
    some = ", ".join(str(path) for path in list(lost)[:SHOWN])
    more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
    return f"{name}: {len(lost)} of {files} media files are missing: {some}{more}"


def examined(
    name: str, condition: str, config: EvalConfig, sets: Sequence[Planned], policy: Policy, asked: Asked
) -> Found:
    """One benchmark under one condition."""
    section = config.evaluation.model_copy(update={"condition": condition})
    out = folder_of(name, asked)
    out = out if condition == "full" else out / "conditions" / condition.replace(":", "-")
    out.mkdir(parents=True, exist_ok=True)
    write_run(out, started(config, asked.command))
    (out / "config.yaml").write_text(dump(config.model_copy(update={"evaluation": section})))
    answered = ask_all(section, sets, policy, out, config.max_rows, asked.retry)
    items = {id: item for one in sets for id, item in read_items(out / one.section.name).items()}
    expected = sum(one.expect or 0 for one in section.sets)
    missing = tuple(word for one in sets for word in one.missing)
    return Found(name, condition, items, answered, lines(PROTOCOLS[name], items, answered), expected, missing)


def ask_all(
    section: EvaluationSection, sets: Sequence[Planned], policy: Policy, out: Path, max_rows: int, retry: bool
) -> list[Record]:
    """The records of all sets, those on file and those made now."""
    model = sampled(policy, section.template, section.decoding, max_rows)
    scorer, settings = scorer_of(section.graders), settings_of(section, policy, model.facts)
    seen = section.model_copy(update={"frames": frames_of(section.condition, section.frames)})
    records: list[Record] = []
    with media_reader(seen, cache_bytes=2**28) as reader, evaluating(policy.model):
        ask = Asking(model, reader, section.seed, section.condition, settings)
        for one in sets:
            examples = [example for example in questions(one.section, section) if example.id in one.keep]
            with progress(f"{one.section.name} {section.condition}", len(examples) * section.samples) as bar:
                summary = evaluate(
                    one.section.name, examples, ask, scorer, out / one.section.name, section.samples, section.batch,
                    len(one.keep), lambda done, _, bar=bar: bar(done), settings, retry,
                )  # fmt: skip
            records += summary.records
    return records


def complain(found: Sequence[Found]) -> int:
    """Say what is incomplete; 1 if anything is."""
    status = 0
    for one in found:
        if one.failed:
            first = next(record for record in one.records if record.status in FAILED)
            print(
                f"{one.name} ({one.condition}): {one.failed} of {len(one.records)} questions could not be asked and count as "
                f"wrong; the first: {first.error}. Mend it and run the same command with --retry.",
                file=sys.stderr,
            )
        if one.partial:
            what = "; ".join(one.missing) or "another release"
            print(f"{one.name}: partial, {len(one.items)} of {one.expected} items ({what})", file=sys.stderr)
        status = 1 if one.failed or one.partial else status
    return status
