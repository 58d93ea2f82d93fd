"""How a model is evaluated: set after set of a section. Training's validation and ``mmrl eval run`` both call this."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from mmrl.config.open_data import check_gradable, media_reader, open_set, root_of
from mmrl.config.schema import ConfigError, EvalSetSection, EvaluationSection
from mmrl.data.conditions import asked, check_condition, frame_choice_under
from mmrl.data.subtitles import Telling
from mmrl.evaluation.media_sampler import MediaSampler
from mmrl.evaluation.response_cache import ResponseCache
from mmrl.evaluation.runner import EvaluationJob, evaluate
from mmrl.evaluation.samplers import sampler_of
from mmrl.evaluation.scorers import scorer_of
from mmrl.evaluation.scoring import Scorer
from mmrl.evaluation.settings import settings_of
from mmrl.evaluation.summary import Summary
from mmrl.models.generic import GenericModel, check_chat_template
from mmrl.models.policy import Policy
from mmrl.runtime.console import progress
from mmrl.types import Example


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """A model, and what its evaluations under several conditions share: the cache of responses is read once."""

    model: Policy | GenericModel
    max_rows: int  # completions that the engine samples at a time
    responses: ResponseCache | None = None


def evaluated_model(model: Policy | GenericModel, section: EvaluationSection, max_rows: int) -> EvaluatedModel:
    """Return the model with the section's cache of responses. Raises ValueError for a model without a chat template."""
    check_chat_template(model.processor, "the model")
    responses = None if section.response_cache is None else ResponseCache(Path(section.response_cache))
    return EvaluatedModel(model, max_rows, responses)


def evaluate_model(
    model: Policy | GenericModel, section: EvaluationSection, out: Path, max_rows: int, quiet: bool = False
) -> dict[str, Summary]:
    """Return a summary of each set of a section; the records lie in ``out/NAME``.

    The model's weights and mode, and all random states, stay as they are.
    """
    return evaluate_section(evaluated_model(model, section, max_rows), section, out, quiet)


def evaluate_section(
    evaluated: EvaluatedModel, section: EvaluationSection, out: Path, quiet: bool = False, retry: bool = False
) -> dict[str, Summary]:
    """Return what `evaluate_model` does, of a model of which several sections are evaluated. ``retry``: ask again what failed."""
    with open_evaluation(evaluated, section, out, quiet, retry) as evaluation:
        return {one.name: evaluation.summary(one) for one in section.sets}


@contextmanager
def open_evaluation(
    evaluated: EvaluatedModel, section: EvaluationSection, out: Path, quiet: bool = False, retry: bool = False
) -> Iterator["SectionEvaluation"]:
    """Yield the evaluation of a model under a section, whose sets can be measured inside."""
    model = evaluated.model
    sampler = sampler_of(model, section, evaluated.max_rows)
    settings = settings_of(section, model, sampler.facts)
    shown = section.model_copy(update={"frames": frame_choice_under(section.condition, section.frames)})
    still = model.tower.still(again=True) if isinstance(model, Policy) else nullcontext()
    with media_reader(shown, cache_bytes=2**28) as reader, evaluating(model.model), still:
        media = MediaSampler(sampler, reader, section.seed, section.condition, settings, evaluated.responses)
        yield SectionEvaluation(section, media, scorer_of(section.graders), out, quiet, retry)


@dataclass(frozen=True, slots=True)
class SectionEvaluation:
    """A section with an open model: what the jobs of all its sets have in common."""

    section: EvaluationSection
    sampler: MediaSampler
    scorer: Scorer
    out: Path
    quiet: bool = False  # no progress bar
    retry: bool = False

    def summary(self, one: EvalSetSection, keep: Collection[str] | None = None) -> Summary:
        """Measure a set; where ``keep`` is given, only the questions with these ids, all of which must be there."""
        job = self.job(one, keep)
        total = len(job.examples) * job.samples
        with progress(f"evaluate {one.name}", total, quiet=self.quiet) as show:
            return evaluate(replace(job, progress=lambda done, _: show(done)))

    def job(self, one: EvalSetSection, keep: Collection[str] | None = None) -> EvaluationJob:
        """Return the job of a set."""
        examples, sampler = questions(one, self.section), self.sampler_for(one)
        if keep is not None:
            examples = [example for example in examples if example.id in keep]
        return EvaluationJob(
            name=one.name,
            examples=examples,
            sampler=sampler,
            scorer=self.scorer,
            out=self.out / one.name,
            samples=self.section.samples,
            batch=self.section.batch,
            expected=one.expect if keep is None else len(keep),
            settings=sampler.settings,
            retry=self.retry,
        )

    def sampler_for(self, one: EvalSetSection) -> MediaSampler:
        """Return the sampler of a set, which shows the set's subtitles. Raises ConfigError unless all of them are there."""
        if one.subtitles is None:
            return self.sampler
        folder = root_of(self.section) / one.subtitles.folder
        files = len(list(folder.iterdir())) if folder.is_dir() else 0
        if files == 0 or (one.subtitles.expect or files) != files:
            wanted = one.subtitles.expect or "some"
            raise ConfigError(
                f"{one.name}: subtitles: expected {wanted} files in {folder}, found {files}; unpack all of them"
            )
        settings = {**self.sampler.settings, "subtitles": one.subtitles.folder}
        return replace(self.sampler, tell=Telling(folder, self.section.template), settings=settings)


def questions(one: EvalSetSection, section: EvaluationSection) -> list[Example]:
    """Return the examples of a set as the section's condition asks them, checked."""
    data = open_set(one, root_of(section), "file", section.seed)
    examples = [data.example(i, 0) for i in range(len(data))]
    check_gradable(examples, section.graders.values(), one.name)
    check_condition(section.condition, examples, f"evaluation {one.name!r}")
    return asked(section.condition, examples, section.seed)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and back."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
