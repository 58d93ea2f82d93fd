"""Evaluation of a model on all sets of a config section, for the validation of a training run and for ``mmrl eval run``."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

import mmrl
from mmrl.config.open_data import check_gradable, media_reader, open_set, root_of
from mmrl.config.schema import ConfigError, EvalSetSection, EvaluationSection
from mmrl.data.conditions import change_questions, check_condition, frame_choice_under
from mmrl.data.subtitles import SubtitleReader
from mmrl.evaluation.media_sampler import MediaSampler
from mmrl.evaluation.response_cache import ResponseCache
from mmrl.evaluation.runner import EvaluationJob, evaluate
from mmrl.evaluation.samplers import sampler_of
from mmrl.evaluation.scorers import scorer_of
from mmrl.evaluation.summary import Summary
from mmrl.models.generic import GenericModel, check_chat_template
from mmrl.models.policy import Policy
from mmrl.runtime.console import progress
from mmrl.runtime.files import short_hash
from mmrl.runtime.user_code import code_hashes
from mmrl.types import Example


def evaluate_model(
    model: Policy | GenericModel,
    section: EvaluationSection,
    out: Path,
    max_num_seqs: int,
    quiet: bool = False,
    retry: bool = False,
    keep: Mapping[str, Collection[str]] | None = None,
    responses: ResponseCache | None = None,
) -> dict[str, Summary]:
    """Return a summary of each set of a section; the records lie in ``out/NAME``.

    ``max_num_seqs``: completions that the engine samples at a time. ``retry``: generate failed responses again. ``keep``: by set,
    the ids of the questions to ask, all of which must exist; None asks all. ``responses``: the section's cache, if it is open
    already. The model's weights and mode, and all random states, do not change.
    Raises ValueError for a model without a chat template.
    """
    check_chat_template(model.processor, "the model")
    summaries, scorer = {}, scorer_of(section.graders)
    with open_sampler(model, section, max_num_seqs, responses or responses_of(section)) as sampler:
        for one in section.sets:
            examples, expected, asker = questions(one, section), one.expect, with_subtitles(sampler, one, section)
            if keep is not None:
                examples, expected = [each for each in examples if each.id in keep[one.name]], len(keep[one.name])
            with progress(f"evaluate {one.name}", len(examples) * section.samples, quiet=quiet) as show:
                job = EvaluationJob(
                    one.name, examples, asker, scorer, out / one.name,
                    samples=section.samples, batch=section.batch_size, settings=asker.settings | user_codes(one, section),
                    expected=expected, retry=retry, progress=show,
                )  # fmt: skip
                summaries[one.name] = evaluate(job)
    return summaries


def responses_of(section: EvaluationSection) -> ResponseCache | None:
    """Return the cache of responses that a section names; None if it names none."""
    return None if section.response_cache is None else ResponseCache(Path(section.response_cache))


@contextmanager
def open_sampler(
    model: Policy | GenericModel, section: EvaluationSection, max_num_seqs: int, responses: ResponseCache | None
) -> Iterator[MediaSampler]:
    """Yield the sampler of a model under a section.

    Inside, the model is in evaluation mode and reuses features of media.
    """
    sampler = sampler_of(model, section.template, section.decoding, max_num_seqs)
    settings = settings_of(section, model, sampler.facts)
    shown = section.model_copy(update={"frames": frame_choice_under(section.condition, section.frames)})
    reusing = model.tower.reuse_features(again=True) if isinstance(model, Policy) else nullcontext()
    with media_reader(shown, cache_bytes=2**28) as reader, evaluating(model.model), reusing:
        yield MediaSampler(sampler, reader, section.seed, section.condition, settings, responses)


def settings_of(section: EvaluationSection, model: Policy | GenericModel, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings that decide the texts, for the plan; ``engine`` holds the sampler's own settings."""
    processor = model.processor
    versions = {"mmrl": mmrl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    return {
        "weights": model.weights.record(),
        "pixels": [str(processor.video_processor.size), str(processor.image_processor.size)],
        "chat_template": short_hash(str(processor.chat_template or model.tokenizer.chat_template)),
        "reader": section.reader,
        "template": section.template,
        "decoding": asdict(section.decoding),
        "frames": asdict(section.frames),
        "condition": section.condition,
        "seed": section.seed,
        "engine": dict(engine) | versions,
    }


def user_codes(one: EvalSetSection, section: EvaluationSection) -> dict[str, Any]:
    """Return hashes of the user's code for condition and format, for the plan of a set; empty if there is none."""
    hashes = code_hashes({"condition": section.condition, "format": one.format})
    return {"code": hashes} if hashes else {}


def with_subtitles(sampler: MediaSampler, one: EvalSetSection, section: EvaluationSection) -> MediaSampler:
    """Return the sampler of a set, which adds the set's subtitles.

    Raises ConfigError unless all of their files exist.
    """
    if one.subtitles is None:
        return sampler
    folder = root_of(section) / one.subtitles.folder
    files = len(list(folder.iterdir())) if folder.is_dir() else 0
    if files == 0 or (one.subtitles.expect or files) != files:
        wanted = one.subtitles.expect or "some"
        raise ConfigError(
            f"{one.name}: subtitles: expected {wanted} files in {folder}, found {files}; unpack all of them"
        )
    settings = {**sampler.settings, "subtitles": one.subtitles.folder}
    return replace(sampler, with_subtitles=SubtitleReader(folder, section.template), settings=settings)


def questions(one: EvalSetSection, section: EvaluationSection) -> list[Example]:
    """Return the checked examples of a set under the section's condition."""
    data = open_set(one, root_of(section), "file", section.seed)
    examples = [data.example(i, 0) for i in range(len(data))]
    check_gradable(examples, section.graders.values(), one.name)
    check_condition(section.condition, examples, f"evaluation {one.name!r}")
    return change_questions(section.condition, examples, section.seed)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and back."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
