"""Score an answer against the gold, for the five kinds of questions, by Video-R1's and GRPO-CARE's rules.

Every function takes the answer and the gold, as text, and returns a number in [0, 1]. The rules are the published ones, quirks
included, so that numbers are comparable; each docstring names its quirks.
"""

import importlib
import math
from types import ModuleType

import numpy as np

TINY = 1e-9  # the epsilon of the published regression rule


def same_text(answer: str, gold: str) -> float:
    """Return 1 if the stripped strings are equal, else 0: "A." or "(A)" is not "A"."""
    return float(answer.strip() == gold.strip())


def numerical(answer: str, gold: str) -> float:
    """Return 1 if both numbers are equal after rounding to two digits, else 0.

    Quirk: it is 0 if only one of the two contains a point or a comma, so 5 against 5.0 and 1,000 against 1000 are wrong.
    `same_number` does not have this condition.
    """
    separated = ["." in text or "," in text for text in (answer, gold)]
    return same_number(answer, gold) if separated[0] == separated[1] else 0.0


def same_number(answer: str, gold: str) -> float:
    """Return 1 if both texts are numbers, with or without thousands separators, that are equal after rounding to two digits."""
    given, right = finite_number(answer), finite_number(gold)
    return float(given is not None and right is not None and round(given, 2) == round(right, 2))


def regression(answer: str, gold: str) -> float:
    """Return 1 - min(1, (|answer - gold| + 1e-9) / (|gold| + 1e-9)). Quirk: a gold of 0 is never rewarded."""
    given, right = finite_number(answer), finite_number(gold)
    if given is None or right is None:
        return 0.0
    return 1 - min(1.0, (abs(given - right) + TINY) / (abs(right) + TINY))


def mean_relative_accuracy(answer: str, gold: str) -> float:
    """Return the fraction of the thresholds t = .50, .55, .. .95 with |answer - gold| / |gold| <= 1 - t (VSI-Bench's own rule).

    For a gold of 0, by which the formula would divide, only 0 is right.
    """
    given, right = finite_number(answer), finite_number(gold)
    if given is None or right is None:
        return 0.0
    if right == 0:
        return float(given == 0)
    return sum(20 * abs(given - right) <= allowed * abs(right) for allowed in range(1, 11)) / 10


def mean_relative_accuracy_video_r1(answer: str, gold: str) -> float:
    """Return the mean relative accuracy of Video-R1 and GRPO-CARE, with < instead of <=, in float32.

    It is up to 0.1 below VSI-Bench's.
    """
    given, right = finite_number(answer), finite_number(gold)
    if given is None or right is None:
        return 0.0
    error = np.float32(abs(given - right)) / np.float32(abs(right) + 1e-8)
    thresholds = (np.arange(10) * 0.05 + 0.5).astype(np.float32)
    return float((error < 1 - thresholds).mean())


def ocr(answer: str, gold: str) -> float:
    """Return max(0, 1 - word error rate), where the rate is word edits / words of the gold, without normalisation."""
    from_words, to_words = gold.split(), answer.split()
    if not from_words or not to_words:
        return float(from_words == to_words)
    return max(0.0, 1 - eval_extra("jiwer").wer(" ".join(from_words), " ".join(to_words)))


def free(answer: str, gold: str) -> float:
    """Return the mean F-measure of ROUGE-1, ROUGE-2 and ROUGE-L with stemming (Lin 2004).

    Quirk: words consist of a-z and 0-9 only, so text in other scripts scores 0.
    """
    names = ["rouge1", "rouge2", "rougeL"]
    scores = eval_extra("rouge_score.rouge_scorer").RougeScorer(names, use_stemmer=True).score(gold, answer)
    return min(1.0, max(0.0, sum(scores[name].fmeasure for name in names) / len(names)))


PUBLISHED = {"choice": same_text, "numerical": numerical, "regression": regression, "ocr": ocr, "free": free}


def finite_number(text: str) -> float | None:
    """Parse a text as a finite number, ignoring commas; return None if it is not one."""
    try:
        value = float(text.strip().replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def eval_extra(module: str) -> ModuleType:
    """Import a library of the extra `eval`. Raises ModuleNotFoundError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        what = module.partition(".")[0]
        raise ModuleNotFoundError(f"{what} is needed to grade this kind of answer: pip install 'mmrl[eval]'") from error
