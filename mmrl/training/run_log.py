"""A run writes metrics.jsonl and rollouts.jsonl after each step, and sends its metrics to trackers. Rank 0 alone does so."""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from mmrl.runtime.console import console
from mmrl.runtime.files import write_whole
from mmrl.runtime.json_lines import append, line_of, read
from mmrl.runtime.ranks import Ranks
from mmrl.types import Scored


class RunLog:
    """Writes two JSONL files, which a resumed run continues from the step of its checkpoint."""

    def __init__(self, folder: Path, ranks: Ranks, step: int):
        self.metrics, self.rollouts = folder / "metrics.jsonl", folder / "rollouts.jsonl"
        self.ranks = ranks
        if ranks.main:
            folder.mkdir(parents=True, exist_ok=True)
            for path in (self.metrics, self.rollouts):
                keep_until(path, step) if step else set_aside(path)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Writes one line of metrics, and sends the same numbers to the trackers."""
        if self.ranks.main:
            append(self.metrics, [{"step": step} | dict(numbers)])
        self.ranks.accelerator.log(dict(numbers), step=step)

    def close(self) -> None:
        """Lets the trackers write the rest of their data and end."""
        for tracker in self.ranks.accelerator.trackers:
            tracker.finish()

    def write_rollouts(self, step: int, scored: Sequence[Scored]) -> None:
        """Writes prompts with their completions and rewards."""
        if self.ranks.main:
            append(self.rollouts, [rollout(step, s) for s in scored])


def rollout(step: int, scored: Scored) -> dict[str, Any]:
    """Returns one group as plain data."""
    group, example = scored.group, scored.group.prompt.example
    return {
        "step": step,
        "example": example.id,
        "question": example.question,
        "choices": list(example.choices),
        "answer": example.answer,
        "media": [str(medium.path) for medium in example.every_media],
        "prompt_tokens": len(group.prompt.tokens),
        "completions": [
            {
                "text": text,
                "tokens": int(mask.sum()),
                "finished": bool(finished),
                "rewards": {name: round(reward[i].item(), 6) for name, reward in scored.rewards.items()},
                "total": round(scored.total[i].item(), 6),
            }
            for i, (text, mask, finished) in enumerate(
                zip(group.texts, group.completion_mask, group.finished, strict=True)
            )
        ],
    }


def keep_until(path: Path, step: int) -> None:
    """Drops lines of later steps, and a half-written line of a killed process."""
    if path.exists():
        write_whole(path, "".join(line_of(row) for row in read(path) if row["step"] <= step))


def set_aside(path: Path) -> None:
    """Renames the records of a run that ended before its first checkpoint; a new run in the folder does not continue them."""
    if path.exists() and path.stat().st_size:
        other = next(name for n in count(1) if not (name := path.with_name(f"{path.stem}.{n}{path.suffix}")).exists())
        path.rename(other)
        console.print(f"{path}: an earlier run left no checkpoint; its records are in {other.name} now")
