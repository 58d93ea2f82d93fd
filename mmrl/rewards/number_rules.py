"""Find the number that an answer states, in digits or words, with or without a unit.

The result is the number as written: 25 % is 25 and 3 m are 3. No unit is converted, because a question asks for one unit. Patterns
are verbose and take time linear in the text, as in `mmrl.rewards.option_patterns`; tests/rewards/test_patterns.py has examples.
"""

import math
import re

from mmrl.rewards.answer_regions import SHORT, Span, last_line, sentence_starts
from mmrl.rewards.extracted_answer import UNPARSED, Extraction, ambiguous
from mmrl.rewards.option_patterns import EDGE
from mmrl.rewards.plain_text import plain_text

TRAILING_WORDS = 3  # the most words of a unit: "12 square metres"

DIGITS = r"(?: \d{1,3} (?:,\d{3})+ (?!\d) | \d+ ) (?:\.\d+)? | \.\d+"  # 1,200.5 or 1200.5 or .5
NUMBER = re.compile(  # in digits: "-3", "1,200.5", "3/4", "1.5e3", "1.5 x 10^3"
    rf"""(?x)
    (?<!{EDGE}) (?<![.,:])                                  # not within a word, a number or a time
    (?: (?<![\w)][ ]) (?P<sign>[-+−]) [ ]? )?               # a sign; behind a word it would be an operator or a dash
    (?: \\d?frac \{{ (?P<top>\d{{1,9}}) \}} \{{ (?P<bottom>\d{{1,9}}) \}}       # a fraction in LaTeX
      | (?P<over>\d{{1,9}}) [ ]?/[ ]? (?P<under>\d{{1,9}}) (?![\d/])            # 3/4, but not 3/4/25
      | (?P<plain> {DIGITS} )
        (?: [eE] (?P<e>[-+]?\d{{1,3}})                                          # 1.5e3
          | [ ]? (?: × | x | \\times | \* ) [ ]? 10 [ ]? \^ [ ]? \{{? (?P<power>[-+−]?\d{{1,3}}) \}}?    # 1.5 x 10^3
        )?
    )
    (?! \d | [.,:]\d | (?:st|nd|rd|th)\b | D\b )            # no date, no time, no ordinal, no "3D"
    """
)
BELOW_TWENTY = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = {word: value for value, word in enumerate(BELOW_TWENTY)} | {word: 10 * ten for ten, word in enumerate(TENS, 2)}
WORD = re.compile(  # "twenty-one", "seven"
    rf"(?ix) \b ({'|'.join(TENS)}) [- ] ({'|'.join(BELOW_TWENTY[1:10])}) \b | \b ({'|'.join(WORDS)}) \b"
)
ONE_AS_PRONOUN = re.compile(  # "the one", "which one", "the easier one", "one of them"
    r"""(?ix)
      \b (?: the | this | that | which | each | every | no | any | \w+ier | red | blue | first | last | other ) [ ]one\b
    | \b one[ ]of\b
    """
)
CUE = re.compile(  # the text before the number that answers: "the answer to this is", "total:", "答案是", "="
    r"(?ix) \b (?: answer | result | total | estimate ) \b [^.!?\d]{0,40}? (?: \bis\b | [:=≈] ) | 答案是?为?[:]? | [=≈]"
)
BETWEEN = re.compile(  # the text between two numbers of a range or a choice: "-", " m to ", " or about "
    r"(?ix) ^ [^\d]{0,20}? (?: - | – | — | ~ | \bto\b | \bor\b | \band\b | 或 | 到 | 至 ) \W{0,3} $"
)
DOUBT = re.compile(  # a bound or an uncertain number: "more than", "maybe", "at least", "<", "±", "不"
    r"""(?ix)
      \b (?: not | never | cannot | either | maybe | unsure | unclear | guess | wait | more[ ]than | less[ ]than | fewer[ ]than
           | at[ ]least | at[ ]most | over | under | up[ ]to | wrong | incorrect | between ) \b
    | n['’]t\b | [?？<>≤≥±] | 不
    """
)
WHOLE = re.compile(  # the text that may precede a number that is the full answer: "The final answer is about $"
    r"""(?ix)
    ^ (?: (?: the[ ] | my[ ] )? (?: final[ ] )? answer (?:[ ]is)? [:=]? [ ]? | 答案是?[:]? [ ]? )?
    (?: about | around | approximately | roughly | ca\.? | ~ | ≈ | 约 )? [ ]? [$€£¥]? $
    """
)


