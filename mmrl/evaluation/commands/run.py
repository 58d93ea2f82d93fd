"""``mmrl eval run``: a model on all sets of a config, as they are and under further conditions."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from mmrl.config.load import dump
from mmrl.config.open_data import disk_of
from mmrl.config.open_model import narrow, policy_of
from mmrl.config.schema import ConfigError, EvalConfig, ModelSection
from mmrl.data.conditions import known_condition
from mmrl.evaluation.commands.print_derived import publish_derived
from mmrl.evaluation.commands.print_effects import publish_gains
from mmrl.evaluation.evaluator import examine, write_summary
from mmrl.evaluation.plan import SAMPLES
from mmrl.evaluation.records import FAILED
from mmrl.evaluation.run_folder import Run, write_run
from mmrl.evaluation.summary import Summary
from mmrl.evaluation.tables.terminal import summaries_table
from mmrl.models.generic import GenericModel, is_generic, load_generic
from mmrl.models.generic_features import remember
from mmrl.models.loading import check_directory
from mmrl.models.policy import Policy
from mmrl.models.vision.feature_cache import FeatureCache
from mmrl.runtime.console import console
from mmrl.runtime.files import sha256_of, write_whole
from mmrl.runtime.memory_cache import ByteCache
from mmrl.runtime.provenance import commit, machine

PACKAGES = ("torch", "transformers", "accelerate", "av", "numpy", "tokenizers")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: by set, and by folder where there were further conditions."""

    config: EvalConfig
    out: Path
    levels: Mapping[str, Summary]
    status: int  # 1 where a question could not be asked


def run(config: EvalConfig, conditions: Sequence[str], retry: bool, command: str) -> int:
    """Examine, write everything down, print the tables; the exit status: 1 where a question could not be asked."""
    return run_all(config, conditions, retry, command).status


def run_all(config: EvalConfig, conditions: Sequence[str], retry: bool, command: str) -> Finding:
    """The same, with what was found."""
    out = Path(config.out)
    record = started(config, command)
    write_run(out, record)
    write_whole(out / "config.yaml", dump(config))
    found = examined(config, conditions, out, retry)
    sets = {s.name: s.expect for s in config.evaluation.sets}
    for folder, levels in found.items():
        facts = {"model": config.model.path, "commit": record.commit, "machine": record.machine}
        write_summary(folder / "summary.json", levels, facts | {"condition": condition_of(folder, out, config)})
        console.print(summaries_table(levels, None if folder == out else f"\n{condition_of(folder, out, config)}"))
    publish_derived(out, found[out])
    if len(found) > 1:
        publish_gains(out, {condition_of(folder, out, config): folder for folder in found})
    write_run(out, ended(record, sets, out, found))
    return Finding(config, out, found[out], complain(found))


def examined(config: EvalConfig, conditions: Sequence[str], out: Path, retry: bool) -> dict[Path, dict[str, Summary]]:
    """What was found, by folder: the run's own, and one for each further condition."""
    section = config.evaluation
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sections = {out: section}
    for condition in dict.fromkeys(conditions):
        if condition == section.condition:
            continue
        sections[folder_of(out, known_condition(condition))] = section.model_copy(update={"condition": condition})
    model = opened(config.model, section.template, device)
    keep_features(model, config)
    return {folder: examine(model, one, folder, config.max_rows, retry=retry) for folder, one in sections.items()}


def opened(section: ModelSection, template: str, device: torch.device) -> Policy | GenericModel:
    """The model of a section: mmrl's own for the families that it trains, else transformers' as it is.

    Nothing of it learns. So it looks at each medium once, for as many questions, samples and conditions as there are.
    """
    check_directory(section.path)
    memory = ByteCache(section.feature_bytes)
    if not is_generic(section.path):
        policy = policy_of(section, template, device)
        policy.model.requires_grad_(False)
        policy.tower.cache = FeatureCache(memory)
        return policy
    bounded = [name for name in ("video_pixels", "image_pixels") if getattr(section, name) is not None]
    if bounded:
        raise ConfigError(f"model.{bounded[0]}: expected none, as the processor of this family has sizes of its own")
    compute = narrow(section, device) or torch.float32
    plain = load_generic(section.path, template, compute=compute, device=device, attention=section.attention)
    remember(plain.model, memory)
    return plain


def keep_features(model: Policy | GenericModel, config: EvalConfig) -> None:
    """What the tower of one of mmrl's own makes of media is kept on disk, too, where the config names a folder."""
    if isinstance(model, Policy):
        model.tower.cache.disk = disk_of(config.evaluation, "features")


def folder_of(out: Path, condition: str) -> Path:
    """Where a further condition's records lie."""
    return out / "conditions" / condition.replace(":", "-")


def condition_of(folder: Path, out: Path, config: EvalConfig) -> str:
    """The condition of a folder."""
    return config.evaluation.condition if folder == out else folder.name.replace("-", ":")


def started(config: EvalConfig, command: str) -> Run:
    """run.json as it is while the run goes on."""
    packages = {name: version(name) for name in PACKAGES} | {"python": sys.version.split()[0]}
    return Run(config.model.path, command, commit(), machine(), packages, config.model_dump(mode="json"), now())


def ended(
    record: Run, expected: Mapping[str, int | None], out: Path, found: Mapping[Path, Mapping[str, Summary]]
) -> Run:
    """run.json as it is when all is done."""
    flat = {folder / name: summary for folder, levels in found.items() for name, summary in levels.items()}
    named = {str(folder.relative_to(out)): summary for folder, summary in flat.items()}
    return replace(
        record,
        finished=now(),
        expected={name: expected[name.rpartition("/")[2]] for name in named},
        scored={name: summary.scored for name, summary in named.items()},
        statuses={name: dict(summary.statuses) for name, summary in named.items()},
        sha256={str(folder.relative_to(out)): sha256_of(folder / SAMPLES) for folder in flat},
    )


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def complain(found: Mapping[Path, Mapping[str, Summary]]) -> int:
    """Say what could not be asked; 1 if anything."""
    status = 0
    for folder, levels in found.items():
        for name, summary in levels.items():
            bad = [record for record in summary.records if record.status in FAILED]
            if bad:
                status = 1
                text = f"{folder / name}: {len(bad)} of {summary.n} questions could not be asked and count as wrong; the first: "
                print(f"{text}{bad[0].error}. Mend it and run the same command with --retry.", file=sys.stderr)
    return status
