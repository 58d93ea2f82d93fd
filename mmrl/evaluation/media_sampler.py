"""The sampler of an evaluated set: loads media, applies the condition, isolates failures and caches responses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from mmrl.data.conditions import Condition, change_media
from mmrl.data.media.reader import MediaError, MediaReader
from mmrl.data.media.video import Clip
from mmrl.evaluation.plan import canonical
from mmrl.evaluation.records import Completion, Request, Shown
from mmrl.evaluation.response_cache import ResponseCache
from mmrl.runtime.files import sha256
from mmrl.types import Example

# settings that enter the cache's keys; the rest is in prompt and frames
DECIDES = ("weights", "pixels", "chat_template", "decoding", "engine")
Media = tuple[Clip | np.ndarray, ...]
WithSubtitles = Callable[[Example, Media], tuple[Example, Media]]  # the question after its frames are chosen


class EngineError(RuntimeError):
    """The engine stopped working, so that further failures are no property of the items."""


class ResponseSampler(Protocol):
    """A model that answers questions: through mmrl's own engine, or through transformers' generate."""

    def text(self, example: Example) -> str:
        """Return the prompt's text, with a placeholder for each medium."""
        ...

    def answer(
        self, examples: Sequence[Example], media: Sequence[Media], samples: Sequence[int], seed: int
    ) -> list[Completion]:
        """Return a completion for each example; its request holds the number of prompt tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """One (example, sample) on its way to a completion."""

    example: Example  # with its subtitles, once they are added
    sample: int
    media: Media = ()  # as the model sees them
    request: Request = Request("", 0)  # the model's input, once the prompt's text is made
    completion: Completion | None = None  # the response, or why there is none
    error: ValueError | None = None  # the reason why the model cannot take the question


@dataclass
class MediaSampler:
    """The sampler of one evaluated set.

    An unreadable file, a question that the model cannot take and a failed generation affect their own item alone. An engine
    that fails before its first answer, or at a question that it answered before, ends the evaluation: no item causes that. The
    batch is then not recorded.
    """

    sampler: ResponseSampler
    reader: MediaReader
    seed: int
    condition: Condition = "full"
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the run
    cache: ResponseCache | None = None
    with_subtitles: WithSubtitles = lambda example, media: (example, media)
    answered: Question | None = None  # the last question that the engine answered; None before the first

    def __call__(self, examples: Sequence[Example], samples: Sequence[int]) -> list[Completion]:
        """Return a completion of each (example, sample), in order."""
        self.reader.ahead(examples)
        questions = [self.prepared(Question(*pair)) for pair in zip(examples, samples, strict=True)]
        errors = [each.error for each in questions if each.error is not None]
        if errors and len(errors) == len(questions) and self.answered is None:
            raise errors[0]  # the model can take none of the first questions: no single item is to blame
        waiting = [each for each in questions if each.completion is None]
        made = iter(self.cached(waiting) or self.generated(waiting))
        return [next(made) if each.completion is None else each.completion for each in questions]

    def prepared(self, question: Question) -> Question:
        """Return the question with its request, or with the failure that ends it."""
        try:
            return self.requested(question)
        except MediaError as error:
            return replace(question, completion=Completion("", finished=False, status="media_error", error=str(error)))
        except ValueError as error:  # the template or the chat template refuses it
            return replace(question, completion=failed(error), error=error)

    def requested(self, question: Question) -> Question:
        """Return the question under the condition, with the model's input and the key of its response."""
        media = change_media(self.condition, question.example, self.reader.load(question.example), self.seed)
        example, media = self.with_subtitles(question.example, media)
        text, shown = self.sampler.text(example), tuple(map(shown_of, example.every_media, media))
        hashes = [[each.kind, each.sha256, each.seconds] for each in shown]
        shared = {name: self.settings.get(name) for name in DECIDES}
        decides = {"prompt": text, "media": hashes, "sample": [self.seed, example.id, question.sample], **shared}
        return replace(
            question, example=example, media=media, request=Request(text, 0, shown, sha256(canonical(decides)))
        )

    def cached(self, questions: Sequence[Question]) -> list[Completion]:
        """Return the cached responses; none unless all are cached, as rounding depends on a batch's neighbours."""
        entries = [] if self.cache is None else [self.cache.kept.get(each.request.key) for each in questions]
        cached = [Completion(**asdict(each.response), request=each.request) for each in entries if each is not None]
        if len(cached) < len(questions):
            return []
        return [with_request(*pair) for pair in zip(cached, questions, strict=True)]

    def generated(self, questions: Sequence[Question]) -> list[Completion]:
        """Return the model's responses, and add them to the cache."""
        completions = self.sampled(questions) if questions else []
        completions = [with_request(*pair) for pair in zip(completions, questions, strict=True)]
        if self.cache is not None:
            good = [each for each in completions if each.status != "engine_error"]
            self.cache.put({each.request.key: (each.request, each.response) for each in good})
        return completions

    def sampled(self, questions: Sequence[Question]) -> list[Completion]:
        """Return the model's completions.

        If the batch fails, sample each alone, so that one item does not fail the others.
        """
        try:
            completions = self.answers(questions)
        except (ValueError, RuntimeError) as error:  # out of memory is a RuntimeError
            completions = [self.alone(each) for each in questions] if len(questions) > 1 else [failed(error)]
            if self.answered is None:
                raise
            self.refuse_broken_engine(self.answered, error)
        return completions

    def alone(self, question: Question) -> Completion:
        """Return the completion of one question, or the failure in its place."""
        try:
            return self.answers([question])[0]
        except (ValueError, RuntimeError) as error:
            return failed(error)

    def answers(self, questions: Sequence[Question]) -> list[Completion]:
        """Return the model's completions, and remember the last question. Errors of the engine are not caught."""
        examples, media = [each.example for each in questions], [each.media for each in questions]
        completions = self.sampler.answer(examples, media, [each.sample for each in questions], self.seed)
        self.answered = questions[-1]
        return completions

    def refuse_broken_engine(self, answered: Question, error: Exception) -> None:
        """Raise EngineError if the engine fails at a question that it answered before, as after an error of the device."""
        try:
            self.answers([answered])
        except (ValueError, RuntimeError) as again:
            raise EngineError(
                f"the engine stopped working: it failed with {type(error).__name__}: {error}, and now fails at item "
                f"{answered.example.id!r}, too, which it answered before ({type(again).__name__}: {again}). Nothing of this batch "
                "is recorded: mend it and run the same command again, which goes on from here"
            ) from again


def failed(error: Exception) -> Completion:
    """Return the record of a failure."""
    return Completion("", finished=False, status="engine_error", error=f"{type(error).__name__}: {error}")


def with_request(completion: Completion, question: Question) -> Completion:
    """Return the completion with the question's request, which gets the number of prompt tokens."""
    tokens = 0 if completion.request is None else completion.request.tokens
    return replace(completion, request=replace(question.request, tokens=tokens))


def shown_of(medium: Any, decoded: Clip | np.ndarray) -> Shown:
    """Return the record of a medium as it was decoded and shown."""
    pixels = decoded.frames if isinstance(decoded, Clip) else decoded
    size, sha = pixels.shape[-3:-1], sha256(np.ascontiguousarray(pixels).data)
    if not isinstance(decoded, Clip):
        return Shown(medium.kind, str(medium.path), size, sha)
    indices, seconds = tuple(map(int, decoded.indices)), tuple(round(float(s), 6) for s in decoded.timestamps)
    return Shown(medium.kind, str(medium.path), size, sha, indices, seconds, decoded.reader)
