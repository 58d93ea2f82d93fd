"""How a model is examined: levels of questions, one after the other. Training's validation and ``mmrl eval run`` both call this."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

import mmrl
from mmrl.config.open_data import check_gradable, media_reader, open_set, root_of
from mmrl.config.schema import ConfigError, EvalSetSection, EvaluationSection
from mmrl.data.conditions import asked, check_condition, frame_choice_under
from mmrl.data.subtitles import Telling
from mmrl.evaluation.graders import scorer_of
from mmrl.evaluation.media_sampler import Asking, Media
from mmrl.evaluation.records import Completion, Request
from mmrl.evaluation.response_cache import Cache
from mmrl.evaluation.runner import evaluate
from mmrl.evaluation.samplers import Generated
from mmrl.evaluation.scoring import Scorer
from mmrl.evaluation.summary import Mean, Summary
from mmrl.evaluation.tables.levels import finite
from mmrl.models.chat import prompt_text
from mmrl.models.generic import GenericModel, check_chat_template
from mmrl.models.policy import Policy
from mmrl.rewards.parse import parse
from mmrl.rollout import Engine
from mmrl.runtime.console import progress
from mmrl.runtime.files import short_hash, write_json
from mmrl.types import Decoding, Example, Group


@dataclass(frozen=True, slots=True)
class Sampled:
    """A policy that answers through mmrl's own engine."""

    policy: Policy
    engine: Engine

    def text(self, example: Example) -> str:
        """The prompt's text, with a placeholder for each medium."""
        return prompt_text(self.policy.processor, example, self.policy.template)

    def answer(
        self, examples: Sequence[Example], media: Sequence[Media], samples: Sequence[int], seed: int
    ) -> list[Completion]:
        """A completion each. The samples of a question stand together: its prompt is made, seen and read once for all of them."""
        places = [list(some) for _, some in groupby(range(len(examples)), key=lambda i: examples[i].id)]
        prompts = self.policy.prompts([examples[some[0]] for some in places], [media[some[0]] for some in places])
        groups = self.engine.sample(prompts, [[samples[i] for i in some] for some in places], seed)
        return [completion(group.rows(slice(row, row + 1))) for group in groups for row in range(len(group))]

    @property
    def facts(self) -> dict[str, Any]:
        """What of the engine decides the texts."""
        return {"name": "mmrl", "compute": str(self.policy.compute), "max_rows": self.engine.max_rows}


def completion(group: Group) -> Completion:
    """A completion, as a group of one, on record."""
    finished = bool(group.finished[0])
    certain = float(group.logp_sampled[0, group.answer[0]].sum()) if bool(group.answer[0].any()) else None
    return Completion(
        group.texts[0],
        int(group.mask.sum()),
        finished,
        "ok" if finished else "truncated",
        request=Request("", len(group.prompt.tokens)),
        answer_logp=certain,
    )


def sampled(policy: Policy, template: str, decoding: Decoding, max_rows: int) -> Sampled:
    """A policy under an evaluation's template and decoding."""
    view = copy.copy(policy)
    view.template = template
    return Sampled(view, Engine(view, decoding, lambda text: parse(text).span, max_rows))


def model_of(model: Policy | GenericModel, section: EvaluationSection, max_rows: int) -> Sampled | Generated:
    """What answers the questions of a section."""
    if isinstance(model, GenericModel):
        return Generated(replace(model, template=section.template), section.decoding)
    return sampled(model, section.template, section.decoding, max_rows)


