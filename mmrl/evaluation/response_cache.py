"""Responses kept across runs, by all that decides them. Sampled ones too: seed and sample id are part of what decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmrl.evaluation.records import SCHEMA, Request, Response, Strict
from mmrl.evaluation.store import line, read_lines
from mmrl.runtime.json_lines import append_lines, cut_torn_end
from mmrl.runtime.lock import waiting_lock

FILE, LOCK = "responses.jsonl", ".lock"


@dataclass(frozen=True, slots=True)
class CachedResponse(Strict):
    """A line of the cache."""

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
        with waiting_lock(folder / LOCK):
            cut_torn_end(self.path)
            self.kept = {one.key: one for one in read_lines(CachedResponse, self.path)}

    def put(self, made: Mapping[str, tuple[Request, Response]]) -> None:
        """Keep new responses; what is there already stays."""
        new = [CachedResponse(key, *pair) for key, pair in made.items() if key not in self.kept]
        self.kept |= {one.key: one for one in new}
        with waiting_lock(self.path.with_name(LOCK)):
            cut_torn_end(self.path)  # of a process that was killed meanwhile
            append_lines(self.path, map(line, new))
