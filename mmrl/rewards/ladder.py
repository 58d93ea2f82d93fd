"""The lenient reading of a multiple-choice answer: a ladder of rules, and the name of the rung that found the letter.

What models write around a letter differs by model, and a strict scorer measures that. The ladder gives every model the
same chance, and never guesses: no random letter, no case-folded "a", no "A person", no "Based on" (traps found in other
harnesses). What no rung can read is unparsed, what names several letters is ambiguous; both are wrong. The rungs:

- exact, wrapped, text, letter and text: the whole graded block is a letter, a letter in brackets or after "Option", an
  option's text, or both (and they agree)
- whole, unclosed, boxed: the same for all that follows the reasoning where there is no block, for a block that was
  opened and never closed, and for the last \\boxed{}
- phrase, alone: "the answer is B" in the last sentence; the last sentence closes with the letter alone
"""

import re
from collections.abc import Sequence

from mmrl.rewards.mentions import WRAPPING, is_article, letters, named_by_letter, named_by_words, normal, spoken
from mmrl.rewards.parse import ANSWER, THINK, THINK_END, parse

Reading = tuple[str | None, str]
UNPARSED, AMBIGUOUS = (None, "unparsed"), (None, "ambiguous")

SHORT = 1000  # characters: what is longer is no answer, and of a longer sentence the end is read
MARKS = str.maketrans(dict.fromkeys('*_`$"“”'))
STOP = re.compile(r"(?<=[.!?]) ")
LABEL = re.compile(
    r"^(?:the )?(?:(?:final|correct|best|right) )?(?:option|answer|choice|letter)(?: is)?:? ?(?=\W{0,4}[A-Z])",
    re.IGNORECASE,
)
HEAD = re.compile(r"\W{0,4}([A-Z])\b(?!['’])")
CLEAR = re.compile(r"[)\]]?[.:]|[)\]\n]")  # behind a letter, tells that it is a name and not a word

LETTER = r"[(\[{]?([A-Z])[)\]}]?(?![\w'’])"
PHRASES = (
    re.compile(rf"\b(?i:answer|choice)(?i: is| would be| should be| must be|):? ?(?i:option |choice )?{LETTER}"),
    re.compile(rf"\b(?i:option|choice) {LETTER}"),
    re.compile(rf"(?<![\w'’]){LETTER} is (?i:the )?(?i:correct|right|best|answer)\b"),
)
CLOSING = (
    re.compile(rf"(?:^|[:,\-–—=>]) ?{LETTER}[.!]?$"),
    re.compile(rf"\b(?i:therefore|thus|hence|so|choose|chose|pick|select|say|go with):? {LETTER}[.!]?$"),
    re.compile(rf"\b(?i:it|this|that)(?i: is|'s|’s| must be| should be| has to be| would be) {LETTER}[.!]?$"),
    re.compile(r"(?<!figure )(?<!panel )(?<!image )[(\[]([A-Z])[)\]][.!]?$", re.IGNORECASE),
)
DOUBT = re.compile(
    r"\b(?:no|not|never|neither|nor|cannot|either|or|if|unless|unsure|unclear|maybe|guess|wait|actually|wrong|incorrect"
    r"|false|except|instead|rather|than|without|(?:rule|exclude|eliminate)[sd]?)\b|n['’]t\b|\?$",
    re.IGNORECASE,
)


def letter(text: str, choices: Sequence[str]) -> Reading:
    """The chosen letter and the rung that found it; (None, "ambiguous") or (None, "unparsed") where there is none.

    choices: the options' texts without letters, in the order shown.
    """
    if not 1 <= len(choices) <= 26:
        raise ValueError(f"letter: expected the texts of 1 to 26 choices, found {len(choices)}")
    parsed = parse(text)
    if parsed.answer is not None:
        return first(block(parsed.answer, choices), phrase(parsed.answer, choices))
    tail = after_reasoning(text)
    opened = tail.rfind(ANSWER)
    if opened >= 0:
        return renamed("unclosed", block(tail[opened + len(ANSWER) :], choices))
    boxed = tail.rpartition("\\boxed{")
    if boxed[1]:
        content = boxed[2].partition("}")[0].removeprefix("\\text{").removeprefix("\\mathrm{")
        return renamed("boxed", block(content, choices))
    return first(renamed("whole", block(tail, choices)), phrase(tail, choices), alone(tail, choices))


