"""The rules for the kinds of answers: numbers worked by hand, and the quirks that are kept."""

import sys

import numpy as np
import pytest

from mmrl.rewards.answer_scores import (
    finite_number,
    free,
    mean_relative_accuracy,
    mean_relative_accuracy_video_r1,
    numerical,
    ocr,
    regression,
    same_number,
    same_text,
)


@pytest.mark.parametrize(
    ("answer", "score"), [("B", 1), (" B\n", 1), ("A", 0), ("b", 0), ("B.", 0), ("(B)", 0), ("B. tap", 0), ("", 0)]
)
def test_a_choice_is_the_exact_letter(answer, score):
    assert same_text(answer, "B") == score


@pytest.mark.parametrize(
    ("answer", "gold", "published", "corrected"),
    [
        ("42", "42", 1, 1),
        ("3.14", "3.141", 1, 1),  # equal in two digits
        ("3.14", "3.15", 0, 0),
        ("-2", "-2", 1, 1),
        ("1e2", "100", 1, 1),
        ("1,000", "1000", 0, 1),  # quirk: only one has a comma
        ("5", "5.0", 0, 1),  # quirk: only one has a point
        ("1,000", "1000.0", 1, 1),
        ("five", "5", 0, 0),
        ("inf", "inf", 0, 0),
        ("nan", "nan", 0, 0),
        ("", "5", 0, 0),
        ("5 apples", "5", 0, 0),
        ("1" * 400, "5", 0, 0),
    ],
)
def test_numbers_by_the_published_and_the_corrected_rule(answer, gold, published, corrected):
    assert numerical(answer, gold) == published
    assert same_number(answer, gold) == corrected


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("10", "10", 1.0),
        ("9", "10", 0.9),
        ("12.5", "10", 0.75),
        ("30", "10", 0.0),  # an error above 100 % is no less than 0
        ("-10", "10", 0.0),
        ("1", "-2", 0.0),
        ("many", "10", 0.0),
        ("0", "0", 0.0),  # quirk: (0 + 1e-9) / (0 + 1e-9) = 1
    ],
)
def test_regression_worked_by_hand(answer, gold, score):
    assert regression(answer, gold) == pytest.approx(score, abs=1e-8)


@pytest.mark.parametrize(
    ("answer", "gold", "vsi", "video_r1"), [("1", "2", 0.1, 0.0), ("3", "4", 0.6, 0.5), ("4", "4", 1, 1)]
)
def test_mean_relative_accuracy_of_the_facts_sheet(answer, gold, vsi, video_r1):
    assert mean_relative_accuracy(answer, gold) == pytest.approx(vsi)
    assert mean_relative_accuracy_video_r1(answer, gold) == pytest.approx(video_r1)


def test_mean_relative_accuracy_counts_thresholds():
    for percent in range(0, 100, 3):  # off the thresholds, where both rules agree
        expected = np.mean([percent / 100 < 1 - theta for theta in np.arange(0.5, 1.0, 0.05)])
        if percent % 5:
            assert mean_relative_accuracy(str(100 - percent), "100") == pytest.approx(expected)
            assert mean_relative_accuracy_video_r1(str(100 - percent), "100") == pytest.approx(expected)


def test_mean_relative_accuracy_does_not_divide_by_zero():
    assert mean_relative_accuracy("0", "0") == 1.0
    assert mean_relative_accuracy("1", "0") == 0.0
    assert mean_relative_accuracy("none", "2") == mean_relative_accuracy_video_r1("none", "2") == 0.0


@pytest.mark.parametrize(
    ("answer", "gold", "score"),
    [
        ("stop sign ahead", "stop sign ahead", 1.0),
        ("stop sign", "stop sign ahead", 2 / 3),  # one of three words missing
        ("stop the sign ahead", "stop sign ahead", 2 / 3),  # one word too many
        ("Stop sign ahead", "stop sign ahead", 2 / 3),  # as written: case counts
        ("a b c d e f", "x", 0.0),  # error rate 6, no less than 0
        ("", "x", 0.0),
        ("", "", 1.0),
        ("x", "", 0.0),
        ("  stop   sign\nahead ", "stop sign ahead", 1.0),
    ],
)
def test_ocr_worked_by_hand(answer, gold, score):
    assert ocr(answer, gold) == pytest.approx(score)


def test_free_text_worked_by_hand():
    # 4 of 4 words, 3 of 3 pairs, whole sequence
    assert free("the cat sat down", "The cat sat down.") == pytest.approx(1.0)
    # rouge1: 2 common of 4 and 2: F 2/3. rouge2: 1 pair of 3 and 1: P 1, R 1/3, F 1/2. rougeL: 2: F 2/3.
    assert free("the cat", "the cat sat down") == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert free("", "the cat") == 0.0
    assert free("running cats", "run cat") == pytest.approx(1.0)  # stems


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jiwer", None)
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(ModuleNotFoundError, match=r"jiwer is needed.*pip install 'mmrl\[eval\]'"):
        ocr("a", "b")
    with pytest.raises(ModuleNotFoundError, match=r"rouge_score is needed.*pip install 'mmrl\[eval\]'"):
        free("a", "b")


@pytest.mark.parametrize(
    ("text", "value"), [("1,234.5", 1234.5), (" 7 ", 7.0), ("-3", -3.0), ("x", None), ("inf", None)]
)
def test_number(text, value):
    assert finite_number(text) == value
