"""TVBench (Cores et al. 2024, arXiv 2410.07752): ten tasks that a single frame does not solve.

``json/<task>.json`` (one list each), ``video/<task>/<video>``. Loader: daniel-cores/tvbench, vqa_dataset.py and infer.ipynb
at c354322. Fields followed: video, question, candidates, answer (the text of the right candidate), and start and end in
seconds for the two tasks of which that loader shows a part of the video only.
"""

from dataclasses import dataclass
from pathlib import Path

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.data.options import letter_of
from mmrl.types import Example, Media, Span

FIELDS = ("video", "question", "candidates", "answer")
CUT = ("action_sequence", "action_localization")


@dataclass(frozen=True)
class TVBench(Annotations):
    """The file of one task, which is called as the task is. ``media`` is the folder of the tasks' folders: "video"."""

    def identify(self, row: AnnotationRow) -> str:
        """Task and number of the row: the rows have no id."""
        row.expect(*FIELDS)
        return f"{row.file.stem}-{row.line}"

    def convert(self, row: AnnotationRow, _epoch: int) -> Example:
        """Return the question; those about one video are one cluster."""
        task = row.file.stem
        row.expect(*FIELDS, *(("start", "end") if task in CUT else ()))
        choices = row.texts("candidates")
        path = Path(self.media, task, row.text("video"))
        return Example(
            id=self.name(row),
            question=row.text("question"),
            answer=letter_of(row, "answer", choices),
            choices=choices,
            media=(Media("video", path, _span(row) if task in CUT else None),),
            cluster=str(path),
            fields=row.values,
        )


def _span(row: AnnotationRow) -> Span:
    start, end = row.number("start"), row.number("end")
    if not 0 <= start <= end:
        raise row.bad("start, end", "seconds with 0 <= start <= end", (start, end))
    return Span(start, end)
