"""Chats in the Hugging Face format, one per line: ``{"messages": [{"role": ..., "content": ...}, ...]}``.

A last turn by the assistant is a demonstration. Optional fields: ``id`` (else the line), ``answer``, ``kind``,
``choices``, ``cluster``.
"""

from dataclasses import dataclass
from typing import Any

from mmrl.data.formats.chat import read_chat, words_of
from mmrl.data.formats.dataset import Annotations
from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import KINDS, Message


@dataclass(frozen=True)
class Messages(Annotations):
    """A file of chats."""

    def identify(self, row: AnnotationRow) -> str:
        """Return ``id``, or the line number for rows without one."""
        return row.name("id") if row.has("id") else f"line-{row.line}"

    def convert(self, row: AnnotationRow, _epoch: int) -> dict[str, Any]:
        """Return the chat; a last turn by the assistant becomes the demonstration."""
        chat, demonstration = _demonstration(row, read_chat(row, "messages", self.media))
        choices = row.texts("choices") if row.has("choices") else ()
        row.distinct("choices", choices)
        kind = row.one_of("kind", KINDS) if row.has("kind") else "choice" if choices else "free"
        answer = row.name("answer") if row.has("answer") else None
        if answer is not None and kind == "choice" and choices:
            row.letter("answer", answer, len(choices))
        return {
            "question": words_of(chat),
            "answer": answer,
            "kind": kind,
            "choices": choices,
            "messages": chat,
            "demonstration": demonstration,
            "cluster": row.name("cluster") if row.has("cluster") else "",
        }


def _demonstration(row: AnnotationRow, chat: tuple[Message, ...]) -> tuple[tuple[Message, ...], str | None]:
    last = chat[-1]
    if last.role != "assistant":
        return chat, None
    if not all(isinstance(part, str) for part in last.content):
        raise row.bad("messages", "a last turn of text alone", "media in what the assistant says")
    if chat[0] is last or not any(message.role == "user" for message in chat[:-1]):
        raise row.bad("messages", "a message of the user before the assistant's", [message.role for message in chat])
    return chat[:-1], "".join(last.content)
