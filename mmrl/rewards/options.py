"""Which option an answer means. A rung reads a region of a completion and says what it found, or that it found nothing."""

import re
from collections.abc import Sequence

from mmrl.rewards.extraction import UNPARSED, Extraction, ambiguous
from mmrl.rewards.mentions import (
    EDGE,
    WRAPPING,
    is_article,
    letters,
    named_by_letter,
    named_by_words,
    normal,
    spoken,
    words,
)
from mmrl.rewards.regions import SHORT, Span, last_line, sentence_starts
from mmrl.rewards.squeeze import READ, Squeezed, squeeze

LABEL = re.compile(
    r"^(?:the |my )?(?:(?:final|correct|best|right) )?(?:option|answer|ans|choice|letter)(?: is)? ?[:=]? ?:?"
    r"|^(?:正确|最终|最佳)?(?:答案|选项|选择|选)(?:是|为)?[:]? ?",
    re.IGNORECASE,
)
LINES = re.compile(r"^[^\n]+", re.MULTILINE)
ANSWER_LINE = re.compile(
    r"\W{0,4}(?:(?:the|my) )?(?:(?:final|correct|best|right) )?answer\b|\W{0,4}(?:正确|最终)?答案", re.IGNORECASE
)
INTRODUCES = re.compile(
    r"\b(?:answer|choice|best option|next action|next step)\b[^.!?]{0,80}[:：]\W{0,4}$|答案[^。]{0,40}[:：]\W{0,4}$",
    re.IGNORECASE,
)
TAKEN_BACK = re.compile(
    r"\b(?:wait|actually|correction|on second thoughts?|instead|changed? my|mistaken|wrong)\b", re.IGNORECASE
)
HEAD = re.compile(rf"\W{{0,4}}([A-Z])(?!['’]?{EDGE})", re.IGNORECASE)
BRACKETED = re.compile(r"[a-z] ?[)\]]")
CLEAR = re.compile(r"[)\]]?[.:。]|[)\]\n]")  # behind a letter, tells that it is a name and not a word

LETTER = rf"['‘(\[{{<]{{0,2}}([A-Z])(?!['’]?{EDGE})"
PHRASES = (
    re.compile(
        r"\b(?:(?i:answer|ans|selection)(?i: is| would be| should be| must be| will be| has to be| =|=|)"
        r"|(?i:option|choice)(?i: is| would be| should be| must be| will be| has to be| =|=|:))"
        rf"(?i: indeed| clearly| definitely| likely)?:? ?(?i:option |choice )?{LETTER}"
    ),
    re.compile(
        rf"(?:^|\b(?i:so|therefore|thus|hence|choose|chose|pick|select|say|with|for|is|be),? (?:the )?)(?i:option|choice) {LETTER}"
    ),
    re.compile(
        rf"\b(?i:choose|chose|pick|select|go with|going with|go for|opt for) {LETTER}(?=[)\]}}.:,;]|$| (?:because|since)\b)"
    ),
    re.compile(rf"(?<!{EDGE})(?<!['’]){LETTER} is (?i:the )?(?i:correct|right|best|answer)\b"),
    re.compile(rf"(?:答案|选项|选择|应选|故选|应该选|选)(?:应该是|应为|应是|是|为)?[: ]{{0,2}}{LETTER}"),
)
CLOSING = (
    re.compile(
        rf"(?:^|[:\-–—=>] ?|\b(?i:so|therefore|thus|hence|clearly|definitely|finally|overall|certainly|yes), )"
        rf"{LETTER}['’)\]}}>]{{0,2}}[.!。]?$"
    ),
    re.compile(
        r"\b(?i:therefore|thus|hence|so|choose|chose|pick|select|say|go with|going with|go for|opt for):? "
        rf"{LETTER}['’)\]}}]{{0,2}}[.!。]?$"
    ),
    re.compile(
        rf"\b(?i:it|this|that)(?i: is|'s|’s| must be| should be| has to be| would be) {LETTER}['’)\]}}]{{0,2}}[.!。]?$"
    ),
    re.compile(r"(?<!figure )(?<!panel )(?<!image )[(\[]([A-Z])[)\]][.!。]?$", re.IGNORECASE),
    re.compile(rf"(?:^|[,:] ?|\b(?i:so) ){LETTER} it is[.!]?$"),
)
DOUBT = re.compile(
    r"\b(?:no|not|never|neither|nor|cannot|either|or|if|unless|unsure|unclear|maybe|guess|wait|actually|wrong|incorrect"
    r"|false|except|instead|rather|than|without|(?:rule|exclude|eliminate)[sd]?)\b|n['’]t\b|[?？]$|不|或|还是|吗|除了",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r",? ?\b(?:and |but )?(?:not|rather than|instead of) (?:option |choice )?[(\[]?[A-Z](?![\w'’])[)\]]?(?: or [(\[]?[A-Z](?![\w'’])[)\]]?)*"
)
REASON = re.compile(r"\b(?:because|since|given that|due to)\b|因为", re.IGNORECASE)


