"""How a model is examined: levels of questions, one after the other. Training's validation and ``mmrl eval run`` both call this."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmrl.config import EvalSetSection, EvaluationSection
from mmrl.data.conditions import Condition, Seen, see
from mmrl.data.conditions import check as check_condition
from mmrl.data.media import MediaError, MediaReader
from mmrl.data.video import Clip
from mmrl.evaluate import Completion, Summary, evaluate
from mmrl.models.policy import Policy
from mmrl.progress import progress
from mmrl.rewards.grade import grade_one
from mmrl.rewards.graders import trace
from mmrl.rewards.parse import parse
from mmrl.rollout import Engine
from mmrl.sources import check_gradable, media_reader, open_set, root_of
from mmrl.sources import grader as find_grader
from mmrl.types import Example, Group

LOOKED_AT = 1024  # elements of each parameter that enter its digest


@dataclass(frozen=True, slots=True)
class Examiner:
    """Samples completions for ``evaluate``; a file that cannot be read becomes a record with its error."""

    policy: Policy
    engine: Engine
    reader: MediaReader
    seed: int
    condition: Condition = "full"

    def __call__(self, examples: Sequence[Example], samples: Sequence[int]) -> list[Completion]:
        seen: dict[int, Seen] = {}
        failed: dict[int, MediaError] = {}
        self.reader.ahead(examples)
        for index, example in enumerate(examples):
            try:
                seen[index] = see(self.condition, example, self.reader.load(example), self.seed)
            except MediaError as error:
                failed[index] = error
        good = list(seen)
        prompts = self.policy.prompts([seen[i][0] for i in good], [seen[i][1] for i in good])
        groups = self.engine.sample(prompts, [[samples[i]] for i in good], self.seed)
        made = {i: completion(group, seen[i][1]) for i, group in zip(good, groups, strict=True)}
        made |= {i: Completion("", status="media_error", error=str(error)) for i, error in failed.items()}
        return [made[i] for i in range(len(examples))]


def completion(group: Group, media: Sequence[Any]) -> Completion:
    """A group of one as a completion on record."""
    finished = bool(group.finished[0])
    frames = [[int(i) for i in m.indices] for m in media if isinstance(m, Clip)]
    return Completion(
        group.texts[0], int(group.mask.sum()), finished, "ok" if finished else "truncated", None, frames or None
    )


def examine(
    policy: Policy, section: EvaluationSection, out: Path, max_rows: int, quiet: bool = False
) -> dict[str, Summary]:
    """A summary of each set; records in ``out/NAME``. The model's weights and mode, and all random states, stay as they are."""
    view = copy.copy(policy)
    view.template = section.template
    engine = Engine(view, section.decoding, lambda text: parse(text).span, max_rows)
    graders = {name: find_grader(spec) for name, spec in section.graders.items()}
    settings = settings_of(section, policy)
    with media_reader(section, cache_bytes=2**28) as reader, evaluating(policy.model):
        ask = Examiner(view, engine, reader, section.seed, section.condition)
        return {s.name: level(s, section, ask, graders, settings, out / s.name, quiet) for s in section.sets}


def level(
    one: EvalSetSection,
    section: EvaluationSection,
    ask: Examiner,
    graders: Mapping[str, Any],
    settings: Mapping[str, Any],
    out: Path,
    quiet: bool,
) -> Summary:
    """One set."""
    data = open_set(one, root_of(section), "file", section.seed)
    examples = [data.example(i, 0) for i in range(len(data))]
    check_gradable(examples, section.graders.values(), one.name)
    check_condition(section.condition, examples, f"evaluation {one.name!r}")
    with progress(f"evaluate {one.name}", len(examples) * section.samples, quiet=quiet) as show:
        return evaluate(
            one.name,
            examples,
            ask,
            partial(grade_one, graders=graders),
            out,
            section.samples,
            section.batch,
            one.expect,
            lambda done, _: show(done),
            trace,
            settings,
        )


@contextmanager
def evaluating(model: nn.Module):
    """The model in evaluation mode, and back."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def settings_of(section: EvaluationSection, policy: Policy) -> dict[str, Any]:
    """Whatever decides the texts and their scores."""
    processor = policy.processor
    own = [Path(spec.rpartition(":")[0]) for spec in section.graders.values() if ":" in spec]
    return {
        "weights": digest(policy.model),
        "compute": str(policy.compute),
        "pixels": [str(processor.video_processor.size), str(processor.image_processor.size)],
        "chat_template": short_hash(str(processor.chat_template or policy.tokenizer.chat_template)),
        "own_graders": [short_hash(path.read_text()) for path in own],
        "reader": section.reader,
        "template": section.template,
        "decoding": asdict(section.decoding),
        "frames": asdict(section.frames),
        "condition": section.condition,
        "graders": section.graders,
        "seed": section.seed,
    }


def short_hash(text: str) -> str:
    """Enough of SHA-256 to tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@torch.no_grad()
def digest(model: nn.Module) -> str:
    """A fingerprint of a model's weights: names, shapes and LOOKED_AT elements of each parameter, evenly spread."""
    hashed = hashlib.sha256()
    for name, parameter in model.named_parameters():
        flat = parameter.detach().flatten()
        some = (
            flat[:: max(1, len(flat) // LOOKED_AT)].float().cpu().clone()
        )  # numpy would pin memory that a shard must free
        hashed.update(f"{name}{tuple(parameter.shape)}".encode() + some.numpy().tobytes())
    return hashed.hexdigest()[:16]


def write_summary(path: Path, levels: Mapping[str, Summary], facts: Mapping[str, Any]) -> None:
    """What was found, as JSON."""
    found = {
        name: {
            "expected": s.expected,
            "scored": s.scored,
            "n": s.n,
            "clusters": s.clusters,
            "statuses": dict(s.statuses),
            "metrics": {m: {"mean": v.mean, "interval": [v.low, v.high]} for m, v in s.metrics.items()},
        }
        for name, s in levels.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(facts) | {"levels": found}, indent=1) + "\n")
