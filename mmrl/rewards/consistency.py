"""Find the option that the reasoning concludes, by rules, and compare it with the answer.

This is for data without an exact judge. If the rules are not sure, they find no conclusion, and reasoning without a conclusion
counts as inconsistent. So report the fraction of consistent completions together with the coverage (`concludes`).
"""

import re
from collections.abc import Sequence

from mmrl.rewards.answer_extraction import chosen_letter
from mmrl.rewards.option_mentions import longest_first, named_by_letter, plain_words, with_words_replaced
from mmrl.rewards.parse import parse
from mmrl.types import letters_of

READ = 5_000  # characters at the end of the reasoning that are searched
SENTENCES = re.compile(r"(?x) (?<=[.!?])\s+ | (?<=[。！？]) | \n+")  # the separator of two sentences
CLAUSES = re.compile(  # the separator of two clauses: punctuation, and words that give the role of the next clause
    r"""(?ix)
    ( [,;:()，；：（）] | 因为 | 所以 | 而不是
    | \b (?: but | because | since | while | whereas | although | so | therefore | thus | hence | rather[ ]than | instead[ ]of ) \b
    | \b and[ ] (?= [A-Z]\b | option\b | not\b ) )
    """
)
CUE = re.compile(  # a word by which a sentence concludes: "so", "the answer", "the next step is", "因此"
    r"""(?ix)
      \b (?: so | therefore | hence | thus | conclude | conclusion | next[ ](?:step|action)[ ]is | answer
           | (?: best | correct | right ) [ ] (?: option | choice ) | (?: option | choice ) [ ]is ) \b
    | 所以 | 因此 | 综上 | 故选 | 应选 | 答案 | 下一步是
    """
)
REVISION = re.compile(  # a sentence that starts like this revises an earlier one: "Wait, ", "But ", "No, "
    r"(?ix) \W* (?: wait | but | actually | however | no (?=,) | on[ ]second[ ]thoughts? | hmm | instead ) \b"
)
SUSPENSION = re.compile(  # a sentence that starts like this cancels earlier conclusions, even if it names no option
    r"(?ix) \W* (?: wait | actually | no (?=,) | on[ ]second[ ]thoughts? ) \b"
)
NEGATION = re.compile(  # "not", "isn't", "wrong", "rules out", "不"
    r"""(?ix)
      \b (?: not | never | neither | nor | cannot | wrong | incorrect | false | impossible | unlikely
           | (?: rule | exclude | eliminate ) [sd]? ) \b
    | n['’]t\b | 不 | 非 | 错 | 排除
    """
)
SUPPOSED = re.compile(  # a supposition or a question: "if", "unless", "?"
    r"(?ix) \b (?: if | unless ) \b | [?？]\W*$ | 如果 | 假如 | 除非"
)
REASON = frozenset({"because", "since", "while", "whereas", "although", "因为"})
REFUSAL = frozenset({"rather than", "instead of", "而不是"})
FILLER = frozenset({"the", "a", "an", "to", "is", "be", "should", "i", "we"})
LEAST_OVERLAP, LEAST_MARGIN = 0.8, 0.2  # the least token F1 of a paraphrase, and the least lead over the second option


def consistency(completion: str, *, choices: Sequence[str], **_: object) -> float:
    """Return 1 if the reasoning concludes the answered option, right or wrong; 0 if it concludes another one or none."""
    concluded = consistency_rule(completion, choices)
    return float(concluded is not None and concluded == chosen_letter(completion, choices)[0])


def concludes(completion: str, *, choices: Sequence[str], **_: object) -> float:
    """Return 1 if the rules find a conclusion in the reasoning: the coverage of `consistency`."""
    return float(consistency_rule(completion, choices) is not None)


def consistency_rule(completion: str, choices: Sequence[str]) -> str | None:
    """Return the letter that the reasoning concludes, or None.

    The last sentence with a cue of a conclusion (so, therefore, the answer, ..) decides, if it names one option, by letter, by
    its words or by a close paraphrase. Negated mentions do not count, and an option that is refused later is not concluded. A
    later revision ("wait, ..", "but ..") that names an option overrides. Questions and suppositions ("if ..") conclude nothing,
    and options named after "because" are reasons. The result is None if two options remain.
    """
    thought = parse(completion).reasoning
    refused: set[str] = set()
    for sentence in reversed(SENTENCES.split((thought or "")[-READ:])):
        named, denied = mentioned(sentence, choices)
        revises = REVISION.match(sentence) is not None
        if named and (revises or CUE.search(sentence)) and not SUPPOSED.search(sentence):
            return named.pop() if len(named) == 1 and not named & refused else None
        if SUSPENSION.match(sentence) and not denied:
            return None
        refused |= denied
    return None


def mentioned(sentence: str, choices: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the options that the sentence names, and those that it names only to refuse them.

    Options named as a reason count if no other option is named.
    """
    named: set[str] = set()
    reasons: set[str] = set()
    denied: set[str] = set()
    parts = CLAUSES.split(options_as_letters(sentence, choices))
    for before, clause in zip(["", *parts[1::2]], parts[::2], strict=True):
        negative = NEGATION.search(clause) or before.lower() in REFUSAL
        role = denied if negative else reasons if before.lower() in REASON else named
        role.update(named_by_letter(clause, choices))
    named = named or reasons
    if not named and not denied:
        named = paraphrased(sentence, choices)
    return named - denied, denied - named


def options_as_letters(sentence: str, choices: Sequence[str]) -> str:
    """Return the sentence with the options' words replaced by their letters, the longest first."""
    for name, choice in longest_first(choices):
        sentence = with_words_replaced(sentence, choice, f"option {name}")
    return sentence


def paraphrased(sentence: str, choices: Sequence[str]) -> set[str]:
    """Return the option, in a set, that the text after the last cue paraphrases closely; an empty set if there is none."""
    cues = list(CUE.finditer(sentence))
    if not cues or NEGATION.search(sentence):
        return set()
    claim = content(sentence[cues[-1].end() :])
    scores = [overlap(claim, content(choice)) for choice in choices]
    ranked = sorted(zip(scores, letters_of(choices), strict=True))
    second = ranked[-2][0] if len(ranked) > 1 else 0.0
    best, name = ranked[-1]
    return {name} if best >= LEAST_OVERLAP and best - second >= LEAST_MARGIN else set()


def content(text: str) -> set[str]:
    """Return the set of content words, without articles and auxiliary words."""
    return set(plain_words(text).split()) - FILLER


def overlap(one: set[str], other: set[str]) -> float:
    """Return the F1 of two sets of words: 2 |both| / (|one| + |other|); 0 for two empty sets."""
    return 2 * len(one & other) / max(1, len(one) + len(other))
