"""A model as the sampler of an evaluation: media loaded, conditions applied, failures told apart, responses cached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from mmrl.data.conditions import Condition, see
from mmrl.data.media.reader import MediaError, MediaReader
from mmrl.data.media.video import Clip
from mmrl.evaluation.records import Completion, Request, Shown
from mmrl.evaluation.response_cache import Cache, key_of
from mmrl.runtime.files import sha256
from mmrl.types import Example

DECIDES = (
    "weights",
    "pixels",
    "chat_template",
    "decoding",
    "engine",
)  # of the settings; the rest is in prompt and frames
Media = tuple[Clip | np.ndarray, ...]
Tell = Callable[[Example, Media], tuple[Example, Media]]  # the question as it is asked once its frames are chosen


def as_it_is(example: Example, media: Media) -> tuple[Example, Media]:
    """Nothing is added."""
    return example, media


class Model(Protocol):
    """What answers questions: mmrl's own sampler, or transformers' generate for other families."""

    def text(self, example: Example) -> str:
        """The prompt's text, with a placeholder for each medium."""
        ...

    def answer(
        self, examples: Sequence[Example], media: Sequence[Media], samples: Sequence[int], seed: int
    ) -> list[Completion]:
        """A completion each; the number of the prompt's tokens in its request."""
        ...


@dataclass
class Asking:
    """The sampler of one evaluated set.

    A file that cannot be read, a question that the model cannot take and a generation that fails each cost their own item
    and nobody else's; where nothing worked yet, an engine's error passes through, because it is no property of the item.
    """

    model: Model
    reader: MediaReader
    seed: int
    condition: Condition = "full"
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the run; those of DECIDES enter the cache's keys
    cache: Cache | None = None
    tell: Tell = as_it_is
    worked: bool = False  # whether anything was generated yet

    def __call__(self, examples: Sequence[Example], samples: Sequence[int]) -> list[Completion]:
        made: dict[int, Completion] = {}
        refused: list[ValueError] = []
        told: dict[int, Example] = {}
        shown: dict[int, Media] = {}
        requests: dict[int, Request] = {}
        self.reader.ahead(examples)
        for index, example in enumerate(examples):
            try:
                seen = see(self.condition, example, self.reader.load(example), self.seed)
                told[index], shown[index] = self.tell(example, seen)
                requests[index] = self.request(told[index], shown[index], samples[index])
            except MediaError as error:
                made[index] = Completion("", finished=False, status="media_error", error=str(error))
            except ValueError as error:  # a question that the template or the chat template cannot take
                made[index] = failed(error)
                refused.append(error)
        if refused and len(refused) == len(examples) and not self.worked:
            raise refused[0]
        kept = self.kept(requests)
        if kept is None:
            asked = list(requests)
            some = [[each[i] for i in asked] for each in (told, shown, samples)]
            kept = dict(zip(asked, self.generated(*some), strict=True))
            kept = {i: replace(one, request=replace(requests[i], tokens=tokens_of(one))) for i, one in kept.items()}
            self.keep(kept)
        return [(made | kept)[index] for index in range(len(examples))]

    def request(self, example: Example, media: Media, sample: int) -> Request:
        """What the model is given, and the key of the response."""
        text = self.model.text(example)
        seen = tuple(map(shown_of, example.every_media, media))
        hashes = [[one.kind, one.sha256, one.seconds] for one in seen]
        shared = {name: self.settings.get(name) for name in DECIDES}
        key = key_of(prompt=text, media=hashes, sample=[self.seed, example.id, sample], **shared)
        return Request(text, 0, seen, key)

    def kept(self, requests: Mapping[int, Request]) -> dict[int, Completion] | None:
        """The cached responses, if all of the batch are: rounding depends on the neighbours, so a batch is not torn."""
        found = {i: self.cache.get(one.key) for i, one in requests.items()} if self.cache is not None else {}
        if len(found) < len(requests) or None in found.values():
            return None
        return {
            i: Completion(
                one.response.text, one.response.tokens, one.response.finished, one.response.status,
                request=replace(requests[i], tokens=one.request.tokens), answer_logp=one.response.answer_logp,
            )
            for i, one in found.items()
        }  # fmt: skip

    def keep(self, made: Mapping[int, Completion]) -> None:
        """Put what was generated into the cache."""
        if self.cache is not None:
            good = [one for one in made.values() if one.status != "engine_error"]
            self.cache.put({one.request.key: (one.request, one.response) for one in good})

    def generated(
        self, examples: Sequence[Example], media: Sequence[Media], samples: Sequence[int]
    ) -> list[Completion]:
        """The model's completions; where the batch fails, each alone, so that one item does not cost the others."""
        if not examples:
            return []
        try:
            made = self.model.answer(examples, media, samples, self.seed)
        except (ValueError, RuntimeError) as error:  # out of memory is a RuntimeError
            if len(examples) == 1 and self.worked:
                return [failed(error)]
            if len(examples) == 1:
                raise
            made = [self.alone(*one) for one in zip(examples, media, samples, strict=True)]
            if not self.worked and all(one.status == "engine_error" for one in made):
                raise
        self.worked = True
        return made

    def alone(self, example: Example, media: Media, sample: int) -> Completion:
        """One completion, or why there is none."""
        try:
            return self.model.answer([example], [media], [sample], self.seed)[0]
        except (ValueError, RuntimeError) as error:
            return failed(error)


def failed(error: Exception) -> Completion:
    """The record of a failure."""
    return Completion("", finished=False, status="engine_error", error=f"{type(error).__name__}: {error}")


def tokens_of(completion: Completion) -> int:
    """How long the prompt was."""
    return 0 if completion.request is None else completion.request.tokens


def shown_of(medium: Any, decoded: Clip | np.ndarray) -> Shown:
    """A medium as it was decoded and shown."""
    pixels = decoded.frames if isinstance(decoded, Clip) else decoded
    size, sha = pixels.shape[-3:-1], sha256(memoryview(np.ascontiguousarray(pixels)))
    if not isinstance(decoded, Clip):
        return Shown(medium.kind, str(medium.path), size, sha)
    indices, seconds = tuple(map(int, decoded.indices)), tuple(round(float(s), 6) for s in decoded.timestamps)
    return Shown(medium.kind, str(medium.path), size, sha, indices, seconds, decoded.reader)
