"""``mmrl eval run``: a model on all sets of a config, as they are and under further conditions."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from mmrl.config.load import dump
from mmrl.config.open_data import disk_of
from mmrl.config.open_model import narrow, policy_of
from mmrl.config.schema import ConfigError, EvalConfig, ModelSection
from mmrl.data.conditions import known_condition
from mmrl.evaluation.commands.publish import publish_derived, publish_effects
from mmrl.evaluation.evaluator import evaluate_model, responses_of
from mmrl.evaluation.plan import SAMPLES
from mmrl.evaluation.records import FAILED
from mmrl.evaluation.run_folder import CONDITIONS, RunRecord, write_run
from mmrl.evaluation.summary import Summary
from mmrl.evaluation.tables.levels import write_summary
from mmrl.evaluation.tables.terminal import summaries_table
from mmrl.models.generic import GenericModel, is_generic, load_generic
from mmrl.models.generic_features import cache_features
from mmrl.models.loading import check_directory
from mmrl.models.policy import Policy
from mmrl.models.vision.feature_cache import FeatureCache
from mmrl.runtime.console import console
from mmrl.runtime.files import sha256_of, write_whole
from mmrl.runtime.memory_cache import ByteCache
from mmrl.runtime.provenance import commit, machine

PACKAGES = ("torch", "transformers", "accelerate", "av", "numpy", "tokenizers")


def run(config: EvalConfig, conditions: Sequence[str], retry: bool, command: str) -> tuple[Mapping[str, Summary], int]:
    """Evaluate, write all records and print the tables.

    Return the summaries of the sets under the condition of the config, and the exit status: 1 if a question could not be
    asked.
    """
    out, section = Path(config.out), config.evaluation
    record = started(config, command)
    write_run(out, record)
    write_whole(out / "config.yaml", dump(config))
    further = [known_condition(one) for one in dict.fromkeys(conditions) if one != section.condition]
    folders = {section.condition: out} | {condition: folder_of(out, condition) for condition in further}
    summaries = evaluated(config, folders, retry)
    for condition, folder in folders.items():
        facts = {"model": config.model.path, "commit": record.commit, "machine": record.machine, "condition": condition}
        write_summary(folder / "summary.json", summaries[folder], facts)
        console.print(summaries_table(summaries[folder], None if folder == out else f"\n{condition}"))
    publish_derived(out, summaries[out])
    if "full" in folders and len(folders) > 1:
        publish_effects(out, folders, sorted(summaries[out]))
    write_run(out, ended(record, {one.name: one.expect for one in section.sets}, out, summaries))
    return summaries[out], complain(summaries)


def evaluated(config: EvalConfig, folders: Mapping[str, Path], retry: bool) -> dict[Path, dict[str, Summary]]:
    """Return the summaries of all sets under the given conditions, by the folder of each."""
    section = config.evaluation
    model = opened(config.model, section.template, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    keep_features(model, config)
    responses, summaries = responses_of(section), {}
    for condition, folder in folders.items():
        asked = section.model_copy(update={"condition": condition})
        summaries[folder] = evaluate_model(model, asked, folder, config.max_num_seqs, retry=retry, responses=responses)
    return summaries


def opened(section: ModelSection, template: str, device: torch.device) -> Policy | GenericModel:
    """Return the model of a section: mmrl's own for the families that it trains, else transformers'.

    None of it learns, so that it encodes each medium once for all questions, samples and conditions.
    """
    check_directory(section.path)
    memory = ByteCache(section.feature_cache_bytes)
    if not is_generic(section.path):
        policy = policy_of(section, template, device)
        policy.model.requires_grad_(False)
        policy.tower.cache = FeatureCache(memory)
        return policy
    bounded = [name for name in ("video_pixels", "image_pixels") if getattr(section, name) is not None]
    if bounded:
        raise ConfigError(f"model.{bounded[0]}: expected none, as the processor of this family has sizes of its own")
    compute = narrow(section, device) or torch.float32
    model = load_generic(section.path, template, compute=compute, device=device, attention=section.attn_implementation)
    cache_features(model.model, memory)
    return model


def keep_features(model: Policy | GenericModel, config: EvalConfig) -> None:
    """Cache the features of media on disk, too, if the config names a folder and the model is one of mmrl's own."""
    if isinstance(model, Policy):
        model.tower.cache.disk = disk_of(config.evaluation, "features")


def folder_of(out: Path, condition: str) -> Path:
    """Return the folder of a further condition's records."""
    return out / CONDITIONS / Path(condition).name.replace(":", "-")


def started(config: EvalConfig, command: str) -> RunRecord:
    """Return the content of run.json during the run."""
    packages = {name: version(name) for name in PACKAGES} | {"python": sys.version.split()[0]}
    now, plain = datetime.now(UTC).isoformat(timespec="seconds"), config.model_dump(mode="json")
    return RunRecord(config.model.path, command, commit(), machine(), packages, plain, now)


def ended(
    record: RunRecord, expected: Mapping[str, int | None], out: Path, summaries: Mapping[Path, Mapping[str, Summary]]
) -> RunRecord:
    """Return the content of run.json after the run."""
    folders = {str(folder.relative_to(out)): levels for folder, levels in summaries.items()}
    named = {str(Path(folder, name)): one for folder, levels in folders.items() for name, one in levels.items()}
    return replace(
        record,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        expected={name: expected[Path(name).name] for name in named},
        scored={name: summary.scored for name, summary in named.items()},
        statuses={name: dict(summary.statuses) for name, summary in named.items()},
        sha256={name: sha256_of(out / name / SAMPLES) for name in named},
    )


def complain(summaries: Mapping[Path, Mapping[str, Summary]]) -> int:
    """Print the questions that could not be asked; return 1 if there are any, else 0."""
    status = 0
    for folder, levels in summaries.items():
        for name, summary in levels.items():
            bad = [record for record in summary.records if record.status in FAILED]
            if bad:
                status = 1
                text = f"{folder / name}: {len(bad)} of {summary.n} questions could not be asked and count as wrong; the first: "
                print(f"{text}{bad[0].error}. Mend it and run the same command with --retry.", file=sys.stderr)
    return status