def block(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """A region that is nothing but an answer: a letter, an option's text, or a letter and its option's text."""
    content = text[slice(*region)].strip()
    if not content or len(content) > SHORT + max(map(len, choices)):
        return UNPARSED
    start = text.index(content, region[0])
    span = (start, start + len(content))
    if len(content) == 1 and content in letters(choices):
        return Extraction(content, "exact", span)
    return wrapped(squeeze(text, *span).text, span, choices)


def wrapped(plain: str, span: Span, choices: Sequence[str]) -> Extraction:
    """The same for a region without its decoration."""
    inner = LABEL.sub("", plain.lstrip(WRAPPING))
    core = inner.strip(WRAPPING)
    if len(core) == 1 and core.upper() in letters(choices):
        clear = core.isupper() or BRACKETED.search(plain)
        return Extraction(core.upper(), "wrapped" if clear else "lower case", span)
    by_text = spoken(plain, choices) or spoken(inner, choices)
    return Extraction(by_text, "text", span) if by_text else letter_and_text(inner, span, choices)


def declared(found: Extraction) -> Extraction:
    """Not a bare "a" outside a closed block or box: there it may be an article."""
    return UNPARSED if found.rung == "lower case" else found


def letter_and_text(inner: str, span: Span, choices: Sequence[str]) -> Extraction:
    """ "B. open drawer": the text must be that of the letter's option, or, behind a clear stop, of no option at all."""
    head = HEAD.match(inner)
    if head is None or head[1].upper() not in letters(choices):
        return UNPARSED
    name, rest = head[1].upper(), inner[head.end() :]
    if normal(rest) == normal(choices[letters(choices).index(name)]):
        return Extraction(name, "letter and text", span)
    if head[1].islower() or len(inner) > SHORT:
        return UNPARSED
    others = (named_by_letter(rest, choices) | named_by_words(rest, choices)) - {name}
    if others:
        return ambiguous(others | {name}, span)
    return Extraction(name, "letter and text", span) if CLEAR.match(rest) and not DOUBT.search(rest) else UNPARSED


def phrase(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """ "The answer is B" in the last sentence, without a word of doubt or refusal, naming one option only.

    What stands behind "because" is a reason and names no answer; "not A" behind the answer refuses and does not answer.
    """
    sentence = last_sentence(text, region, choices)
    refused = {name for match in REFUSED.finditer(sentence.text) for name in re.findall(r"\b[A-Z]\b", match[0])}
    sentence = without(sentence, REFUSED)
    found = [match for rule in PHRASES for match in rule.finditer(sentence.text)]
    found = [match for match in found if not is_article(sentence.text, match.start(1), choices)]
    reason = REASON.search(sentence.text, min((match.end() for match in found), default=0))
    claim = sentence.part(0, reason.start()) if reason and found else sentence
    return only([match for match in found if match.end() <= len(claim.text)], claim, choices, refused).credited(
        "phrase"
    )


def alone(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """The last sentence closes with a letter that stands alone: "So, B." or "... the drawer (B)." """
    sentence = last_sentence(text, region, choices)
    found = [match for rule in CLOSING if (match := rule.search(sentence.text))]
    return only(found, sentence, choices, set()).credited("alone")


def introduced(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """The last line is nothing but an answer, and the line before it says so: "The answer is:"."""
    end = region[0] + len(text[slice(*region)].rstrip())
    start = max(text.rfind("\n", region[0], end) + 1, region[0])
    before = text[max(region[0], start - SHORT) : start].rstrip().rpartition("\n")[2]
    return declared(block(text, (start, end), choices)).credited("line") if INTRODUCES.search(before) else UNPARSED


def line(text: str, region: Span, choices: Sequence[str]) -> Extraction:
    """A line that is nothing but "Answer: B", with an explanation behind it; all such lines must say the same."""
    start = max(region[0], region[1] - READ)
    found: list[Extraction] = []
    for match in LINES.finditer(text, start, region[1]):
        if ANSWER_LINE.match(match[0]):
            span = match.span()
            found.append(declared(wrapped(squeeze(text, *span).text, span, choices)))
    names = {one.answer for one in found if one.answer is not None}
    if not names:
        return UNPARSED
    sure = (
        len(names) == 1
        and all(one.answer for one in found)
        and not TAKEN_BACK.search(text, found[-1].span[1], region[1])
    )
    return found[-1].credited("line") if sure else ambiguous(names, found[-1].span)


def only(found: Sequence[re.Match[str]], sentence: Squeezed, choices: Sequence[str], refused: set[str]) -> Extraction:
    """The letter, if it is in range and the sentence neither doubts nor names another option."""
    found = [match for match in found if match[1] in letters(choices)]
    names = {match[1] for match in found}
    if not names:
        return UNPARSED
    others = (named_by_letter(sentence.text, choices) | named_by_words(sentence.text, choices)) - names
    span = sentence.span(*found[-1].span(1))
    if len(names) > 1 or others or names & refused:
        return ambiguous(names | others | refused, span)
    name = names.pop()
    said = own_words_removed(sentence.text, choices[letters(choices).index(name)])
    return ambiguous({name}, span) if DOUBT.search(said) else Extraction(name, "phrase", span, tuple(sorted(refused)))


def own_words_removed(text: str, choice: str) -> str:
    """The text without the first mention of an option's own words, which may hold a word of doubt ("No")."""
    pattern = r"\W+".join(re.escape(word) for word in words(choice).split())
    return re.sub(rf"(?<!\w){pattern}(?!\w)", "", text, count=1, flags=re.IGNORECASE) if pattern else text


def last_sentence(text: str, region: Span, choices: Sequence[str]) -> Squeezed:
    """The last sentence of the last line; "The answer is B. Close tap." counts as one."""
    line = last_line(text, region)
    *earlier, start = sentence_starts(line.text)
    if earlier and spoken(line.text[start:], choices):
        start = earlier[-1]
    return line.part(start, len(line.text))


def without(sentence: Squeezed, pattern: re.Pattern[str]) -> Squeezed:
    """The sentence without what matches."""
    keep = [True] * len(sentence.text)
    for match in pattern.finditer(sentence.text):
        keep[match.start() : match.end()] = [False] * len(match[0])
    pairs = [(char, at) for char, at, kept in zip(sentence.text, sentence.at, keep, strict=True) if kept]
    return Squeezed("".join(char for char, _ in pairs), tuple(at for _, at in pairs))
