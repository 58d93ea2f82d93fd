"""How texts write numbers, as patterns. tests/rewards/test_patterns.py has examples of each.

Verbose, as in `mmrl.rewards.option_patterns`: ``[ ]`` is a space. Each takes time linear in the text.
"""

import re

from mmrl.rewards.option_patterns import EDGE

DIGITS = r"(?: \d{1,3} (?:,\d{3})+ (?!\d) | \d+ ) (?:\.\d+)? | \.\d+"  # 1,200.5 or 1200.5 or .5
NUMBER = re.compile(
    rf"""
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
    """,
    re.VERBOSE,
)
BELOW_TWENTY = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
WORDS = {word: value for value, word in enumerate(BELOW_TWENTY)} | {word: 10 * ten for ten, word in enumerate(TENS, 2)}
WORD = re.compile(  # "twenty-one", "seven"
    rf"\b ({'|'.join(TENS)}) [- ] ({'|'.join(BELOW_TWENTY[1:10])}) \b | \b ({'|'.join(WORDS)}) \b",
    re.IGNORECASE | re.VERBOSE,
)
ONE_AS_PRONOUN = re.compile(  # "the one", "which one", "the easier one", "one of them"
    r"""
      \b (?: the | this | that | which | each | every | no | any | \w+ier | red | blue | first | last | other ) [ ]one\b
    | \b one[ ]of\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
CUE = re.compile(  # what stands before the number that answers: "the answer to this is", "total:", "答案是", "="
    r"""
    (?: \b (?: answer | result | total | estimate ) \b [^.!?\d]{0,40}? (?: \bis\b | [:=≈] )
      | 答案是?为?[:]?
      | [=≈] )
    """,
    re.IGNORECASE | re.VERBOSE,
)
BETWEEN = re.compile(  # what makes one range or choice of two numbers: "-", " m to ", " or about "
    r"^ [^\d]{0,20}? (?: - | – | — | ~ | \bto\b | \bor\b | \band\b | 或 | 到 | 至 ) \W{0,3} $",
    re.IGNORECASE | re.VERBOSE,
)
DOUBT = re.compile(  # a bound or an uncertain number: "more than", "maybe", "at least", "<", "±", "不"
    r"""
      \b (?: not | never | cannot | either | maybe | unsure | unclear | guess | wait | more[ ]than | less[ ]than | fewer[ ]than
           | at[ ]least | at[ ]most | over | under | up[ ]to | wrong | incorrect | between ) \b
    | n['’]t\b | [?？<>≤≥±] | 不
    """,
    re.IGNORECASE | re.VERBOSE,
)
WHOLE = re.compile(  # all that may stand before a number that is a whole answer: "The final answer is about $"
    r"""
    ^ (?: (?: the[ ] | my[ ] )? (?: final[ ] )? answer (?:[ ]is)? [:=]? [ ]? | 答案是?[:]? [ ]? )?
    (?: about | around | approximately | roughly | ca\.? | ~ | ≈ | 约 )? [ ]? [$€£¥]? $
    """,
    re.IGNORECASE | re.VERBOSE,
)