def block(content: str, choices: Sequence[str]) -> Reading:
    """A text that is nothing but an answer: a letter, an option's text, or a letter and its option's text."""
    content = content.strip()
    if len(content) == 1 and content in letters(choices):
        return content, "exact"
    inner = LABEL.sub("", content.translate(MARKS).strip())
    core = inner.strip(WRAPPING)
    if len(core) == 1 and core in letters(choices):
        return core, "wrapped"
    by_text = spoken(content, choices)
    return (by_text, "text") if by_text else letter_and_text(inner, choices)


def letter_and_text(content: str, choices: Sequence[str]) -> Reading:
    """ "B. open drawer": the text must be that of the letter's option, or, behind a clear stop, of no option at all."""
    head = HEAD.match(content)
    if head is None or head[1] not in letters(choices) or len(content) > SHORT:
        return UNPARSED
    rest = content[head.end() :]
    if normal(rest) == normal(choices[letters(choices).index(head[1])]):
        return head[1], "letter and text"
    if (named_by_letter(rest, choices) | named_by_words(rest, choices)) - {head[1]}:
        return AMBIGUOUS
    return (head[1], "letter and text") if CLEAR.match(rest) and not DOUBT.search(rest) else UNPARSED


def phrase(text: str, choices: Sequence[str]) -> Reading:
    """ "The answer is B" in the last sentence, without a word of doubt or refusal, naming one option only."""
    sentence = last_sentence(text, choices)
    found = (match for rule in PHRASES for match in rule.finditer(sentence))
    return only({match[1] for match in found if not is_article(sentence, match.start(1))}, sentence, choices, "phrase")


def alone(text: str, choices: Sequence[str]) -> Reading:
    """The last sentence closes with a letter that stands alone: "So, B." or "... the drawer (B)." """
    sentence = last_sentence(text, choices)
    return only({match[1] for rule in CLOSING if (match := rule.search(sentence))}, sentence, choices, "alone")


def only(found: set[str], sentence: str, choices: Sequence[str], rung: str) -> Reading:
    """The letter, if it is in range and the sentence neither doubts nor names another option."""
    found &= set(letters(choices))
    if not found:
        return UNPARSED
    others = (named_by_letter(sentence, choices) | named_by_words(sentence, choices)) - found
    return AMBIGUOUS if len(found) > 1 or others or DOUBT.search(sentence) else (found.pop(), rung)


def last_sentence(text: str, choices: Sequence[str]) -> str:
    """The last sentence of the last line, without emphasis marks; "The answer is B. Close tap." counts as one."""
    line = text.strip().rpartition("\n")[2]
    sentences = STOP.split(" ".join(line.translate(MARKS).split())[-SHORT:])
    return " ".join(sentences[-2:] if spoken(sentences[-1], choices) else sentences[-1:])


def after_reasoning(text: str) -> str:
    """What follows the last </think>. Reasoning that was cut off has nothing behind it but an opened answer."""
    if THINK_END in text:
        return text.rpartition(THINK_END)[2]
    return text[text.find(ANSWER) :] if THINK in text and ANSWER in text else "" if THINK in text else text


def first(*readings: Reading) -> Reading:
    """The first reading that found a letter; else ambiguous, if one is; else unparsed."""
    found = [reading for reading in readings if reading[0]]
    return found[0] if found else AMBIGUOUS if AMBIGUOUS in readings else UNPARSED


def renamed(rung: str, reading: Reading) -> Reading:
    """A letter found is credited to this rung."""
    return (reading[0], rung) if reading[0] else reading
