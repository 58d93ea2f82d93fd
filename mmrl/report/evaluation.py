"""``mmrl eval view``: write questions and completions as one page without scripts or external files.

All text of models is escaped; the page contains no code that could run.
"""

from collections.abc import Iterator, Mapping
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


def view(folder: Path, out: Path, scorer: str, status: str | None, wrong: bool, most: int) -> Path:
    """Write the page and return its path: at most ``most`` completions per set, of one status, or only wrong ones."""
    sets = {name: list(islice(cards(path, scorer, status, wrong), most)) for name, path in sets_of(folder).items()}
    write_whole(out, render(TEMPLATE, title=str(folder), scorer=scorer, sets=sets, most=most))
    return out


def cards(folder: Path, scorer: str, status: str | None, wrong: bool) -> Iterator[Mapping[str, Any]]:
    """Yield the contents of the page, one completion each; a completion is right if its first score is not 0."""
    items, samples = read_items(folder), read_lines(Sample, folder / SAMPLES)
    for sample, record in zip(samples, read_records(folder, scorer), strict=True):
        right = next(iter(record.scores.values()), 0.0)
        if status in (None, record.status) and not (wrong and right):
            yield card(items[record.item], sample, record)


def card(item: Item, sample: Sample, record: Record) -> Mapping[str, Any]:
    """Return one completion's contents; its text is split around the graded answer, which the page highlights."""
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
