"""Rules that find the option that an answer states. A rule searches a region of a completion and returns an Extraction."""

import re
from collections.abc import Sequence

from mmrl.rewards import option_patterns as patterns
from mmrl.rewards.answer_regions import SHORT, Span, last_line, last_line_of, sentence_starts, stripped
from mmrl.rewards.extracted_answer import UNPARSED, Extraction, ambiguous
from mmrl.rewards.option_mentions import (
    WRAPPING,
    is_article,
    named,
    normalised,
    option_with_text,
    with_words_replaced,
)
from mmrl.rewards.plain_text import READ, PlainText, plain_text
from mmrl.types import index_of, letters_of

LINES = re.compile(r"^[^\n]+", re.MULTILINE)


def whole_block(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """Return the option of a region that is an answer and nothing else: a letter, an option's text, or both."""
    span = stripped(text, region)
    content = text[slice(*span)]
    if not content or len(content) > SHORT + max(map(len, choices)):
        return UNPARSED
    if len(content) == 1 and content in letters_of(choices):
        return Extraction(content, "exact", span)
    return wrapped(plain_text(text, *span).text, span, choices)


def wrapped(plain: str, span: Span, choices: Sequence[str]) -> Extraction:
    """Return the option of such a region; ``plain`` is its text without decoration."""
    inner = patterns.LABEL.sub("", plain.lstrip(WRAPPING))
    core = inner.strip(WRAPPING)
    if len(core) == 1 and core.upper() in letters_of(choices):
        clear = core.isupper() or patterns.BRACKETED.search(plain)
        return Extraction(core.upper(), "wrapped" if clear else "lower case", span)
    by_text = option_with_text(plain, choices) or option_with_text(inner, choices)
    return Extraction(by_text, "text", span) if by_text else letter_and_text(inner, span, choices)


def declared(found: Extraction) -> Extraction:
    """Reject a bare "a" outside of a closed block or box, because it may be an article there."""
    return UNPARSED if found.rule == "lower case" else found


def letter_and_text(inner: str, span: Span, choices: Sequence[str]) -> Extraction:
    """Return the option of a text like "B. open drawer".

    The text after the letter must be that of its option or, after a clear stop, must name no option.
    """
    head = patterns.HEAD.match(inner)
    if head is None or head[1].upper() not in letters_of(choices):
        return UNPARSED
    name, rest = head[1].upper(), inner[head.end() :]
    if normalised(rest) == normalised(choices[index_of(name)]):
        return Extraction(name, "letter and text", span)
    if head[1].islower() or len(inner) > SHORT:
        return UNPARSED
    others = named(rest, choices) - {name}
    if others:
        return ambiguous(others | {name}, span)
    return (
        Extraction(name, "letter and text", span)
        if patterns.CLEAR.match(rest) and not patterns.DOUBT.search(rest)
        else UNPARSED
    )


def answer_phrase(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """Return the option of a phrase like "The answer is B" in the last sentence, if it names one option and does not doubt it.

    Text after "because" is a reason and names no answer; "not A" after the answer refuses A.
    """
    sentence = last_sentence(text, region, choices)
    refused = {
        name for match in patterns.REFUSED.finditer(sentence.text) for name in re.findall(r"\b[A-Z]\b", match[0])
    }
    sentence = without(sentence, patterns.REFUSED)
    matches = [match for rule in patterns.PHRASES for match in rule.finditer(sentence.text)]
    matches = [match for match in matches if not is_article(sentence.text, match.start(1), choices)]
    reason = patterns.REASON.search(sentence.text, min((match.end() for match in matches), default=0))
    claim = sentence.part(0, reason.start()) if reason and matches else sentence
    return single_option(
        [match for match in matches if match.end() <= len(claim.text)], claim, choices, refused
    ).credited("phrase")


def closing_letter(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """Return the option of a single letter that closes the last sentence: "So, B." or "... the drawer (B)." """
    sentence = last_sentence(text, region, choices)
    matches = [match for rule in patterns.CLOSING if (match := rule.search(sentence.text))]
    return single_option(matches, sentence, choices, set()).credited("alone")


def introduced_line(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """Return the option of the last line, if it is only an answer and the line before introduces it: "The answer is:"."""
    line = last_line_of(text, region)
    before = text[max(region[0], line[0] - SHORT) : line[0]].rstrip().rpartition("\n")[2]
    return (
        declared(whole_block(text, line, choices)).credited("line") if patterns.INTRODUCES.search(before) else UNPARSED
    )


def answer_line(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """Return the option of a line "Answer: B" with an explanation after it; if there are several such lines, they must agree."""
    lines = LINES.finditer(text, max(region[0], region[1] - READ), region[1])
    spans = [line.span() for line in lines if patterns.ANSWER_LINE.match(line[0])]
    found = [declared(wrapped(plain_text(text, *span).text, span, choices)) for span in spans]
    names = {extraction.answer for extraction in found}
    if not names - {None}:
        return UNPARSED
    if len(names) > 1 or patterns.TAKEN_BACK.search(text, found[-1].span[1], region[1]):
        return ambiguous(names - {None}, found[-1].span)
    return found[-1].credited("line")


def single_option(
    matches: Sequence[re.Match[str]], sentence: PlainText, choices: Sequence[str], refused: set[str]
) -> Extraction:
    """Return the matched letter, if it is in range and the sentence neither doubts it nor names another option."""
    matches = [match for match in matches if match[1] in letters_of(choices)]
    names = {match[1] for match in matches}
    if not names:
        return UNPARSED
    others = named(sentence.text, choices) - names
    span = sentence.span(*matches[-1].span(1))
    if len(names) > 1 or others or names & refused:
        return ambiguous(names | others | refused, span)
    name = names.pop()
    rest = with_words_replaced(
        sentence.text, choices[index_of(name)], "", count=1
    )  # an option may be a word of doubt: "No"
    return (
        ambiguous({name}, span)
        if patterns.DOUBT.search(rest)
        else Extraction(name, "phrase", span, tuple(sorted(refused)))
    )


def last_sentence(text: str, region: Span, choices: Sequence[str]) -> PlainText:
    """Return the last sentence of the last line; "The answer is B. Close tap." counts as one."""
    line = last_line(text, region)
    *earlier, start = sentence_starts(line.text)
    if earlier and option_with_text(line.text[start:], choices):
        start = earlier[-1]
    return line.part(start, len(line.text))


def without(sentence: PlainText, pattern: re.Pattern[str]) -> PlainText:
    """Return the sentence without the matches of a pattern."""
    dropped = {at for match in pattern.finditer(sentence.text) for at in range(*match.span())}
    kept = [at for at in range(len(sentence.text)) if at not in dropped]
    return PlainText("".join(sentence.text[at] for at in kept), tuple(sentence.at[at] for at in kept))
