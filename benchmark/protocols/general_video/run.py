"""Ask a model the questions of benchmarks, one after the other, and make their tables. What is finished is not asked again."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmark.paths import ROOT
from benchmark.protocols.general_video.lines import lines
from benchmark.protocols.general_video.page import show, write
from benchmark.protocols.general_video.planned import Planned, planned
from benchmark.protocols.general_video.protocols import PROTOCOLS
from benchmark.protocols.general_video.result import Asked, BenchmarkResult
from mmrl.config.load import dump, load
from mmrl.config.schema import ConfigError, EvalConfig
from mmrl.data.conditions import known_condition
from mmrl.data.media.errors import MediaError
from mmrl.evaluation import read_items
from mmrl.evaluation.commands.run import ended, keep_features, opened, started
from mmrl.evaluation.commands.run import folder_of as condition_folder
from mmrl.evaluation.evaluator import evaluate_model, responses_of
from mmrl.evaluation.records import FAILED
from mmrl.evaluation.response_cache import ResponseCache
from mmrl.evaluation.run_folder import write_run
from mmrl.models.generic import GenericModel
from mmrl.models.policy import Policy
from mmrl.runtime.files import write_whole

CONFIGS = ROOT / "configs" / "eval"


def run(asked: Asked) -> int:
    """Run all benchmarks. Return the exit status: 1 where a table is missing or incomplete. An error costs its own benchmark."""
    for name in asked.names:
        if name not in PROTOCOLS:
            raise ConfigError(f"--only: expected some of {', '.join(PROTOCOLS)}, found {name!r}")
    conditions = ["full", *(known_condition(one) for one in asked.conditions if one != "full")]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, section, status = None, None, 0
    for name in asked.names:
        found: list[BenchmarkResult] = []
        try:
            config = config_of(name, asked)
            sets, missing = planned(config.evaluation, asked.partial)
            if config.model != section:  # as a rule once: pixel budgets may differ
                model = None  # not two at a time
                model, section = opened(config.model, config.evaluation.template, device), config.model
            keep_features(model, config)
            responses = responses_of(config.evaluation)
            for condition in conditions:
                found.append(examined(name, condition, config, sets, missing, model, responses, asked))
        except (ValueError, MediaError) as error:
            where = f"{name} ({conditions[len(found)]})" if found else name
            print(f"{where}: {error}\n{where}: no table; what was asked is kept.", file=sys.stderr)
            status = 1
        if found:
            show(found)
            write(folder_of(name, asked) / "table.json", found, asked)
            status = max(status, complain(found))
    return status


def config_of(name: str, asked: Asked) -> EvalConfig:
    """Return the benchmark's config with the command line's model and data."""
    told = [
        f"model.path={asked.model}",
        f"evaluation.root={data_of(name, asked.data)}",
        f"out={folder_of(name, asked)}",
    ]
    return load(EvalConfig, CONFIGS / f"{name}.yaml", [*told, *asked.overrides])


def data_of(name: str, data: Path) -> Path:
    """Return a folder of the benchmark's name, with or without what it is asked with, or else the root itself."""
    bare = name.removesuffix("_subtitles").removesuffix("_questions")
    return next((data / one for one in (name, bare) if (data / one).is_dir()), data)


def folder_of(name: str, asked: Asked) -> Path:
    """Return the folder of a benchmark's records; those of a part of it lie apart."""
    return asked.out / (f"{name}.partial" if asked.partial else name)


def examined(
    name: str,
    condition: str,
    config: EvalConfig,
    sets: Sequence[Planned],
    missing: tuple[str, ...],
    model: Policy | GenericModel,
    responses: ResponseCache | None,
    asked: Asked,
) -> BenchmarkResult:
    """Measure one benchmark under one condition."""
    section = config.evaluation.model_copy(update={"condition": condition})
    out = folder_of(name, asked)
    out = out if condition == "full" else condition_folder(out, condition)
    out.mkdir(parents=True, exist_ok=True)
    record = started(config, f"python -m benchmark general_video {asked.command}")
    write_run(out, record)
    write_whole(out / "config.yaml", dump(config.model_copy(update={"evaluation": section})))
    asked_of = section.model_copy(update={"sets": [one.section for one in sets]})
    keep = {one.section.name: one.keep for one in sets}
    summaries = evaluate_model(
        model, asked_of, out, config.max_num_seqs, retry=asked.retry, keep=keep, responses=responses
    )
    write_run(out, ended(record, {one.name: one.expect for one in section.sets}, out, {out: summaries}))
    answered = [each for summary in summaries.values() for each in summary.records]
    items = {id: item for one in sets for id, item in read_items(out / one.section.name).items()}
    expected = sum(one.expect or 0 for one in section.sets)
    return BenchmarkResult(name, condition, items, answered, lines(PROTOCOLS[name], items, answered), expected, missing)


def complain(found: Sequence[BenchmarkResult]) -> int:
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
