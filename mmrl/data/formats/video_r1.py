"""Video-R1 (Feng et al. 2025, arXiv 2503.21776): questions of five kinds about one video or image each.

``Video-R1-260k.json`` (one list), ``Video-R1-COT-165k.json`` (with ``process``, a reasoning) and the ``eval_*.json``
of Video-R1-eval.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Example, Kind, Media, letter_at

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
    """A file of Video-R1's dialect."""

    def identify(self, row: AnnotationRow) -> str:
        """``problem_id``, an integer in the published files."""
        return row.name("problem_id")

    def convert(self, row: AnnotationRow, _epoch: int) -> Example:
        """Return the question; with a reasoning, that and the solution are a demonstration."""
        kind = KIND[row.one_of("problem_type", tuple(KIND))]
        choices = _choices(row) if kind == "choice" else ()
        answer = solution(row)
        media = Media(row.one_of("data_type", ("video", "image")), Path(self.media, row.text("path")))
        return Example(
            id=self.name(row),
            question=row.text("problem"),
            answer=row.letter("solution", answer, len(choices)) if kind == "choice" else answer,
            kind=kind,
            choices=choices,
            media=(media,),
            demonstration=_demonstration(row),
            cluster=str(media.path),
            fields=row.values,
        )


def _choices(row: AnnotationRow) -> tuple[str, ...]:
    """Return the options without their letters, which must be A, B, C ... in this order."""
    texts = []
    for index, option in enumerate(row.texts("options")):
        letter = letter_at(index)
        head, _, text = option.partition(".")
        if head.strip() != letter or not text.strip():
            raise row.bad(f"options[{index}]", f'"{letter}. " and the option\'s text', option)
        texts.append(text.strip())
    if not texts:
        raise row.bad("options", "options, for a multiple choice", "none")
    row.distinct("options", texts)
    return tuple(texts)


def solution(row: AnnotationRow) -> str:
    """Return the gold, which stands in an answer block."""
    block = SOLUTION.fullmatch(row.text("solution"))
    if block is None or not block.group(1).strip():
        raise row.bad("solution", '"<answer>", the answer, "</answer>"', row.values["solution"])
    return block.group(1).strip()


def _demonstration(row: AnnotationRow) -> str | None:
    """Reasoning, a newline, the solution. ``process`` is empty in files without reasoning."""
    process = row.values.get("process") or ""
    if not isinstance(process, str):
        raise row.bad("process", "text", process)
    return f"{process}\n{row.values['solution']}" if process.strip() else None
