"""How the scripts of public benchmarks read an answer, quirks included, so that numbers compare; ours stand beside them.

Each function is a grader. They are given what stands behind the reasoning: the content of the last answer block, else the
text behind the last </think>, else all of it. Departure: the scripts read the whole output, which would find letters in the
reasoning; lmms-eval (75571cf), too, takes the reasoning away first. Video-R1's own rule is `mmrl.rewards.graders.official`.
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
EGOPLAN_STARTS = (  # eval.py of EgoPlan-Bench2: two commas are missing there, so two pairs are one text each
    "The best answer is", "The correct answer is", "The answer is", "The answer", "The best option isThe correct option is",
    "Best answer:Best option:", "Answer:", "Option:", "The correct answer", "The correct option",
)  # fmt: skip
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of VSI-Bench


def answer_text(completion: str) -> str:
    """Return what stands behind the reasoning."""
    graded = parse(completion).answer
    return graded if graded is not None else after_reasoning(completion).strip()


def longvideobench(completion: str, *, answer: str, choices: Sequence[str], **_: object) -> float:
    """LongVideoBench (lmms-eval 75571cf): the first of the letters A to E anywhere, "Based" being a B.

    The script draws a letter where there is none; here that is worth what it is on average, one over the options.
    """
    found = first_letter(answer_text(completion), STARTS, "ABCDE")
    return float(found == answer) if found else 1 / len(choices)


def egoplan_bench2(completion: str, *, answer: str, **_: object) -> float:
    """EgoPlan-Bench2 (eval.py at 2523b38): the first of the letters A to D anywhere, "Based" being a B."""
    return float(first_letter(answer_text(completion), EGOPLAN_STARTS, "ABCD") == answer)


def first_letter(text: str, starts: Sequence[str], allowed: str) -> str:
    """Return the first allowed capital behind none of some phrases; "" where there is none."""
    text = text.strip()
    for start in starts:
        text = text.replace(start, "")
    found = re.search(f"[{allowed}]", text)
    return found[0] if found else ""


def video_holmes(completion: str, *, answer: str, **_: object) -> float:
    """Video-Holmes (evaluate.py at 52ef8da): the last answer block, else all; the first letter from A to F in it.

    A letter before a space or a colon or behind a bracket goes first, whatever its place in the text; then any: "Brother" is B.
    """
    spans = list(blocks(completion))
    text = completion[slice(*spans[-1])].strip() if spans else after_reasoning(completion)
    clear = [one for one in "ABCDEF" if f"{one} " in text or f"{one}:" in text or f"[{one}" in text]
    return float((clear or [one for one in "ABCDEF" if one in text] or [""])[0] == answer)


def tvbench(completion: str, *, answer: str, **_: object) -> float:
    """TVBench (vqa_dataset.py at c354322): the first word, case folded, lies in "(a)" or holds it.

    Quirk: "a" is an answer, be it an article. Departure: the script begins the answer with "(", which is right for every
    option where nothing follows; here nothing is wrong.
    """
    line = answer_text(completion).strip().partition("\n")[0]
    given = (line if line.startswith("(") else f"({line}").lower().split(" ")[0]
    right = f"({answer.lower()})"
    return float(bool(given.strip("(")) and (given.replace(".", "") in right or right in given))


def tempcompass(completion: str, *, answer: str, choices: Sequence[str], **_: object) -> float:
    """TempCompass (eval_*.py at e1b4631 with --disable_llm): a letter, alone or before "." or ")", or the option's text.

    Yes and no: what the text begins with. What the rules do not read is wrong; the script can ask a language model.
    """
    text, right = answer_text(completion), choices[letters_of(choices).index(answer)]
    if tuple(choices) == ("yes", "no") and text.lower().startswith(("yes", "no")):
        return float(text.lower().startswith(right))
    named = text[:1] if text[:1] in letters_of(choices) and text[1:2] in ("", ".", ")") else ""
    return float(named == answer or text in (right, f"{answer}. {right}"))


def vsi_bench(completion: str, *, kind: str, answer: str, **_: object) -> float:
    """VSI-Bench (thinking-in-space 51e089c): the first word, without a point; letters case folded, numbers by MRA."""
    word = answer_text(completion).split(" ")[0].rstrip(".").strip()
    if kind == "choice":
        return float(word.lower() == answer.lower())
    given, right = None if "," in word else finite_number(word), float(answer)
    return 0.0 if given is None else mean_relative_accuracy_vsi_bench(given, right)


def mean_relative_accuracy_vsi_bench(given: float, right: float) -> float:
    """Share of ten thresholds t from .5 to .95 with |given - right| / right <= 1 - t, in float64 as the script has it."""
    return float(np.mean(abs(given - right) / right <= 1 - THRESHOLDS))


def vsi_bench_ours(completion: str, *, kind: str, answer: str, choices: Sequence[str] = (), **_: object) -> float:
    """Ours: what `extract` finds; letters must agree, numbers are scored by the exact mean relative accuracy."""
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