def examine(
    policy: Policy | GenericModel,
    section: EvaluationSection,
    out: Path,
    max_rows: int,
    quiet: bool = False,
    retry: bool = False,
) -> dict[str, Summary]:
    """A summary of each set; records in ``out/NAME``. The model's weights and mode, and all random states, stay as they are."""
    check_chat_template(policy.processor, "the model")
    model = model_of(policy, section, max_rows)
    scorer = scorer_of(section.graders)
    settings = settings_of(section, policy, model.facts)
    cache = None if section.response_cache is None else Cache(Path(section.response_cache))
    seen = section.model_copy(update={"frames": frame_choice_under(section.condition, section.frames)})
    still = policy.tower.still(again=True) if isinstance(policy, Policy) else nullcontext()
    with media_reader(seen, cache_bytes=2**28) as reader, evaluating(policy.model), still:
        ask = Asking(model, reader, section.seed, section.condition, settings, cache)
        return {s.name: level(s, section, ask, scorer, out / s.name, quiet, retry) for s in section.sets}


def level(
    one: EvalSetSection, section: EvaluationSection, ask: Asking, scorer: Scorer, out: Path, quiet: bool, retry: bool
) -> Summary:
    """One set."""
    examples, ask = questions(one, section), telling(ask, one, section)
    with progress(f"evaluate {one.name}", len(examples) * section.samples, quiet=quiet) as show:
        return evaluate(
            one.name,
            examples,
            ask,
            scorer,
            out,
            section.samples,
            section.batch,
            one.expect,
            lambda done, _: show(done),
            ask.settings,
            retry,
        )


def telling(ask: Asking, one: EvalSetSection, section: EvaluationSection) -> Asking:
    """The sampler of a set, which shows its subtitles if it has any."""
    if one.subtitles is None:
        return ask
    folder = root_of(section) / one.subtitles.folder
    files = len(list(folder.iterdir())) if folder.is_dir() else 0
    if files == 0 or (one.subtitles.expect or files) != files:
        wanted = one.subtitles.expect or "some"
        raise ConfigError(
            f"{one.name}: subtitles: expected {wanted} files in {folder}, found {files}; unpack all of them"
        )
    return replace(
        ask, tell=Telling(folder, section.template), settings={**ask.settings, "subtitles": one.subtitles.folder}
    )


def questions(one: EvalSetSection, section: EvaluationSection) -> list[Example]:
    """The examples of a set as the section's condition asks them, checked."""
    data = open_set(one, root_of(section), "file", section.seed)
    examples = [data.example(i, 0) for i in range(len(data))]
    check_gradable(examples, section.graders.values(), one.name)
    check_condition(section.condition, examples, f"evaluation {one.name!r}")
    return asked(section.condition, examples, section.seed)


@contextmanager
def evaluating(model: nn.Module):
    """The model in evaluation mode, and back."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def settings_of(section: EvaluationSection, policy: Policy | GenericModel, engine: Mapping[str, Any]) -> dict[str, Any]:
    """Whatever decides the texts."""
    processor = policy.processor
    versions = {"mmrl": mmrl.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    return {
        "weights": policy.weights.record(),
        "pixels": [str(processor.video_processor.size), str(processor.image_processor.size)],
        "chat_template": short_hash(str(processor.chat_template or policy.tokenizer.chat_template)),
        "reader": section.reader,
        "template": section.template,
        "decoding": asdict(section.decoding),
        "frames": asdict(section.frames),
        "condition": section.condition,
        "seed": section.seed,
        "engine": dict(engine) | versions,
    }


def write_summary(path: Path, levels: Mapping[str, Summary], facts: Mapping[str, Any]) -> None:
    """What was found, as JSON; a limit that is not known (a single cluster) is null."""
    found = {
        name: {
            "expected": s.expected,
            "scored": s.scored,
            "samples": s.samples,
            "n": s.n,
            "clusters": s.clusters,
            "statuses": dict(s.statuses),
            "metrics": {metric: mean_as_json(mean) for metric, mean in s.metrics.items()},
        }
        for name, s in levels.items()
    }
    write_json(path, dict(facts) | {"levels": found})


def mean_as_json(mean: Mean) -> dict[str, Any]:
    """A mean; how many records are unscored, and the mean if those were all right, only where there are any."""
    open_ = {} if mean.best is None else {"unscored": mean.unscored, "best": mean.best}
    return {"mean": mean.mean, "interval": [finite(mean.low), finite(mean.high)]} | open_
