"""Ways in which other harnesses misread an answer, by name: ours does not fall into them."""

import pytest

from mmrl.rewards.answer_extraction import extract
from mmrl.rewards.benchmark_graders import egoplan_bench2, tvbench
from mmrl.rewards.graders import lenient, mra, official

CHOICES = ("open drawer", "close tap", "pick up the red cube", "move left")


@pytest.mark.parametrize("written", ["A.", "(A)", "A. open drawer", "A.\n", "**A**"])
def test_grpo_care_and_video_r1_exact_match_penalises_the_form(written):
    text = f"<think>t</think><answer>{written}</answer>"
    assert lenient(text, kind="choice", answer="A", choices=CHOICES) == 1
    assert official(text, kind="choice", answer="A") == float(written.strip() == "A")


@pytest.mark.parametrize("written", ["a cup is on the table", "It is a tap.", "I see a drawer", "a"])
def test_mvbench_and_tvbench_fold_case_and_read_the_article_as_an_answer(written):
    assert extract(written, "choice", CHOICES).answer is None
    assert tvbench("a cup", answer="A") == 1  # the published rule, under its own name


@pytest.mark.parametrize("written", ["I cannot tell.", "", "No idea", "A or B"])
def test_longvideobench_and_video_holmes_draw_a_letter_where_none_is_said(written):
    found = {extract(written, "choice", CHOICES).answer for _ in range(20)}
    assert found == {None}
    assert all(lenient(written, kind="choice", answer=name, choices=CHOICES) == 0 for name in "ABCD")


@pytest.mark.parametrize(
    "written", ["Based on the video, the tap runs.", "Because the Drawer is open", "Carefully, Dave waits."]
)
def test_egoplan2_reads_the_first_capital_as_an_answer(written):
    assert extract(written, "choice", CHOICES).answer is None
    assert egoplan_bench2("Based on the video", answer="B") == 1  # the published rule, under its own name


def test_mmvu_accepts_an_option_that_is_only_mentioned():
    assert extract("The close tap option is what one might expect.", "choice", CHOICES).answer is None
    assert extract("<answer>not close tap</answer>", "choice", CHOICES).answer is None


@pytest.mark.parametrize(("gold", "given", "score", "theirs"), [("2", "1", 0.1, 0.0), ("4", "3", 0.6, 0.5)])
def test_vsi_bench_ports_lose_a_tenth_at_each_threshold_that_is_met_exactly(gold, given, score, theirs):
    text = f"<answer>{given}</answer>"
    assert mra(text, answer=gold) == pytest.approx(score)
    assert official(text, kind="regression", answer=gold) == pytest.approx(theirs)


def test_seed_bench_r1_writes_the_letter_with_and_without_a_point():
    for written in ("A", "A."):
        assert lenient(f"<answer>{written}</answer>", kind="choice", answer="A", choices=CHOICES) == 1
