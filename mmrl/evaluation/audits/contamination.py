"""What evaluation and training share: files, by name and by content, and questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrl.config.load import load
from mmrl.config.open_data import every, training_data
from mmrl.config.schema import Config
from mmrl.data.media.paths import inside
from mmrl.evaluation.records import Item
from mmrl.runtime.files import sha256_of
from mmrl.types import index_of


@dataclass(frozen=True, slots=True)
class Trained:
    """What was trained on."""

    paths: frozenset[str]
    hashes: frozenset[str]  # of the files that are there
    questions: frozenset[tuple[str, str]]  # question and the text of its answer
    root: Path | None  # of the evaluation, where its files can be hashed


def trained_on(config: Path, evaluation_root: Path | None) -> Trained:
    """What a training config learns from. Files are hashed where both roots are there."""
    parsed = load(Config, config)
    examples = list(every(training_data(parsed.data, parsed.seed)))
    root = Path(parsed.data.root)
    paths = {medium.path for example in examples for medium in example.every_media}
    hashes = {sha for path in paths if (sha := content(root, path))} if evaluation_root is not None else set()
    asked = {(normal(e.question), normal(said(e.choices, e.answer))) for e in examples}
    return Trained(frozenset(map(str, paths)), frozenset(hashes), frozenset(asked), evaluation_root)


def shared(items: Sequence[Item], trained: Trained) -> Iterator[str]:
    """What an evaluation has in common with training, a line each kind."""
    files = {file.path for item in items for file in item.media}
    same = sorted(files & trained.paths)
    if same:
        yield f"{len(same)} of {len(files)} files were trained on, such as {same[0]}"
    if trained.root is not None:
        copies = sorted(p for p in files - set(same) if content(trained.root, Path(p)) in trained.hashes)
        if copies:
            yield f"{len(copies)} of {len(files)} files were trained on under another name, such as {copies[0]}"
    asked = [i for i in items if (normal(i.question), normal(said(i.choices, i.answer))) in trained.questions]
    if asked:
        yield f"{len(asked)} of {len(items)} questions were trained on with the same answer, such as {asked[0].id!r}"


def content(root: Path, path: Path) -> str | None:
    """The hash of a file; None where it is not there."""
    whole = inside(root, path)
    return sha256_of(whole) if whole.is_file() else None


def said(choices: Sequence[str], answer: str | None) -> str:
    """The text of the right option, or the answer itself."""
    place = index_of(answer.strip()[0]) if answer and answer.strip() else -1
    return choices[place] if 0 <= place < len(choices) else answer or ""


def normal(text: str) -> str:
    """Case and runs of spaces taken away."""
    return " ".join(text.casefold().split())
