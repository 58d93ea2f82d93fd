"""LongVideoBench (Wu et al. 2024, arXiv 2407.15754): questions that refer to a moment of a video with subtitles.

``lvb_val.json`` (1,337 rows), ``videos/<video_path>``, ``subtitles/<subtitle_path>``. Loader: longvideobench/LongVideoBench,
longvideobench/longvideobench_dataset.py at fc3c553. Fields followed: id, video_id, video_path, subtitle_path, question,
candidates (in the Hub's viewer and in lmms-eval at 75571cf option0 ... option4, padded with "N/A"), correct_choice,
duration, duration_group, question_category, starting_timestamp_for_subtitles. The golds of the test split are hidden.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Media, letter_at

COLUMNS = tuple(f"option{index}" for index in range(5))
NONE = "N/A"


@dataclass(frozen=True)
class LongVideoBench(Annotations):
    """The validation file of LongVideoBench. ``media`` is the folder of the videos, as a rule "videos"."""

    columns = (
        "id", "video_id", "video_path", "subtitle_path", "question", "correct_choice", "duration", "duration_group",
        "question_category", "starting_timestamp_for_subtitles",
    )  # fmt: skip
    id_field = "id"

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the question; questions about one video form one cluster."""
        choices = _choices(row)
        right = row.values["correct_choice"]
        if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(choices):
            advice = "golds of the test split are hidden: take lvb_val.json"
            raise row.bad("correct_choice", f"an index from 0 to {len(choices) - 1}", right, advice)
        row.number("duration")
        return {
            "question": row.text("question"),
            "answer": letter_at(right),
            "choices": choices,
            "media": (Media("video", Path(self.media, row.text("video_path"))),),
            "cluster": row.name("video_id"),
        }


def _choices(row: AnnotationRow) -> tuple[str, ...]:
    if "candidates" in row.values or COLUMNS[0] not in row.values:
        row.expect("candidates")
        return row.texts("candidates")
    return tuple(row.text(name) for name in COLUMNS if row.values.get(name) not in (None, NONE))
