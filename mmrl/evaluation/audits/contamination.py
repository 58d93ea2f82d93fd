"""Contamination: files, by name and by content, and questions that evaluation and training share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrl.config.load import load
from mmrl.config.open_data import every, training_data
from mmrl.config.schema import Config
from mmrl.data.media.paths import inside
from mmrl.evaluation.records import Item
from mmrl.evaluation.scoring import gold_text
from mmrl.runtime.files import sha256_of
from mmrl.types import Example


@dataclass(frozen=True, slots=True)
class Trained:
    """The files and questions that were trained on."""

    paths: frozenset[str]
    hashes: frozenset[str]  # of the files that exist
    questions: frozenset[tuple[str, str]]  # question and the text of its answer
    root: Path | None  # of the evaluation, if its files can be hashed


def trained_on(config: Path, evaluation_root: Path | None) -> Trained:
    """Return the files and questions that a training config learns from. Files are hashed if both roots exist."""
    parsed = load(Config, config)
    examples = list(every(training_data(parsed.data, parsed.seed)))
    root = Path(parsed.data.root)
    paths = {medium.path for example in examples for medium in example.every_media}
    hashes = {sha for path in paths if (sha := content(root, path))} if evaluation_root is not None else set()
    return Trained(frozenset(map(str, paths)), frozenset(hashes), frozenset(map(asked, examples)), evaluation_root)


def shared(items: Sequence[Item], trained: Trained) -> Iterator[str]:
    """Yield a line for each kind of overlap of evaluation and training: file names, file contents, questions."""
    files = {file.path for item in items for file in item.media}
    same = sorted(files & trained.paths)
    if same:
        yield f"{len(same)} of {len(files)} files were trained on, such as {same[0]}"
    if trained.root is not None:
        copies = sorted(p for p in files - set(same) if content(trained.root, Path(p)) in trained.hashes)
        if copies:
            yield f"{len(copies)} of {len(files)} files were trained on under another name, such as {copies[0]}"
    known = [item for item in items if asked(item) in trained.questions]
    if known:
        yield f"{len(known)} of {len(items)} questions were trained on with the same answer, such as {known[0].id!r}"


def content(root: Path, path: Path) -> str | None:
    """Return the hash of a file; None if it does not exist."""
    whole = inside(root, path)
    return sha256_of(whole) if whole.is_file() else None


def asked(one: Item | Example) -> tuple[str, str]:
    """Return the question and the text of its answer, without case and runs of spaces."""
    texts = (one.question, gold_text(one.choices, one.answer) or "")
    question, answer = (" ".join(text.casefold().split()) for text in texts)
    return question, answer
