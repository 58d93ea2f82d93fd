"""The files of Video-R1-eval, which Video-R1 and GRPO-CARE computed their tables from.

``eval_{vsibench,videommmu,mmvu,mvbench,tempcompass,videomme}.json``: one list each. Loader: tulerfeng/Video-R1,
src/eval_bench.py at 59d65c3. Fields followed: problem_id, problem, data_type, problem_type, options, solution, path;
further ones (original_question_type, duration, ...) stay in ``fields``. A public copy of five of the files
(qizhongtan/Video-ToC at bbf9451, Evaluation/) shows what they hold: 5,130, 900, 625, 4,000 and 2,700 rows.

Departure from `mmrl.data.formats.video_r1`, which reads training files: options may repeat one another (10 rows of Video-MME, 27
of VideoMMMU), have no text (2 rows, whose options are in the picture) or be one (5 rows of MVBench).

Departure from the loader: MVBench's 200 rows of ``data_type`` "frame" are shown as the videos that their paths name. The
loader hands "frame" to a chat template that knows no such thing, so that their video is not seen.
"""

from dataclasses import dataclass
from pathlib import Path

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.data.formats.video_r1 import KIND, solution
from mmrl.data.options import options_of_list
from mmrl.types import Example, Media

FIELDS = ("problem_id", "problem", "data_type", "problem_type", "options", "solution", "path")
SHOWN = {"video": "video", "frame": "video", "image": "image"}


@dataclass(frozen=True)
class VideoR1Eval(Annotations):
    """One of the files."""

    def identify(self, row: AnnotationRow) -> str:
        """``problem_id``."""
        row.expect(*FIELDS)
        return row.name("problem_id")

    def convert(self, row: AnnotationRow, _epoch: int) -> Example:
        """Return the question; questions about one file are one cluster."""
        row.expect(*FIELDS)
        kind = KIND[row.one_of("problem_type", tuple(KIND))]
        choices = options_of_list(row, "options") if kind == "choice" else ()
        answer = solution(row)
        media = Media(SHOWN[row.one_of("data_type", tuple(SHOWN))], Path(self.media, row.text("path")))
        return Example(
            id=self.name(row),
            question=row.text("problem"),
            answer=row.letter("solution", answer, len(choices)) if kind == "choice" else answer,
            kind=kind,
            choices=choices,
            media=(media,),
            cluster=str(media.path),
            fields=row.values,
        )
