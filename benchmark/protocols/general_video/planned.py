"""The part of a benchmark that is there, looked at before a model is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrl.config.open_data import root_of
from mmrl.config.schema import EvalSetSection, EvaluationSection
from mmrl.data.media.paths import inside
from mmrl.evaluation import IncompleteError
from mmrl.evaluation.evaluator import questions
from mmrl.types import Example

SHOWN = 5  # missing files named in a message


@dataclass(frozen=True)
class Planned:
    """A set, and the questions of it that will be asked."""

    section: EvalSetSection
    keep: frozenset[str]  # ids


def planned(evaluation: EvaluationSection, partial: bool) -> tuple[list[Planned], tuple[str, ...]]:
    """Return what will be asked, and in words what of the release is not there: annotations, items, media, subtitles.

    Raises one error for all that is missing, unless partial.
    """
    sets, absent = [], []
    root = root_of(evaluation)
    for one in evaluation.sets:
        if not (root / one.file).is_file():
            absent.append(f"the annotation file {root / one.file}")
            continue
        examples = questions(one, evaluation.model_copy(update={"condition": "full"}))
        lost = missing_media(examples, root)
        keep = frozenset(example.id for example in examples if not lost_of(example, lost))
        absent += [*count_wrong(one, len(examples)), *media_told(one.name, lost, examples)]
        absent += subtitles_missing(one, root)
        if keep:
            sets.append(Planned(without_count(one) if partial else one, keep))
    if absent and not partial:
        raise IncompleteError(
            "; ".join(absent) + ". Complete the data, or say --partial for a table that is labelled so"
        )
    if not sets:
        raise IncompleteError(f"nothing to ask: {'; '.join(absent)}")
    return sets, tuple(absent)


def subtitles_missing(one: EvalSetSection, root: Path) -> list[str]:
    """Return a line if not all subtitles are there."""
    if one.subtitles is None:
        return []
    folder = root / one.subtitles.folder
    files = len(list(folder.iterdir())) if folder.is_dir() else 0
    wanted = one.subtitles.expect or max(files, 1)
    return [] if files == wanted else [f"{one.name}: {files} of {wanted} subtitle files are in {folder}"]


def without_count(one: EvalSetSection) -> EvalSetSection:
    """Return the set with as many subtitles as there are."""
    if one.subtitles is None:
        return one
    return one.model_copy(update={"subtitles": one.subtitles.model_copy(update={"expect": None})})


def missing_media(examples: Sequence[Example], root: Path) -> dict[Path, None]:
    """Return the files that are not there, in order."""
    paths = dict.fromkeys(media.path for example in examples for media in example.every_media)
    return {path: None for path in paths if not inside(root, path).is_file()}


def lost_of(example: Example, lost: Mapping[Path, None]) -> bool:
    """Return True if one of the example's files is missing."""
    return any(media.path in lost for media in example.every_media)


def count_wrong(one: EvalSetSection, found: int) -> list[str]:
    """Return a line if there is another number of items than the release has."""
    return [] if found == one.expect else [f"{one.name}: {found} items where the release has {one.expect}"]


def media_told(name: str, lost: Mapping[Path, None], examples: Sequence[Example]) -> list[str]:
    """Return a line that says how many files are missing and names the first; nothing where none is."""
    if not lost:
        return []
    files = len({media.path for example in examples for media in example.every_media})
    some = ", ".join(str(path) for path in list(lost)[:SHOWN])
    more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
    return [f"{name}: {len(lost)} of {files} media files are missing: {some}{more}"]
