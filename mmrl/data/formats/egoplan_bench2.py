"""EgoPlan-Bench2 (Qiu et al. 2024, arXiv 2412.04447): what to do next, after a part of an Ego4D video.

``EgoPlan-Bench2.json`` (one list, 1,321 rows), ``videos/<video>.mp4``: Ego4D's v1 at 288p. Loader: qiulu66/EgoPlan-Bench2,
eval.py at 2523b38. Fields followed: sample_id ("<video>_<n>"), domain, scenario, task_goal, choice_a ... choice_d,
golden_choice_idx, answer, task_start_frame, current_observation_frame: the video is shown between these two frames.
``task_progress_metadata`` describes the actions in the video and is never shown. SEED-Bench-R1's L3 has the same questions with
the progress as a clip and the present as an image (`mmrl.data.formats.seed_bench_r1`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Media, index_of

CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")
QUESTION = (  # the loader's
    "Considering the progress shown in the video and my current observation in the last frame, "
    "what action should I take next in order to {goal}?"
)


@dataclass(frozen=True)
class EgoPlanBench2(Annotations):
    """The annotation file of EgoPlan-Bench2. ``media`` is the folder of the Ego4D videos."""

    columns = (
        "sample_id", "domain", "scenario", "task_goal", *CHOICES, "golden_choice_idx", "answer", "task_start_frame",
        "current_observation_frame",
    )  # fmt: skip

    def identify(self, row: AnnotationRow) -> str:
        """Return ``sample_id``, which is also a file name."""
        return row.file_name("sample_id")

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the question; questions about one Ego4D video form one cluster."""
        choices = tuple(row.text(field).strip() for field in CHOICES)
        gold = row.letter("golden_choice_idx", row.text("golden_choice_idx"), len(choices))
        if row.text("answer").strip() not in (gold, choices[index_of(gold)]):
            raise row.bad("answer", f"the text of option {gold}", row.values["answer"])
        video, part = self.identify(row).rpartition("_")[0], ("task_start_frame", "current_observation_frame")
        return {
            "question": QUESTION.format(goal=row.text("task_goal")),
            "answer": gold,
            "choices": choices,
            "media": (Media("video", Path(self.media, f"{video}.mp4"), row.span(*part, "frames")),),
            "cluster": video,
        }
