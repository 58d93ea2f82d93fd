"""What follows from the records of a set: by hand on small ones."""

import math

import pytest

from mmrl.evaluation import Item, Record
from mmrl.evaluation.derived import AGREEMENTS, derived

CHOICES = ("a", "b", "c", "d")
ITEMS = {f"q{n}": Item(f"q{n}", f"v{n}", "?", "A", "choice", CHOICES, (), {}) for n in range(6)}


def record(n, said, concluded=..., sample=0, logprobs=None):
    parse = {"extracted": said} | ({} if concluded is ... else {"concluded": concluded})
    return Record(
        f"q{n}",
        sample,
        f"v{n}",
        said or "",
        "ok",
        None,
        1,
        True,
        parse,
        {"accuracy": float(said == "A")},
        answer_logprob=logprobs,
    )


def values(records):
    return {name: found.mean for name, found in derived(records, ITEMS, "accuracy").items()}


def test_guessing_is_taken_off():
    assert values([record(n, "A" if n < 4 else "B") for n in range(6)]) == {
        "chance-corrected": pytest.approx((4 / 6 - 1 / 4) / (3 / 4))
    }


def test_the_answer_against_the_reasoning():
    table = [("A", "A"), ("A", "B"), ("B", "A"), ("C", "C"), ("C", "D"), ("A", None)]
    found = values([record(n, said, concluded) for n, (said, concluded) in enumerate(table)])
    assert {name: found[name] for name in AGREEMENTS} == {name: pytest.approx(1 / 6) for name in AGREEMENTS}


def test_several_samples():
    said = {0: "AAA", 1: "ABB", 2: "BBB", 3: "AAB", 4: ("A", None, None), 5: "BCA"}
    found = values([record(n, letter, sample=s) for n, letters in said.items() for s, letter in enumerate(letters)])
    assert found["pass@3"] == pytest.approx(5 / 6)
    assert found["pass^3"] == pytest.approx(1 / 6)
    assert found["maj@3"] == pytest.approx((1 + 0 + 0 + 1 + 1 + 1 / 3) / 6)  # None never wins; three-way tie
    assert found["guess@3"] == pytest.approx(1 - 0.75**3)


def test_calibration():
    logprobs = math.log(0.5)
    found = values([record(n, "A" if n % 2 else "B", logprobs=logprobs if n < 4 else None) for n in range(6)])
    assert found["confidence known"] == pytest.approx(4 / 6)
    assert found["ece"] == pytest.approx(0.0)
    sure = values([record(n, "B", logprobs=0.0) for n in range(6)])
    assert sure["ece"] == pytest.approx(1.0)
    assert sure["perfect ece"] == pytest.approx(0.0)


def test_nothing_follows_from_scores_that_are_no_verdicts():
    half = Record("q0", 0, "v0", "", "ok", None, 1, True, {}, {"accuracy": 0.5})
    assert derived([half], ITEMS, "accuracy") == {}
