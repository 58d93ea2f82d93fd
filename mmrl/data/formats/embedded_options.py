"""Options as public files state them."""

from collections.abc import Sequence

from mmrl.data.formats.rows import AnnotationRow


def letter_at(index: int) -> str:
    """A, B, C ..."""
    return chr(ord("A") + index)


def lettered(row: AnnotationRow, field: str) -> tuple[str, ...]:
    """A list of texts that begin with "A.", "B." ... in this order, without those. Nothing may stand behind a letter."""
    options = row.values.get(field)
    if not isinstance(options, list) or not options:
        raise row.bad(field, 'a list of options, "A. ..." first', options)
    return tuple(unlettered(row, f"{field}[{index}]", option, index) for index, option in enumerate(options))


def unlettered(row: AnnotationRow, where: str, option: object, index: int) -> str:
    """One option without its letter."""
    head, stop, text = option.partition(".") if isinstance(option, str) else ("", "", "")
    if not stop or head.strip() != letter_at(index):
        raise row.bad(where, f'"{letter_at(index)}. " and the option\'s text', option)
    return text.strip()


def by_letter(row: AnnotationRow, field: str) -> tuple[str, ...]:
    """A mapping whose keys are A, B, C ..., as texts in that order."""
    options = row.values.get(field)
    if not isinstance(options, dict) or sorted(options) != [letter_at(i) for i in range(len(options))] or not options:
        raise row.bad(field, "options by letter, from A on without a gap", options)
    for letter, text in options.items():
        if not isinstance(text, str):
            raise row.bad(f"{field}[{letter}]", "text", text)
    return tuple(options[letter].strip() for letter in sorted(options))


def letter_of(row: AnnotationRow, field: str, choices: Sequence[str]) -> str:
    """The letter of the option that a field repeats; of two that say the same the first, as the public loaders do."""
    answer = row.text(field).strip()
    if answer not in choices:
        raise row.bad(field, f"one of the options {list(choices)}", answer)
    return letter_at(choices.index(answer))
