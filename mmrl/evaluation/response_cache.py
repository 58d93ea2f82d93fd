"""A cache of responses across runs, sampled ones too. The key covers all that decides a response, with seed and sample id."""

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
    """A file of responses that several processes may share. Opening it cuts off a half-written line of a killed process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self.path.touch()
        with waiting_lock(folder / LOCK):
            cut_torn_end(self.path)
            self.kept = {one.key: one for one in read_lines(CachedResponse, self.path)}

    def put(self, made: Mapping[str, tuple[Request, Response]]) -> None:
        """Add new responses; responses that are there already stay."""
        new = [CachedResponse(key, *pair) for key, pair in made.items() if key not in self.kept]
        self.kept |= {one.key: one for one in new}
        with waiting_lock(self.path.with_name(LOCK)):
            cut_torn_end(self.path)  # of a process that was killed meanwhile
            append_lines(self.path, map(line, new))
