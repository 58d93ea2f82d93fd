"""Find the options that a text names, by a letter that stands alone or by the words of the option."""

import re
from collections.abc import Sequence

from mmrl.rewards.option_patterns import ARTICLE, NAME, NAMED_OPTION
from mmrl.types import index_of, letters_of

WRAPPING = " \t\r\n()[]{}.,;:*_\"'`$“”‘’<>#-–—!。、！"
WORD = re.compile(r"\w+")


def named(text: str, choices: Sequence[str]) -> set[str]:
    """Return the letters of the options that the text names, by letter or by their words."""
    return named_by_letter(text, choices) | named_by_words(text, choices)


def named_by_letter(text: str, choices: Sequence[str]) -> set[str]:
    """Return the capital letters in range that stand alone: none in "A person" and "I see", one in "option A is"."""
    matches = (match for match in NAME.finditer(text) if match[1] in letters_of(choices))
    return {match[1] for match in matches if not is_article(text, match.start(1), choices)}


def named_by_words(text: str, choices: Sequence[str]) -> set[str]:
    """Return the letters of the options whose words occur in the text.

    If one option's words are part of another's, the longer one counts.
    """
    plain, found = f" {plain_words(text)} ", set()
    for name, choice in longest_first(choices):
        phrase = f" {plain_words(choice)} "
        if phrase.strip() and phrase in plain:
            found.add(name)
            plain = plain.replace(phrase, " | ")
    return found


def longest_first(choices: Sequence[str]) -> list[tuple[str, str]]:
    """Return the options with their letters, those with the longest texts first."""
    return sorted(zip(letters_of(choices), choices, strict=True), key=lambda option: -len(option[1]))


def with_words_replaced(text: str, choice: str, by: str, count: int = 0) -> str:
    """Return the text with an option's words replaced, the first ``count`` times, or everywhere if it is 0."""
    pattern = r"\W+".join(re.escape(word) for word in plain_words(choice).split())
    return re.sub(rf"(?<!\w){pattern}(?!\w)", by, text, count=count, flags=re.IGNORECASE) if pattern else text


def is_article(text: str, at: int, choices: Sequence[str] = ()) -> bool:
    """Return True if the A or I at index ``at`` is an article or a pronoun: a lower-case word follows that is no connective.

    It is False if the text of the letter's own option follows ("A open drawer").
    """
    if ARTICLE.match(text, at) is None or NAMED_OPTION.search(text[max(0, at - 12) : at]):
        return False
    own = plain_words(choices[index_of(text[at])]) if index_of(text[at]) < len(choices) else ""
    return not own or not f"{plain_words(text[at + 1 : at + 1 + 2 * len(own) + 9])} ".startswith(f"{own} ")


def option_with_text(text: str, choices: Sequence[str]) -> str | None:
    """Return the letter of the only option that equals the text after normalisation, or None."""
    plain = normalised(text)
    names = [name for name, choice in longest_first(choices) if plain and normalised(choice) == plain]
    return names[0] if len(names) == 1 else None


def normalised(text: str) -> str:
    """Fold case, collapse runs of spaces and remove wrapping punctuation."""
    return " ".join(text.casefold().split()).strip(WRAPPING)


def plain_words(text: str) -> str:
    """Return the words in lower case, separated by single spaces, without punctuation."""
    return " ".join(WORD.findall(text.casefold()))
