"""SEED-Bench-R1 (Chen et al. 2025, arXiv 2503.24376): what to do next, after a video of the past and an image of the present.

Files of TencentARC/SEED-Bench-R1: ``annotations/*.jsonl``, ``videos/<video_source>/<video_basename>`` and
``images/<video_source>/<current_observation_basename>``. The toy world writes the same.
Fields and facts: docs/facts/seed_bench_r1.md.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmrl.data.formats.chat import answer_block, read_chat, words_of
from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.data.options import drawn, shuffled
from mmrl.types import Media, index_of, letter_at

CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")
NEGATIVES = 3
LETTER = re.compile(r"\(?([A-Z])\)?(?:[.:\s]|$)")  # "B", "B.", "(B)", "B. open the drawer"


@dataclass(frozen=True)
class SeedBenchR1(Annotations):
    """Training and validation files.

    ``options="file"``, for validation, uses the four options of the file in their order. ``options="drawn"``, for training,
    draws and shuffles three of ``negative_answers`` and the answer, as a function of (seed, epoch, id); if a row has four
    options, it shuffles these. The official code draws without a seed, and once for all epochs.
    """

    id_field = "sample_id"  # an integer, or "uuid_n" in level 3
    options: Literal["file", "drawn"] = "file"
    seed: int = 0

    def convert(self, row: AnnotationRow, epoch: int) -> dict[str, Any]:
        """Return the question with its options; the letter is the answer."""
        name, answer = self.name(row), row.text("answer")
        choices = self._choices(row, answer, f"{self.seed}\0{epoch}\0{name}")
        return {
            "question": row.text("question"),
            "answer": letter_at(choices.index(answer)),
            "choices": tuple(choices),
            "media": _media(row, self.media),
            "cluster": _cluster(row, name),
        }

    def _choices(self, row: AnnotationRow, answer: str, key: str) -> list[str]:
        if row.has("golden_choice_idx"):
            choices = _four(row, answer)
            return choices if self.options == "file" else shuffled(choices, key)
        if self.options == "file":
            advice = 'state options: drawn for training files, whose rows have "negative_answers" instead'
            raise row.bad("golden_choice_idx", "the letter of the right option", "no such field", advice)
        negatives = row.texts("negative_answers")
        row.distinct("negative_answers", [answer, *negatives])
        if len(negatives) < NEGATIVES:
            raise row.bad("negative_answers", f"{NEGATIVES} or more", f"{len(negatives)}")
        return drawn(answer, negatives, NEGATIVES, key)


@dataclass(frozen=True)
class SeedBenchR1Demonstrations(Annotations):
    """``training_with_cot_6k.jsonl``: ready-made chats (``prompt``) with another model's completion (``response``)."""

    def identify(self, row: AnnotationRow) -> str:
        """Return ``sample_id``, or the line number for rows without one."""
        return row.name("sample_id") if row.has("sample_id") else f"line-{row.line}"

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the chat; the answer is the letter in the response's answer block, if it has one."""
        chat = read_chat(row, "prompt", self.media)
        response = row.text("response")
        letter = LETTER.match(answer_block(response) or "")
        return {
            "question": words_of(chat),
            "answer": letter.group(1) if letter else None,
            "messages": chat,
            "demonstration": response,
            "cluster": _cluster(row, self.name(row)),
        }


def _four(row: AnnotationRow, answer: str) -> list[str]:
    choices = [row.text(field) for field in CHOICES]
    row.distinct("choice_a..choice_d", choices)
    letter = row.letter("golden_choice_idx", row.text("golden_choice_idx"), len(choices))
    golden = index_of(letter)
    if choices[golden] != answer:
        expected = f"the answer ({answer!r}), to which golden_choice_idx points"
        raise row.bad(CHOICES[golden], expected, repr(choices[golden]))
    return choices


def _media(row: AnnotationRow, folder: str) -> tuple[Media, ...]:
    """Return the video and then the image; the image alone if nothing has been done yet."""
    listed = "a list (empty where there is no video)"
    progress = row.field("task_progress_metadata", lambda value: isinstance(value, list), listed)
    source = row.file_name("video_source")
    image = Media("image", Path(folder, "images", source, row.file_name("current_observation_basename")))
    if not progress:
        return (image,)
    return (Media("video", Path(folder, "videos", source, row.file_name("video_basename"))), image)


def _cluster(row: AnnotationRow, name: str) -> str:
    """Return the cluster: rows of one counterfactual group, or of one long video, are not independent."""
    return next((row.name(field) for field in ("group_id", "video_id") if row.has(field)), name)
