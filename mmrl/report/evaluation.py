"""``mmrl eval view``: questions and completions as one page without scripts or anything from elsewhere.

Whatever models wrote is escaped; the page has no code that could run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmrl.evaluation.plan import SAMPLES
from mmrl.evaluation.records import Item, Record, Sample
from mmrl.evaluation.run_folder import sets_of
from mmrl.evaluation.scoring import answers, read_items, read_records
from mmrl.evaluation.store import read_lines
from mmrl.report.templates import render
from mmrl.rewards.parse import parse
from mmrl.runtime.files import write_whole
from mmrl.types import letter_at

TEMPLATE = "evaluation.html.j2"


@dataclass(frozen=True, slots=True)
class CompletionFilter:
    """The choice of the completions that are shown."""

    scorer: str
    status: str | None
    wrong: bool
    most: int

    def has(self, record: Record) -> bool:
        """Return True if a completion is among them."""
        right = next(iter(record.scores.values()), 0.0)
        return (self.status is None or record.status == self.status) and not (self.wrong and right)


def view(folder: Path, wanted: CompletionFilter, out: Path) -> Path:
    """Write the page and return its path."""
    sets = {name: cards(path, wanted) for name, path in sets_of(folder).items()}
    shown = {name: list(islice(some, wanted.most)) for name, some in sets.items()}
    write_whole(out, render(TEMPLATE, title=str(folder), scorer=wanted.scorer, sets=shown, most=wanted.most))
    return out


def cards(folder: Path, wanted: CompletionFilter) -> Iterator[Mapping[str, Any]]:
    """Yield the contents of the page, a completion each."""
    items, samples = read_items(folder), read_lines(Sample, folder / SAMPLES)
    for sample, record in zip(samples, read_records(folder, wanted.scorer), strict=True):
        if wanted.has(record):
            yield card(items[record.item], sample, record)


def card(item: Item, sample: Sample, record: Record) -> Mapping[str, Any]:
    """Return one completion, its text in the parts that were read, so that the graded answer stands out."""
    span = parse(record.text).span or (len(record.text), len(record.text))
    options = [(letter_at(place), text) for place, text in enumerate(item.choices)]
    return {
        "item": item,
        "record": record,
        "options": options,
        "gold": item.gold,
        "said": answers([record])[0],
        "prompt": sample.request.prompt if sample.request else "",
        "media": sample.request.media if sample.request else (),
        "before": record.text[: span[0]],
        "answer": record.text[slice(*span)],
        "after": record.text[span[1] :],
    }