def exact_number(text: str, region: Span) -> Extraction:
    """Return the number of a region that consists of a number, perhaps with a unit: "about 1,200 m"; else UNPARSED."""
    found = quantity(text, region)
    if found.answer is None or found.alternatives:
        return UNPARSED if found.rule != "ambiguous" else found
    head = plain_text(text, region[0], found.span[0]).text.strip(" ({[")
    tail = plain_text(text, found.span[1], region[1]).text.strip(" .!)}]。%")
    short = len(tail.split()) <= TRAILING_WORDS and len(plain_text(text, *region).text) <= SHORT
    return found if short and WHOLE.match(head) else UNPARSED


def quantity(text: str, region: Span) -> Extraction:
    """Return the number that a region states: the one after its last "answer is" or "=", else the last one.

    Two numbers of a range or a choice ("3-5", "3 or 5"), and bounds ("more than 3"), are ambiguous.
    """
    line = plain_text(text, *region).end(SHORT)
    last = max((match.start() for pattern in (NUMBER, WORD) for match in pattern.finditer(line.text)), default=0)
    start = max((match.end() for match in CUE.finditer(line.text) if match.end() <= last), default=0)
    matches = list(NUMBER.finditer(line.text, start))
    values = [plain_number(numeral_value(match)) for match in matches]
    if not matches:
        matches = [match for match in WORD.finditer(line.text, start) if not is_pronoun(line.text, match)]
        values = [plain_number(word_value(match)) for match in matches]
    if not matches:
        return UNPARSED
    stated, span = values[-1], line.span(*matches[-1].span())
    others = set(values) - {stated}
    ranged = others and BETWEEN.match(line.text[matches[-2].end() : matches[-1].start()])
    if ranged or not math.isfinite(float(stated)) or DOUBT.search(line.text, start):
        return ambiguous(others | {stated}, span)
    rule = "last number" if others else "quantity" if matches[0].re is NUMBER else "words"
    return Extraction(stated, rule, span, tuple(sorted(others)))


def number_phrase(text: str, region: Span) -> Extraction:
    """Return the number of a phrase like "The answer is 5" in the last sentence; UNPARSED without such a phrase."""
    line = last_line(text, region)
    sentence = line.part(sentence_starts(line.text)[-1], len(line.text))
    if not sentence.text or not CUE.search(sentence.text):
        return UNPARSED
    return quantity(text, sentence.span(0, len(sentence.text))).credited("phrase")


def numeral_value(match: re.Match[str]) -> float:
    """Return the number that NUMBER matched; NaN for a fraction over zero."""
    sign = -1 if match["sign"] in ("-", "−") else 1
    above, below = match["top"] or match["over"], match["bottom"] or match["under"]
    if above is not None:
        return sign * int(above) / int(below) if int(below) else math.nan
    power = (match["e"] or match["power"] or "0").replace("−", "-")
    return sign * float(f"{match['plain'].replace(',', '')}e{power}")


def word_value(match: re.Match[str]) -> float:
    """Return the number that WORD matched."""
    return float(WORDS[match[3].lower()] if match[3] else WORDS[match[1].lower()] + WORDS[match[2].lower()])


def is_pronoun(text: str, match: re.Match[str]) -> bool:
    """Return True if a matched "one" is a pronoun and no number: "the red one", "one of them"."""
    phrases = ONE_AS_PRONOUN.finditer(text) if match[0].lower() == "one" else ()
    return any(found.start() <= match.start() < found.end() for found in phrases)


def plain_number(number: float) -> str:
    """Return a number as text, without a needless point."""
    return format(number, ".15g")
