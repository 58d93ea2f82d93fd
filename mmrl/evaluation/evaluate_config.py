"""Evaluation from Python: records, means with intervals, and the table that the terminal shows."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console

from mmrl.config.load import dump
from mmrl.config.schema import EvalConfig, EvaluationSection, ModelSection
from mmrl.evaluation.commands.run import ended, keep_features, opened, started
from mmrl.evaluation.evaluator import evaluate_model
from mmrl.evaluation.records import FAILED, Record
from mmrl.evaluation.run_folder import write_run
from mmrl.evaluation.summary import Summary
from mmrl.evaluation.tables.levels import write_summary
from mmrl.evaluation.tables.terminal import WIDE, summaries_table
from mmrl.models.generic import GenericModel
from mmrl.models.policy import Policy
from mmrl.runtime.files import write_whole
from mmrl.runtime.main_guard import check_main_guard

Model = Policy | GenericModel | str | os.PathLike[str]
MAX_ROWS = 256  # completions that the engine samples at a time, where no EvalConfig says how many


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The results of an evaluation, by the names of its sets."""

    summary: Mapping[str, Summary]  # counts, and `metrics`: by name a mean with its 95 % interval over clusters
    folder: Path | None  # the folder of plan, records and scores; None if they were not kept

    @property
    def records(self) -> dict[str, list[Record]]:
        """Return the records of all completions of each set: item, text, answer, status, scores."""
        return {name: list(one.records) for name, one in self.summary.items()}

    @property
    def failed(self) -> dict[str, list[Record]]:
        """Return the records of questions that could not be asked; they count as 0 in every mean. ``error`` says why."""
        return {name: [one for one in records if one.status in FAILED] for name, records in self.records.items()}

    def table(self) -> str:
        """Return the table that `mmrl eval run` prints, as text without colours."""
        console = Console(width=WIDE, no_color=True, force_terminal=False)
        with console.capture() as capture:
            console.print(summaries_table(self.summary))
        return "\n".join(line.rstrip() for line in capture.get().splitlines())


def evaluate_config(
    model: Model,
    config: EvalConfig | EvaluationSection,
    *,
    out: str | os.PathLike[str] | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Ask a model all questions of a config's sets, grade the answers, and return records and means.

    ``model``: a model from `load_model`, the policy of a run, or a Hugging Face directory or name, which replaces the
    config's. ``config``: an `EvalConfig`, or a section such as ``config.evaluation`` or a training config's ``validation``.
    ``out``: the folder of the records. Without it they go to the config's own folder; for a section they are not kept. A
    folder that holds a part of the same evaluation is completed, so that nothing is asked twice; one that holds another
    evaluation is refused. With a path and an EvalConfig the folder is as `mmrl eval run` writes it, run.json included. The
    model's weights and mode and the random states stay as they are. Raises ConfigError for a config that does not fit, and
    RuntimeError, before anything is loaded, for a script without a main guard. Questions that could not be asked raise
    nothing: see ``Evaluation.failed``.
    """
    section = config.evaluation if isinstance(config, EvalConfig) else config
    if not isinstance(section, EvaluationSection):
        found = type(config).__name__
        raise TypeError(f"config: expected what mmrl.load_eval_config returns, or a section of it, found {found}")
    check_main_guard(section.workers)
    loaded = model if isinstance(model, Policy | GenericModel) else loaded_model(os.fspath(model), config, section)
    max_num_seqs = config.max_num_seqs if isinstance(config, EvalConfig) else MAX_ROWS
    kept = config.out if out is None and isinstance(config, EvalConfig) else out
    stated = None if kept is None else stated_run(model, config, os.fspath(kept))
    with folder_of_records(kept) as folder, recorded_run(stated, folder) as found:
        found |= evaluate_model(loaded, section, folder, max_num_seqs, quiet=quiet)
        write_summary(folder / "summary.json", found, {"condition": section.condition})
    return Evaluation(found, None if kept is None else Path(kept))


def loaded_model(
    path: str, config: EvalConfig | EvaluationSection, section: EvaluationSection
) -> Policy | GenericModel:
    """Return the model of a path, loaded with the settings that the config states."""
    section_of_model = (
        config.model.model_copy(update={"path": path}) if isinstance(config, EvalConfig) else ModelSection(path=path)
    )
    model = opened(section_of_model, section.template, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if isinstance(config, EvalConfig):
        keep_features(model, config)
    return model


def stated_run(model: Model, config: EvalConfig | EvaluationSection, out: str) -> EvalConfig | None:
    """Return a config that states the evaluation completely; None if only a section or a model in memory is given."""
    if isinstance(model, Policy | GenericModel) or not isinstance(config, EvalConfig):
        return None
    named = config.model.model_copy(update={"path": os.fspath(model)})
    return config.model_copy(update={"model": named, "out": out})


@contextmanager
def recorded_run(config: EvalConfig | None, folder: Path) -> Iterator[dict[str, Summary]]:
    """Yield a dict for the summaries; with a config, write run.json and config.yaml as `mmrl eval run` does."""
    found: dict[str, Summary] = {}
    if config is None:
        yield found
        return
    record = started(config, "mmrl.evaluate")
    write_run(folder, record)
    write_whole(folder / "config.yaml", dump(config))
    yield found
    write_run(folder, ended(record, {one.name: one.expect for one in config.evaluation.sets}, folder, {folder: found}))


@contextmanager
def folder_of_records(kept: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield the folder of the records: ``kept``, or without it a temporary one that is deleted at the end."""
    if kept is not None:
        yield Path(kept)
        return
    with TemporaryDirectory(prefix="mmrl_") as scratch:
        yield Path(scratch)
