"""Parse chats in annotation files: roles, text, and media among the text."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import Media, Message

ROLES = ("system", "user", "assistant")
ANSWER = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)


def read_chat(row: AnnotationRow, field: str, folder: str) -> tuple[Message, ...]:
    """Return the messages in a field: ``[{"role": ..., "content": text or [parts]}, ...]``, with at least one by the user.

    Parts are ``{"type": "text", "text": ...}``, ``{"type": "video", "video": path}`` and ``{"type": "image", "image":
    path}``; a path is relative to ``folder`` in the data root, or a ``file://`` address inside the root. Raises BadRow.
    """
    turns = row.field(field, _are_turns, 'a list of {"role": ..., "content": ...}')
    chat = tuple(_message(row, f"{field}[{number}]", turn, folder) for number, turn in enumerate(turns))
    if not any(message.role == "user" for message in chat):
        raise row.bad(field, "a message of the user", [message.role for message in chat])
    return chat


def words_of(chat: tuple[Message, ...]) -> str:
    """Return the text of the user's last message."""
    users = [message for message in chat if message.role == "user"]
    return "\n".join(part for part in users[-1].content if isinstance(part, str))


def answer_block(text: str) -> str | None:
    """Return the content of the last answer block after the reasoning, or None."""
    blocks = ANSWER.findall(text.rpartition("</think>")[2])
    return blocks[-1].strip() if blocks else None


def _are_turns(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) for turn in value)


def _message(row: AnnotationRow, where: str, turn: dict, folder: str) -> Message:
    role, content = turn.get("role", "no such field"), turn.get("content", "no such field")
    if role not in ROLES:
        raise row.bad(f"{where}.role", f"one of {', '.join(ROLES)}", role)
    if isinstance(content, str) and content and "content" in turn:
        return Message(role, (content,))
    if not isinstance(content, list) or not content:
        raise row.bad(f"{where}.content", "text or a list of parts", content)
    parts = (_part(row, f"{where}.content[{n}]", part, folder) for n, part in enumerate(content))
    return Message(role, tuple(parts))


def _part(row: AnnotationRow, where: str, part: object, folder: str) -> str | Media:
    kind = part.get("type") if isinstance(part, dict) else None
    value = part.get(kind) if isinstance(part, dict) and kind in ("text", "video", "image") else None
    if not isinstance(value, str) or not value:
        shapes = '{"type": "text", "text": ...}, {"type": "video", "video": path} or {"type": "image", "image": path}'
        raise row.bad(where, shapes, part)
    if kind == "text":
        return value
    return Media(kind, _path(row, f"{where}.{kind}", value, folder))


def _path(row: AnnotationRow, where: str, value: str, folder: str) -> Path:
    """Return a path relative to the data root. Opening the file checks again that it does not leave the root."""
    if "://" not in value and not value.startswith("data:"):
        return Path(folder, value)
    if not value.startswith("file://"):
        raise row.bad(where, "a path in the data root", value, "download the file and state its path")
    address = urlsplit(value)
    path = Path(unquote(address.netloc + address.path))
    if not path.is_absolute():
        return Path(folder, path)
    root = row.root.absolute()
    if not path.is_relative_to(root):
        raise row.bad(where, f"a file inside the data root {root}", value, "move the file, or state another data.root")
    return path.relative_to(root)
