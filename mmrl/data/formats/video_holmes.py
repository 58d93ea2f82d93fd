"""Video-Holmes (Cheng et al. 2025, arXiv 2505.21374): suspense films and what their clues add up to.

``test_Video-Holmes.json`` (1,837 rows, 270 films), ``videos/<video ID>.mp4``. Loader: TencentARC/Video-Holmes, evaluate.py
at 52ef8da. Fields followed: "video ID", "Question ID", "Question Type" (SR, IMC, TCI, TA, MHR, PAR, CTI), "Question",
"Options" (by letter), "Answer". A film that is missing is an error here; lmms-eval (75571cf) asks without it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Media, letter_at

TYPES = ("SR", "IMC", "TCI", "TA", "MHR", "PAR", "CTI")


@dataclass(frozen=True)
class VideoHolmes(Annotations):
    """The test file. ``media`` is the folder of the films, as a rule "videos"."""

    columns = ("video ID", "Question ID", "Question Type", "Question", "Options", "Answer")

    def identify(self, row: AnnotationRow) -> str:
        """Return film and question, because "Question ID" alone is not unique in every release."""
        film, question = row.file_name("video ID"), row.name("Question ID")
        return question if question.startswith(film) else f"{film}_{question}"

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the question; questions about one film form one cluster."""
        row.one_of("Question Type", TYPES)
        choices = _choices(row)
        return {
            "question": row.text("Question"),
            "answer": row.letter("Answer", row.text("Answer"), len(choices)),
            "choices": choices,
            "media": (Media("video", Path(self.media, f"{row.file_name('video ID')}.mp4")),),
            "cluster": row.file_name("video ID"),
        }


def _choices(row: AnnotationRow) -> tuple[str, ...]:
    options = row.field("Options", _by_letter, "options by letter, from A on without a gap")
    for letter, text in options.items():
        if not isinstance(text, str):
            raise row.bad(f"Options[{letter}]", "text", text)
    return tuple(options[letter].strip() for letter in sorted(options))


def _by_letter(options: object) -> bool:
    letters = [letter_at(index) for index in range(len(options))] if isinstance(options, dict) else []
    return bool(letters) and sorted(options) == letters
