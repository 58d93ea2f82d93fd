"""How well an answer matches the gold, for the five kinds of questions: Video-R1's and GRPO-CARE's rules.

Every function takes what was answered and what is right, as text, and returns a number in [0, 1]. The rules are the
published ones, quirks included, so that numbers compare; every quirk is named where it stands.
"""

import importlib
import math
from types import ModuleType

import numpy as np

TINY = 1e-9  # of the published regression rule


def same_text(answer: str, gold: str) -> float:
    """1 if the stripped strings are equal: "A." or "(A)" is not "A"."""
    return float(answer.strip() == gold.strip())


def numerical(answer: str, gold: str) -> float:
    """1 if both are equal when rounded to two digits.

    Quirk: 0 if only one of the two contains a point or a comma, so 5 against 5.0 and 1,000 against 1000 are wrong.
    `same_number` has no such condition.
    """
    separated = ["." in text or "," in text for text in (answer, gold)]
    return same_number(answer, gold) if separated[0] == separated[1] else 0.0


def same_number(answer: str, gold: str) -> float:
    """1 if both are numbers, thousands separators or not, that are equal when rounded to two digits."""
    given, right = finite_number(answer), finite_number(gold)
    return float(given is not None and right is not None and round(given, 2) == round(right, 2))


def regression(answer: str, gold: str) -> float:
    """1 - min(1, (|answer - gold| + 1e-9) / (|gold| + 1e-9)). Quirk: a gold of 0 is never rewarded."""
    given, right = finite_number(answer), finite_number(gold)
    if given is None or right is None:
        return 0.0
    return 1 - min(1.0, (abs(given - right) + TINY) / (abs(right) + TINY))


def mean_relative_accuracy(answer: str, gold: str) -> float:
    """Share of the thresholds t in .50, .55, .. .95 with |answer - gold| / |gold| <= 1 - t (VSI-Bench's own rule).

    A gold of 0, which the formula divides by, is matched by 0 only.
    """
    given, right = finite_number(answer), finite_number(gold)
    if given is None or right is None:
        return 0.0
    if right == 0:
        return float(given == 0)
    return sum(20 * abs(given - right) <= allowed * abs(right) for allowed in range(1, 11)) / 10


def mean_relative_accuracy_video_r1(answer: str, gold: str) -> float:
    """Return mean relative accuracy as Video-R1 and GRPO-CARE have it: < for <=, in float32.

    Up to 0.1 below VSI-Bench's.
    """
    given, right = finite_number(answer), finite_number(gold)
    if given is None or right is None:
        return 0.0
    error = np.float32(abs(given - right)) / np.float32(abs(right) + 1e-8)
    thresholds = (np.arange(10) * 0.05 + 0.5).astype(np.float32)
    return float((error < 1 - thresholds).mean())


def ocr(answer: str, gold: str) -> float:
    """max(0, 1 - word error rate): edits of words over words of the gold, as written."""
    from_words, to_words = gold.split(), answer.split()
    if not from_words or not to_words:
        return float(from_words == to_words)
    return max(0.0, 1 - eval_extra("jiwer").wer(" ".join(from_words), " ".join(to_words)))


def free(answer: str, gold: str) -> float:
    """Mean of the F-measures of ROUGE-1, ROUGE-2 and ROUGE-L with stemming (Lin 2004).

    Quirk: only a-z and 0-9 make words, so text in other scripts scores 0.
    """
    names = ["rouge1", "rouge2", "rougeL"]
    scores = eval_extra("rouge_score.rouge_scorer").RougeScorer(names, use_stemmer=True).score(gold, answer)
    return min(1.0, max(0.0, sum(scores[name].fmeasure for name in names) / len(names)))


PUBLISHED = {"choice": same_text, "numerical": numerical, "regression": regression, "ocr": ocr, "free": free}


def finite_number(text: str) -> float | None:
    """Return the finite number that a text is, commas ignored; None if it is none."""
    try:
        value = float(text.strip().replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def eval_extra(module: str) -> ModuleType:
    """Return a library of the extra `eval`, imported where it is needed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        what = module.partition(".")[0]
        raise ModuleNotFoundError(f"{what} is needed to grade this kind of answer: pip install 'mmrl[eval]'") from error
