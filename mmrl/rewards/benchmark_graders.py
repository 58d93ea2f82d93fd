"""Graders with the rules of public benchmarks' scripts, quirks included, so that numbers are comparable; and our own rule.

Each function grades the text after the reasoning: the content of the last answer block, else the text after the last </think>,
else all of it. Departure: the scripts use the whole output, in which they would find letters of the reasoning; lmms-eval
(75571cf) removes the reasoning too. Video-R1's own rule is `mmrl.rewards.graders.official`.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mmrl.rewards.answer_extraction import extract
from mmrl.rewards.answer_regions import after_reasoning
from mmrl.rewards.answer_scores import finite_number, mean_relative_accuracy
from mmrl.rewards.parse import blocks, parse
from mmrl.types import letters_of

STARTS = (  # longvideobench utils.py in lmms-eval, in its order
    "The best answer is", "The correct answer is", "The answer is", "The answer", "The best option is",
    "The correct option is", "Best answer:", "Best option:",
)  # fmt: skip
EGOPLAN_STARTS = (  # eval.py of EgoPlan-Bench2: two commas are missing there, which joins two pairs of texts
    "The best answer is", "The correct answer is", "The answer is", "The answer", "The best option isThe correct option is",
    "Best answer:Best option:", "Answer:", "Option:", "The correct answer", "The correct option",
)  # fmt: skip
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # VSI-Bench's


def answer_text(completion: str) -> str:
    """Return the stripped text after the reasoning: the graded block, if there is one."""
    graded = parse(completion).answer
    return graded if graded is not None else after_reasoning(completion).strip()


def longvideobench(completion: str, *, answer: str, choices: Sequence[str], **_: object) -> float:
    """Grade by LongVideoBench's rule (lmms-eval 75571cf): the first letter A to E anywhere decides; "Based" counts as B.

    If there is no letter, the script draws one at random; this grader returns the mean of that, 1 / number of options.
    """
    found = first_letter(answer_text(completion), STARTS, "ABCDE")
    return float(found == answer) if found else 1 / len(choices)


def egoplan_bench2(completion: str, *, answer: str, **_: object) -> float:
    """Grade by EgoPlan-Bench2's rule (eval.py at 2523b38): the first letter A to D anywhere decides; "Based" counts as B."""
    return float(first_letter(answer_text(completion), EGOPLAN_STARTS, "ABCD") == answer)


def first_letter(text: str, starts: Sequence[str], allowed: str) -> str:
    """Return the first allowed capital after all ``starts`` are removed; "" if there is none."""
    text = text.strip()
    for start in starts:
        text = text.replace(start, "")
    match = re.search(f"[{allowed}]", text)
    return match[0] if match else ""


def video_holmes(completion: str, *, answer: str, **_: object) -> float:
    """Grade by Video-Holmes' rule (evaluate.py at 52ef8da): the first letter of A to F in the last answer block, else in the text.

    "First" is alphabetical. Letters before a space or a colon or after a bracket have priority; then any: "Brother" is B.
    """
    spans = list(blocks(completion))
    text = completion[slice(*spans[-1])].strip() if spans else after_reasoning(completion)
    clear = [name for name in "ABCDEF" if f"{name} " in text or f"{name}:" in text or f"[{name}" in text]
    return float((clear or [name for name in "ABCDEF" if name in text] or [""])[0] == answer)


def tvbench(completion: str, *, answer: str, **_: object) -> float:
    """Grade by TVBench's rule (vqa_dataset.py at c354322): the first word, case folded, is a part of "(a)" or contains it.

    Quirk: the article "a" counts as an answer. Departure: the script puts "(" before the answer, so that an empty answer is
    right for every option; here an empty answer is wrong.
    """
    line = answer_text(completion).strip().partition("\n")[0]
    given = (line if line.startswith("(") else f"({line}").lower().split(" ")[0]
    right = f"({answer.lower()})"
    return float(bool(given.strip("(")) and (given.replace(".", "") in right or right in given))


def tempcompass(completion: str, *, answer: str, choices: Sequence[str], **_: object) -> float:
    """Grade by TempCompass' rule (eval_*.py at e1b4631 with --disable_llm): a letter, alone or before "." or ")", or the option.

    For yes and no, the start of the text decides. Answers that match no rule are wrong; the script can ask a language model.
    """
    text, right = answer_text(completion), choices[letters_of(choices).index(answer)]
    if tuple(choices) == ("yes", "no") and text.lower().startswith(("yes", "no")):
        return float(text.lower().startswith(right))
    named = text[:1] if text[:1] in letters_of(choices) and text[1:2] in ("", ".", ")") else ""
    return float(named == answer or text in (right, f"{answer}. {right}"))


def vsi_bench(completion: str, *, kind: str, answer: str, **_: object) -> float:
    """Grade by VSI-Bench's rule (thinking-in-space 51e089c): the first word without a point; letters case folded, numbers by MRA."""
    word = answer_text(completion).split(" ")[0].rstrip(".").strip()
    if kind == "choice":
        return float(word.lower() == answer.lower())
    given, right = None if "," in word else finite_number(word), float(answer)
    return 0.0 if given is None else mean_relative_accuracy_vsi_bench(given, right)


def mean_relative_accuracy_vsi_bench(given: float, right: float) -> float:
    """Return the fraction of ten thresholds t from .5 to .95 with |given - right| / right <= 1 - t, in float64 as in the script."""
    return float(np.mean(abs(given - right) / right <= 1 - THRESHOLDS))


def vsi_bench_ours(completion: str, *, kind: str, answer: str, choices: Sequence[str] = (), **_: object) -> float:
    """Grade the answer that `extract` finds (our own rule): letters must be equal, numbers get the exact mean relative accuracy."""
    given = extract(completion, kind, choices).answer
    if given is None:
        return 0.0
    return float(given == answer) if kind == "choice" else mean_relative_accuracy(given, answer)


PUBLISHED_READINGS: Mapping[str, Callable[..., float]] = {
    "official_longvideobench": longvideobench,
    "official_video_holmes": video_holmes,
    "official_tvbench": tvbench,
    "official_egoplan_bench2": egoplan_bench2,
    "official_tempcompass": tempcompass,
    "official_vsi_bench": vsi_bench,
    "vsi_bench": vsi_bench_ours,
}
