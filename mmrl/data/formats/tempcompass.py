"""TempCompass (Liu et al. 2024, arXiv 2403.00476): four kinds of questions about videos and their altered twins.

``questions/{multi-choice,yes_no,caption_matching,captioning}.json`` (1,580, 2,453, 1,503 and 2,004 questions about 410
videos), ``videos/<video>.mp4``. Loader: llyx97/TempCompass, eval_*.py and run_video_llava/inference_dataset.py at e1b4631.
Each file maps video -> aspect (action, direction, speed, order, attribute_change) -> list of {question, answer}; options
are in the question, one per line. The module also loads a list of rows with video_id, dim, question and answer, as in
lmms-eval (75571cf).

Departures: all kinds are asked as a choice. Yes/no has the options yes and no. The original captioning task asks for a caption
of the one piece of information that is true, which needs a language model as judge; here the question is which piece is true.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow, BadRow, read_rows
from mmrl.types import Media, letter_at

KINDS = ("multi-choice", "yes_no", "caption_matching", "captioning")  # a file has the name of its kind
YES_NO = ("yes", "no")
CAPTION = "Generated Caption:"
NAME = re.compile(r"[.:]")
OPTION = {
    "multi-choice": re.compile(r"([A-Z])\. ?(.*)"),
    "caption_matching": re.compile(r"((?:Caption|Sentence|Option) \w): ?(.*)"),
    "captioning": re.compile(r"Information ([A-Z]): ?(.*)"),
}


@dataclass(frozen=True)
class TempCompass(Annotations):
    """The file of one kind. ``media`` is the folder of the videos, as a rule "videos"."""

    columns = ("video_id", "dim", "question", "answer")

    def rows(self, path: Path, root: Path) -> Iterator[AnnotationRow | BadRow]:
        """Return the rows of a list, or the questions of a nested file as rows."""
        nested = _nested(path)
        return read_rows(path, root) if nested is None else _flat(path, nested, root)

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the question; a video and its altered twins form one cluster."""
        kind = row.file.stem
        if kind not in KINDS:
            raise row.bad("file name", f"one of {', '.join(f'{name}.json' for name in KINDS)}", row.file.name)
        asked, names, choices = _options(row, kind)
        return {
            "question": asked,
            "answer": letter_at(_right(row, kind, names)),
            "choices": choices,
            "media": (Media("video", Path(self.media, f"{row.file_name('video_id')}.mp4")),),
            "cluster": row.text("video_id").partition("_")[0],
        }


def _nested(path: Path) -> dict | None:
    """Return the content of a file that is one object of videos; None if it is a list or has one row per line."""
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    if not text.lstrip().startswith("{"):
        return None
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return None
    return None if "question" in content else content


def _flat(path: Path, content: dict, root: Path) -> Iterator[AnnotationRow | BadRow]:
    number = 0
    for video, aspects in content.items():
        if not isinstance(aspects, dict) or not all(isinstance(each, list) for each in aspects.values()):
            yield BadRow(
                f"{path}: {video}: expected questions by aspect, found {str(aspects)[:80]}; take questions/*.json"
            )
            continue
        for aspect, questions in aspects.items():
            for question in questions:
                number += 1
                yield AnnotationRow(path, number, {"video_id": video, "dim": aspect} | dict(question), root)


def _options(row: AnnotationRow, kind: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the question without its options, the names of the options, and their texts."""
    if kind == "yes_no":
        return row.text("question"), YES_NO, YES_NO
    lines = row.text("question").split("\n")
    found = [match for line in lines if (match := OPTION[kind].fullmatch(line.strip()))]
    if len(found) < 2:
        raise row.bad("question", f"two or more lines like {OPTION[kind].pattern}", row.values["question"])
    rest = [line for line in lines if not OPTION[kind].fullmatch(line.strip()) and line.strip() != CAPTION]
    return "\n".join(rest).strip(), tuple(m[1] for m in found), tuple(m[2].strip() for m in found)


def _right(row: AnnotationRow, kind: str, names: tuple[str, ...]) -> int:
    """Return the index of the right option, with whose name the answer begins."""
    name = row.text("answer") if kind == "yes_no" else NAME.split(row.text("answer"), maxsplit=1)[0]
    if name not in names:
        raise row.bad("answer", f"one of {', '.join(names)}, and its text", row.values["answer"])
    return names.index(name)
