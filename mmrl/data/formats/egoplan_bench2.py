"""EgoPlan-Bench2 (Qiu et al. 2024, arXiv 2412.04447): what to do next, after a part of an Ego4D video.

``EgoPlan-Bench2.json`` (one list, 1,321 rows), ``videos/<video>.mp4``: Ego4D's v1 at 288p. Loader: qiulu66/EgoPlan-Bench2,
eval.py at 2523b38. Fields followed: sample_id ("<video>_<n>"), domain, scenario, task_goal, choice_a ... choice_d,
golden_choice_idx, answer, task_start_frame, current_observation_frame: the video is shown from the one to the other.
``task_progress_metadata`` tells what is done in the video and is never shown. SEED-Bench-R1's L3 holds the same questions with
the progress as a clip and the present as an image (`mmrl.data.formats.seed_bench_r1`).
"""

from dataclasses import dataclass
from pathlib import Path

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Example, Media, Span, letter_at

CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")
FIELDS = (
    "sample_id", "domain", "scenario", "task_goal", *CHOICES, "golden_choice_idx", "answer", "task_start_frame",
    "current_observation_frame",
)  # fmt: skip
QUESTION = (  # the loader's
    "Considering the progress shown in the video and my current observation in the last frame, "
    "what action should I take next in order to {goal}?"
)


@dataclass(frozen=True)
class EgoPlanBench2(Annotations):
    """The file. ``media`` is the folder of the Ego4D videos."""

    def identify(self, row: AnnotationRow) -> str:
        """``sample_id``."""
        row.expect(*FIELDS)
        return row.file_name("sample_id")

    def convert(self, row: AnnotationRow, _epoch: int) -> Example:
        """Return the question; those about one Ego4D video are one cluster."""
        row.expect(*FIELDS)
        choices = tuple(row.text(field).strip() for field in CHOICES)
        gold = row.letter("golden_choice_idx", row.text("golden_choice_idx"), len(choices))
        if row.text("answer").strip() not in (gold, choices[[letter_at(i) for i in range(4)].index(gold)]):
            raise row.bad("answer", f"the text of option {gold}", row.values["answer"])
        video = row.file_name("sample_id").rpartition("_")[0]
        return Example(
            id=self.name(row),
            question=QUESTION.format(goal=row.text("task_goal")),
            answer=gold,
            choices=choices,
            media=(Media("video", Path(self.media, f"{video}.mp4"), _span(row)),),
            cluster=video,
            fields=row.values,
        )


def _span(row: AnnotationRow) -> Span:
    start, end = row.number("task_start_frame"), row.number("current_observation_frame")
    if not 0 <= start <= end:
        raise row.bad("task_start_frame, current_observation_frame", "frames with 0 <= start <= end", (start, end))
    return Span(start, end, "frames")
