"""The words that a reasoning may use, and what kind each is of: what ``mmrl.world.claims`` reads clauses from.

Both dialects, the terse and the long one, in one closed list, in any case. Whatever is not in it is of kind "unknown".
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mmrl.world.grammar import TIMES
from mmrl.world.octet import LETTERS
from mmrl.world.script import COLOURS, FAMILIES, PLACES, THINGS, VERBS

TOKEN = re.compile(r"</?\w*>|\w+(?:['’]\w+)*|[.!?\n,;]")  # the first are tags, which say nothing
NOUNS = "cube ball ring disc box cup mat pad plate drawer paint station side lid"
MARKS = {"comma": (",", ";"), "stop": (".", "!", "?", "\n")}
PUNCTUATION = {mark for marks in MARKS.values() for mark in marks}  # which are no words
SAID = {  # the words of each kind that say nothing but their kind
    "saw": "saw see seen",
    "lamp": "lamp",
    "holds": "holds hold contains contain",
    "needs": "needs need starts",
    "should": "should must",
    "option": "option answer choice letter",
    "so": "so therefore thus hence",
    "and": "and",
    "nothing": "nothing",
    "doubt": "not no nor never neither cannot or either if unless",
    "filler": "the an i we it is are was were be at in into onto to on of from out under with for long this that then "
    "next now still only just there gripper what stands two step boxes",
}


class Word(NamedTuple):
    """A word or a punctuation mark."""

    kind: str
    value: str | int  # a slot for a time, a capital for a letter, else the word in lower case


def lex(text: str) -> list[Word]:
    """Return the text as words and punctuation marks."""
    raw = TOKEN.findall(text)
    return [_word(raw, at) for at in range(len(raw))]


def values(words: Sequence[Word], kind: str) -> set[str]:
    """Return what is said by the words of a kind."""
    return {str(word.value) for word in words if word.kind == kind}


def _lexicon() -> dict[str, Word]:
    """Return all words that mean the same wherever they stand."""
    kinds = MARKS | {kind: words.split() for kind, words in SAID.items()}
    kinds["filler"] += [form for noun in NOUNS.split() for form in (noun, f"{noun}s")]
    kinds["thing"] = [thing for things in THINGS.values() for thing in things]
    kinds["verb"] = [*VERBS, *(family.verb for family in FAMILIES.values())]
    kinds["place"] = list(PLACES)
    times = {name: Word("time", slot) for slot, ordinal in enumerate(TIMES) for name in (ordinal, f"t{slot}")}
    return {word: Word(kind, word) for kind, words in kinds.items() for word in words} | times


LEXICON = _lexicon()
STEPS = {str(slot + 1): Word("time", slot) for slot in range(len(TIMES))}


def _word(raw: Sequence[str], at: int) -> Word:
    """Return what a word means where it stands."""
    plain, before = raw[at].casefold(), raw[at - 1].casefold() if at else ""
    if plain.upper() in LETTERS:
        return Word("letter", plain.upper()) if _is_letter(raw, at, before) else Word("filler", plain)
    if before == "step" and plain in STEPS:
        return STEPS[plain]
    if plain.endswith(("n't", "n’t")):
        return Word("doubt", plain)
    return LEXICON.get(plain, Word("unknown", plain))


def _is_letter(raw: Sequence[str], at: int, before: str) -> bool:
    """Return whether a, b, c or d names an option.

    "a" does not where it is an article: before a colour or a noun, and in lower case before any word. After "option" it
    always names one.
    """
    behind = raw[at + 1].casefold() if at + 1 < len(raw) else "."
    if raw[at].casefold() != "a" or before in SAID["option"].split() or behind in PUNCTUATION:
        return True
    return raw[at] == "A" and behind not in COLOURS and behind not in NOUNS.split()
