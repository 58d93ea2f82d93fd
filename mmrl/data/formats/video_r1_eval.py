"""The files of Video-R1-eval, from which the tables of Video-R1 and GRPO-CARE were computed.

``eval_{vsibench,videommmu,mmvu,mvbench,tempcompass,videomme}.json``: one list each. Loader: tulerfeng/Video-R1,
src/eval_bench.py at 59d65c3. Fields followed: problem_id, problem, data_type, problem_type, options, solution, path;
further ones (original_question_type, duration, ...) stay in ``fields``. A public copy of five of the files
(qizhongtan/Video-ToC at bbf9451, Evaluation/) has 5,130, 900, 625, 4,000 and 2,700 rows.

Departure from `mmrl.data.formats.video_r1`, the format of training files: options may be equal (10 rows of Video-MME, 27 of
VideoMMMU), may have no text (2 rows, whose options are in the picture), and a row may have one option (5 rows of MVBench).

Departure from the loader: MVBench's 200 rows of ``data_type`` "frame" are shown as the videos that their paths name. The
loader passes "frame" to a chat template that does not support it, so that the model does not get their video.
"""

from dataclasses import dataclass
from typing import ClassVar

from mmrl.data.formats.rows import AnnotationRow
from mmrl.data.formats.video_r1 import VideoR1, without_letters


@dataclass(frozen=True)
class VideoR1Eval(VideoR1):
    """One file of Video-R1-eval."""

    columns = ("problem_id", "problem", "data_type", "problem_type", "options", "solution", "path")
    shown: ClassVar = {"video": "video", "frame": "video", "image": "image"}

    def choices(self, row: AnnotationRow) -> tuple[str, ...]:
        """Return the options unchanged."""
        row.field("options", lambda options: isinstance(options, list) and options, 'a list of options, "A. ..." first')
        return without_letters(row)

    def demonstration(self, row: AnnotationRow) -> None:
        """Return None: these files are for evaluation."""
