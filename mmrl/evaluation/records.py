"""The records of an evaluation: the question, the input and the text of the model, the parse of the text, and its scores.

All are versioned, and validated when they are read (`mmrl.evaluation.store`). Generation and scoring have files of their own,
so that a completion is generated once and scored any number of times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict

from mmrl.types import Example, Kind, Media, Span

SCHEMA = 3  # version of all records; a reader refuses others. 3: answer_logp became answer_logprob

ResponseStatus = Literal["ok", "truncated", "empty", "media_error", "engine_error"]  # outcome of a request
Status = Literal["ok", "truncated", "empty", "media_error", "engine_error", "unparsable"]
FAILED = ("media_error", "engine_error")  # nothing was generated: there is no text to grade, and it counts as 0


class IncompleteError(ValueError):
    """There are fewer records than there must be, so that a mean over them would be wrong."""


class Strict:
    """A record in a file. It is validated when it is read, without conversions; unknown fields and NaN are errors."""

    __slots__ = ()
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class File(Strict):
    """A file of an item."""

    kind: Literal["video", "image"]
    path: str
    start: float | None = None  # of the part of a video that the model sees; None: all of it
    end: float | None = None
    unit: Literal["seconds", "frames"] | None = None

    def __post_init__(self) -> None:
        if len({self.start is None, self.end is None, self.unit is None}) > 1:
            found = f"{self.start!r}, {self.end!r}, {self.unit!r}"
            raise ValueError(f"file {self.path!r}: expected start, end and unit, or none of them, found {found}")

    @property
    def media(self) -> Media:
        """Return the file as a medium of an example."""
        if self.start is None or self.end is None or self.unit is None:
            return Media(self.kind, Path(self.path))
        return Media(self.kind, Path(self.path), Span(self.start, self.end, self.unit))


def file_of(media: Media) -> File:
    """Return the record of a medium."""
    span = media.span
    if span is None:
        return File(media.kind, str(media.path))
    return File(media.kind, str(media.path), span.start, span.end, span.unit)


@dataclass(frozen=True, slots=True)
class Item(Strict):
    """A line of items.jsonl: the question and all that a grader needs, so that scoring needs no data root."""

    id: str
    cluster: str  # items of one cluster are not independent
    question: str
    answer: str | None
    kind: Kind
    choices: tuple[str, ...]  # in the order in which they were shown
    media: tuple[File, ...]
    fields: dict[str, Any]  # the row as read
    schema: int = SCHEMA

    @property
    def gold(self) -> str:
        """Return the right answer without the space around it, such as the letter of an option."""
        return (self.answer or "").strip()

    @property
    def example(self) -> Example:
        """Return the item as an example, for graders."""
        media = tuple(file.media for file in self.media)
        return Example(
            self.id, self.question, self.answer, self.kind, self.choices, media,
            cluster=self.cluster, fields=self.fields,
        )  # fmt: skip


def item_of(example: Example) -> Item:
    """Return the record of an example."""
    media = tuple(map(file_of, example.every_media))
    return Item(
        example.id, example.cluster or example.id, example.question, example.answer, example.kind,
        tuple(example.choices), media, dict(example.fields),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown(Strict):
    """A medium as the model received it."""

    kind: Literal["video", "image"]
    path: str
    size: tuple[int, int]  # height and width of the decoded pixels
    sha256: str  # of the decoded pixels, after the condition
    indices: tuple[int, ...] | None = None  # frames of the file
    seconds: tuple[float, ...] | None = None  # timestamps of these frames
    reader: str | None = None


@dataclass(frozen=True, slots=True)
class Request(Strict):
    """The prompt and the media that the model received for one (item, sample)."""

    prompt: str  # the chat template's text; each medium is one placeholder
    tokens: int  # of the whole prompt, media included
    media: tuple[Shown, ...] = ()
    key: str = ""  # SHA-256 of all that decides the response; the key of the cache


@dataclass(frozen=True, slots=True)
class Response(Strict):
    """The text that the model wrote, or why there is none."""

    text: str  # raw
    tokens: int
    finished: bool  # ended by itself, not by the token limit
    status: ResponseStatus
    error: str | None = None
    answer_logprob: float | None = None  # log-probability of the graded answer's tokens, if the engine knows it


@dataclass(frozen=True, slots=True)
class Sample(Strict):
    """A line of samples.jsonl: a request and its response."""

    item: str
    sample: int
    request: Request | None  # None if its media could not be read
    response: Response
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Verdict(Strict):
    """A line of scores.NAME.jsonl: the parse of a response, and its scores."""

    item: str
    sample: int
    parse: dict[str, Any]
    scores: dict[str, float | None]  # None: the grader gave no verdict; empty: there was nothing to grade
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer of a sampler to one (example, sample)."""

    text: str
    tokens: int = 0
    finished: bool = True  # ended by itself, not by the token limit
    status: ResponseStatus = "ok"
    error: str | None = None
    request: Request | None = None
    answer_logprob: float | None = None

    def __post_init__(self) -> None:
        if self.status not in get_args(ResponseStatus):
            raise ValueError(f"completion: expected a status of {get_args(ResponseStatus)}, found {self.status!r}")

    @property
    def response(self) -> Response:
        """Return the record of the completion.

        Characters outside UTF-8 become question marks; a text of white space is empty.
        """
        text = self.text.encode(errors="replace").decode()
        status = "empty" if self.status == "ok" and not text.strip() else self.status
        return Response(text, self.tokens, self.finished, status, self.error, self.answer_logprob)


@dataclass(frozen=True, slots=True)
class Record:
    """All facts about one (item, sample), joined from the files; means and comparisons use these."""

    item: str
    sample: int
    cluster: str
    text: str
    status: Status
    error: str | None
    tokens: int
    finished: bool
    parse: Mapping[str, Any]
    scores: Mapping[str, float | None]
    frames: Any = None  # indices of the frames shown, one list a video
    answer_logprob: float | None = None


def record_of(item: Item, sample: Sample, verdict: Verdict) -> Record:
    """Return the record of one (item, sample), joined from the lines of three files."""
    response, request = sample.response, sample.request
    unparsable = response.status == "ok" and verdict.parse.get("rung") == "unparsed"
    frames = [list(shown.indices) for shown in request.media if shown.indices is not None] if request else []
    return Record(
        item.id, sample.sample, item.cluster, response.text, "unparsable" if unparsable else response.status,
        response.error, response.tokens, response.finished, verdict.parse, verdict.scores, frames or None,
        response.answer_logprob,
    )  # fmt: skip
