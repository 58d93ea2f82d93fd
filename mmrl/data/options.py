"""Options of a question: as public files state them, and drawn and shuffled as a function of a key.

Orders are drawn by hashes rather than by a random generator: an order is the same in every process, on every machine and in every
version of NumPy, and that of one example does not depend on the others. Letters are named by `mmrl.types.letter_at`.
"""

import hashlib
from collections.abc import Sequence

from mmrl.data.formats.rows import AnnotationRow
from mmrl.types import letter_at


def shuffled(texts: Sequence[str], key: str) -> list[str]:
    """Return the texts in an order that the key decides."""
    return sorted(texts, key=lambda text: hashlib.sha256(f"{key}\0{text}".encode()).digest())


def drawn(answer: str, negatives: Sequence[str], n: int, key: str) -> list[str]:
    """Return the answer among ``n`` of the negatives, in an order that the key decides."""
    chosen = shuffled(negatives, f"{key}\0draw")[:n]
    return shuffled([answer, *chosen], f"{key}\0order")


def options_of_list(row: AnnotationRow, field: str) -> tuple[str, ...]:
    """Return the texts of a list that begin with "A.", "B." ... in this order, without those; a text may be empty."""
    options = row.values.get(field)
    if not isinstance(options, list) or not options:
        raise row.bad(field, 'a list of options, "A. ..." first', options)
    return tuple(without_letter(row, f"{field}[{index}]", option, index) for index, option in enumerate(options))


def without_letter(row: AnnotationRow, where: str, option: object, index: int) -> str:
    """Return one option without its letter. Raises BadRow where the letter is another."""
    head, stop, text = option.partition(".") if isinstance(option, str) else ("", "", "")
    if not stop or head.strip() != letter_at(index):
        raise row.bad(where, f'"{letter_at(index)}. " and the option\'s text', option)
    return text.strip()


def options_by_letter(row: AnnotationRow, field: str) -> tuple[str, ...]:
    """Return the texts of a mapping whose keys are A, B, C ..., in that order."""
    options = row.values.get(field)
    if not isinstance(options, dict) or sorted(options) != [letter_at(i) for i in range(len(options))] or not options:
        raise row.bad(field, "options by letter, from A on without a gap", options)
    for letter, text in options.items():
        if not isinstance(text, str):
            raise row.bad(f"{field}[{letter}]", "text", text)
    return tuple(options[letter].strip() for letter in sorted(options))


def letter_of(row: AnnotationRow, field: str, choices: Sequence[str]) -> str:
    """Return the letter of the option that a field repeats.

    Of two that say the same the first, as public loaders do.
    """
    answer = row.text(field).strip()
    if answer not in choices:
        raise row.bad(field, f"one of the options {list(choices)}", answer)
    return letter_at(choices.index(answer))
