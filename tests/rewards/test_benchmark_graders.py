"""The readings of public benchmarks' own scripts, with the traps that they hold, beside ours."""

import time

import pytest

from mmrl.rewards.answer_scores import mean_relative_accuracy, mean_relative_accuracy_video_r1
from mmrl.rewards.benchmark_graders import PUBLISHED_READINGS, mean_relative_accuracy_vsi_bench
from mmrl.rewards.graders import GRADERS

FOUR = ("red", "green", "blue", "grey")


def score(name, completion, answer="B", choices=FOUR, kind="choice"):
    return GRADERS[name](completion, answer=answer, choices=choices, kind=kind)


@pytest.mark.parametrize("name", [name for name in PUBLISHED_READINGS if name != "official_tempcompass"])
@pytest.mark.parametrize("text", ["B", "<think>A or C? No, D.</think> <answer>B</answer>", "<think>A</think>B"])
def test_all_read_a_letter_behind_the_reasoning_and_not_in_it(name, text):
    assert score(name, text) == 1
    assert score(name, text, "D") == 0


@pytest.mark.parametrize("name", PUBLISHED_READINGS)
def test_reasoning_that_was_cut_off_is_no_answer(name):
    expected = 1 / 4 if name == "official_longvideobench" else 0
    assert score(name, "<think>B is it, B, surely B") == expected


@pytest.mark.parametrize("name", PUBLISHED_READINGS)
def test_nothing_written_is_no_answer(name):
    expected = 1 / 4 if name == "official_longvideobench" else 0
    assert [score(name, "", answer) for answer in "ABCD"] == [expected] * 4


def test_longvideobench_guesses_where_there_is_no_letter_and_takes_the_b_of_based():
    assert score("official_longvideobench", "none of them", choices=("1", "2", "3", "4", "5")) == 1 / 5
    assert score("official_longvideobench", "The best answer is C.", "C") == 1
    assert score("official_longvideobench", "Based on the video, D") == 1  # B is right, D was meant
    assert score("lenient", "Based on the video, D") == 0


def test_egoplan_does_not_take_away_the_phrases_between_which_a_comma_is_missing():
    assert score("official_egoplan_bench2", "Best answer: C", "B") == 1  # the B of "Best" comes first
    assert score("official_egoplan_bench2", "The answer is C", "C") == 1
    assert score("lenient", "The best answer is C", "C") == 1


def test_video_holmes_takes_the_first_letter_of_the_alphabet_and_the_last_block():
    six = ("a", "b", "c", "d", "e", "f")
    assert score("official_video_holmes", "<answer>A</answer> no, <answer>F: f</answer>", "F", six) == 1
    assert score("official_video_holmes", "<answer>E: not A </answer>", "A", six) == 0  # "A" ends the stripped block
    assert score("official_video_holmes", "<answer>E: not A but F</answer>", "A", six) == 1
    assert score("official_video_holmes", "<answer>Brother</answer>", "B", six) == 1


def test_tvbench_folds_case_so_that_an_article_is_an_answer():
    assert score("official_tvbench", "A person opens it", "A") == 1
    assert score("official_tvbench", "a cup", "A") == 1
    assert score("lenient", "a cup", "A") == 0
    assert score("official_tvbench", "(B) green") == 1 == score("official_tvbench", "B. green")
    assert score("official_tvbench", "option B") == 0


@pytest.mark.parametrize("text", ["B", "B. green", "B) green", "green", "B. something else"])
def test_tempcompass_reads_letters_before_a_point_or_a_bracket_and_the_options_text(text):
    assert score("official_tempcompass", text) == 1


@pytest.mark.parametrize("text", ["(B) green", "Option B", "b", "It is green."])
def test_tempcompass_leaves_other_forms_to_a_judge_so_they_are_wrong_here(text):
    assert score("official_tempcompass", text) == 0
    assert score("lenient", text) == (text in ("(B) green", "Option B"))


def test_tempcompass_reads_yes_and_no_at_the_beginning():
    for text, right in (("No, it falls.", 1), ("yes", 0), ("B", 1), ("nothing", 1)):  # "nothing" begins with no
        assert score("official_tempcompass", text, "B", ("yes", "no")) == right


def test_vsi_bench_reads_the_first_word():
    assert score("official_vsi_bench", "b.") == 1
    assert score("official_vsi_bench", "(B)") == 0
    assert score("official_vsi_bench", "2.0 metres", "2", (), "regression") == 1
    assert score("official_vsi_bench", "about 2", "2", (), "regression") == 0
    assert score("official_vsi_bench", "1,000", "1000", (), "regression") == 0
    assert score("vsi_bench", "1,000", "1000", (), "regression") == 1


@pytest.mark.parametrize(("gold", "given", "own", "video_r1"), [(2, 1, 0.1, 0.0), (4, 3, 0.6, 0.5), (10, 10, 1.0, 1.0)])
def test_the_two_mean_relative_accuracies_differ_at_the_thresholds(gold, given, own, video_r1):
    # |1 - 2| / 2 = .5 <= 1 - .5 holds, < does not; |3 - 4| / 4 = .25 is 1 - .75, the sixth threshold
    assert mean_relative_accuracy(str(given), str(gold)) == pytest.approx(own, abs=1e-10)
    assert mean_relative_accuracy_vsi_bench(given, gold) == pytest.approx(own, abs=1e-10)
    assert mean_relative_accuracy_video_r1(str(given), str(gold)) == pytest.approx(video_r1, abs=1e-7)


def test_the_exact_and_the_float_mean_relative_accuracy_differ_by_one_threshold_at_most():
    for gold in range(1, 60):
        for given in range(0, 90):
            exact = mean_relative_accuracy(str(given / 10), str(gold / 10))
            assert abs(exact - mean_relative_accuracy_vsi_bench(given / 10, gold / 10)) <= 0.1 + 1e-12


@pytest.mark.parametrize("name", PUBLISHED_READINGS)
@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "<think>", "</think>", "A ", "(", "no "])
def test_adversarial_text_costs_no_time(name, piece):
    start = time.process_time()
    score(name, piece * (100_000 // len(piece)))
    assert time.process_time() - start < 0.5
