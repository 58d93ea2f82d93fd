"""Video-R1 (Feng et al. 2025, arXiv 2503.21776): questions of five kinds about one video or image each.

``Video-R1-260k.json`` (one list), ``Video-R1-COT-165k.json`` (with ``process``, a reasoning) and the ``eval_*.json``
of Video-R1-eval.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Kind, Media, letter_at

KIND: dict[str, Kind] = {
    "multiple choice": "choice",
    "numerical": "numerical",
    "regression": "regression",
    "OCR": "ocr",
    "free-form": "free",
}
SOLUTION = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)


@dataclass(frozen=True)
class VideoR1(Annotations):
    """A file in the format of Video-R1."""

    id_field = "problem_id"  # an integer in the published files
    shown: ClassVar[dict[str, Literal["video", "image"]]] = {"video": "video", "image": "image"}  # by data_type

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the question, with reasoning and solution as a demonstration; one media file is one cluster."""
        kind = KIND[row.one_of("problem_type", tuple(KIND))]
        choices = self.choices(row) if kind == "choice" else ()
        answer = solution(row)
        media = Media(self.shown[row.one_of("data_type", tuple(self.shown))], Path(self.media, row.text("path")))
        return {
            "question": row.text("problem"),
            "answer": row.letter("solution", answer, len(choices)) if kind == "choice" else answer,
            "kind": kind,
            "choices": choices,
            "media": (media,),
            "demonstration": self.demonstration(row),
            "cluster": str(media.path),
        }

    def choices(self, row: AnnotationRow) -> tuple[str, ...]:
        """Return the options, which must differ and must not be empty."""
        if not row.texts("options"):
            raise row.bad("options", "options, for a multiple choice", "none")
        choices = without_letters(row, least=1)
        row.distinct("options", choices)
        return choices

    def demonstration(self, row: AnnotationRow) -> str | None:
        """Return reasoning, a newline, the solution. ``process`` is empty in files without reasoning."""
        process = row.values.get("process") or ""
        if not isinstance(process, str):
            raise row.bad("process", "text", process)
        return f"{process}\n{row.values['solution']}" if process.strip() else None


def without_letters(row: AnnotationRow, least: int = 0) -> tuple[str, ...]:
    """Return the options without their letters. Raises BadRow unless the letters are A, B, C ... and texts have ``least`` characters."""
    texts = []
    for index, option in enumerate(row.values["options"]):
        head, stop, text = option.partition(".") if isinstance(option, str) else ("", "", "")
        if not stop or head.strip() != letter_at(index) or len(text.strip()) < least:
            raise row.bad(f"options[{index}]", f'"{letter_at(index)}. " and the option\'s text', option)
        texts.append(text.strip())
    return tuple(texts)


def solution(row: AnnotationRow) -> str:
    """Return the gold, which is in an answer block. Raises BadRow if there is none."""
    block = SOLUTION.fullmatch(row.text("solution"))
    if block is None or not block.group(1).strip():
        raise row.bad("solution", '"<answer>", the answer, "</answer>"', row.values["solution"])
    return block.group(1).strip()
