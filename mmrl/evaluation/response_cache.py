"""Responses kept across runs, by all that decides them. Sampled ones too: seed and sample id are part of what decides."""

import fcntl
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from mmrl.evaluation.plan import canonical
from mmrl.evaluation.records import SCHEMA, STRICT, Request, Response
from mmrl.evaluation.store import line, read_line, split

FILE = "responses.jsonl"


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A line of the cache."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    key: str
    request: Request
    response: Response
    schema: int = SCHEMA


class ResponseCache:
    """A file of responses that several processes may share. What a kill left half-written is cut off when it is opened."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self.path.touch()
        with self.path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines, rest = split(file.read())
            if rest:
                file.truncate(sum(len(text) + 1 for text in lines))
        found = [read_line(CachedResponse, text, self.path, number) for number, text in enumerate(lines, 1)]
        self.kept = {one.key: one for one in found}

    def get(self, key: str) -> CachedResponse | None:
        """Return the response under a key, or None."""
        return self.kept.get(key)

    def put(self, made: Mapping[str, tuple[Request, Response]]) -> None:
        """Keep new responses; what is there already stays."""
        new = [CachedResponse(key, *pair) for key, pair in made.items() if key not in self.kept]
        self.kept |= {one.key: one for one in new}
        with self.path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("".join(map(line, new)).encode())


def key_of(**decides: Any) -> str:
    """SHA-256 of the canonical JSON of all that decides a response."""
    return hashlib.sha256(canonical(decides).encode()).hexdigest()
