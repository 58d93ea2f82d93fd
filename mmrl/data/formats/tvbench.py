"""TVBench (Cores et al. 2024, arXiv 2410.07752): ten tasks that a single frame does not solve.

``json/<task>.json`` (one list each), ``video/<task>/<video>``. Loader: daniel-cores/tvbench, vqa_dataset.py and infer.ipynb
at c354322. Fields followed: video, question, candidates, answer (the text of the right candidate), and, for the two tasks
in which that loader shows only a part of the video, start and end in seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Media, letter_at

CUT = ("action_sequence", "action_localization")


@dataclass(frozen=True)
class TVBench(Annotations):
    """The file of one task, which has the task's name. ``media`` is the folder of the tasks' folders: "video"."""

    @property
    def task(self) -> str:
        """The name of the task."""
        return Path(self.annotations).stem

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the task."""
        return ("video", "question", "candidates", "answer", *(("start", "end") if self.task in CUT else ()))

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the question; questions about one video form one cluster.

        If two candidates are equal, the first one is right, as in the loader.
        """
        choices, answer = row.texts("candidates"), row.text("answer").strip()
        if answer not in choices:
            raise row.bad("answer", f"one of the options {list(choices)}", answer)
        path = Path(self.media, self.task, row.text("video"))
        return {
            "question": row.text("question"),
            "answer": letter_at(choices.index(answer)),
            "choices": choices,
            "media": (Media("video", path, row.span("start", "end", "seconds") if self.task in CUT else None),),
            "cluster": str(path),
        }
