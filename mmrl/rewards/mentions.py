"""Which options a piece of text names: by a letter that stands alone, or by the words of the option."""

import re
from collections.abc import Sequence
from string import ascii_uppercase

WRAPPING = " \t\r\n()[]{}.,;:*_\"'`$“”‘’<>#-–—!。、！"
EDGE = "[0-9A-Za-z_À-ɏ]"  # what makes a letter part of a word; Chinese characters, which need no spaces, do not
NAME = re.compile(rf"(?<!{EDGE})(?<!{EDGE}['’])([A-Z])(?!['’]?{EDGE})")
WORD = re.compile(r"\w+")
BEFORE = re.compile(r"\b(?:option|choice|answer:) ?\W?$", re.IGNORECASE)
ARTICLE = re.compile(
    r"[AI] (?!(?:also|and|as|because|but|comes|could|does|due|fits|for|from|given|has|if|is|it|makes|must|nor|not|or|rather"
    r"|remains|seems|should|since|so|than|unless|was|when|which|with|would)\b)[a-z]"
)


def letters(choices: Sequence[str]) -> str:
    """The letters of the options, in order."""
    return ascii_uppercase[: len(choices)]


def named_by_letter(text: str, choices: Sequence[str]) -> set[str]:
    """Capital letters in range that stand alone. "A person", "I see" are none; "option A is" is one."""
    found = (match for match in NAME.finditer(text) if match[1] in letters(choices))
    return {match[1] for match in found if not is_article(text, match.start(1), choices)}


def named_by_words(text: str, choices: Sequence[str]) -> set[str]:
    """Options whose words occur in the text; where one option's words lie within another's, the longer one counts."""
    plain, found = f" {words(text)} ", set()
    for name, choice in sorted(zip(letters(choices), choices, strict=True), key=lambda option: -len(option[1])):
        phrase = f" {words(choice)} "
        if phrase.strip() and phrase in plain:
            found.add(name)
            plain = plain.replace(phrase, " | ")
    return found


def is_article(text: str, at: int, choices: Sequence[str] = ()) -> bool:
    """Whether the A or I at this place is an article or a pronoun: a lower-case word follows that is no connective.

    Not where the letter's own option follows ("A open drawer").
    """
    if ARTICLE.match(text, at) is None or BEFORE.search(text[max(0, at - 12) : at]):
        return False
    own = words(choices[ascii_uppercase.index(text[at])]) if ascii_uppercase.index(text[at]) < len(choices) else ""
    return not own or not f"{words(text[at + 1 : at + 1 + 2 * len(own) + 9])} ".startswith(f"{own} ")


def spoken(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the one option whose text this is, up to case, spaces and what wraps it."""
    said = normal(text)
    names = [name for name, choice in zip(letters(choices), choices, strict=True) if said and normal(choice) == said]
    return names[0] if len(names) == 1 else None


def normal(text: str) -> str:
    """Case, runs of spaces and wrapping punctuation taken away."""
    return " ".join(text.casefold().split()).strip(WRAPPING)


def words(text: str) -> str:
    """Lower-case words with single spaces, without punctuation."""
    return " ".join(WORD.findall(text.casefold()))
