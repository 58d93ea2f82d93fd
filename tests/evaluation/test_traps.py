"""Traps found in published evaluation code, each by the project in which it was found.

What is tested at length elsewhere is tested here once more in a line, so that the list is whole.
"""

from pathlib import Path

import pytest

from mmrl.data.prompts import TEMPLATES, text
from mmrl.evaluation import Completion, read_records
from mmrl.rewards.answer_extraction import chosen_letter
from mmrl.rewards.answer_scores import mean_relative_accuracy, mean_relative_accuracy_video_r1
from mmrl.rewards.graders import lenient, official
from mmrl.types import Decoding, Example
from tests.evaluation.factories import EXAMPLES, KilledError, Model, grade, run

CHOICES = ("pick up the cup", "close the drawer", "wash the pan", "leave")
CONFIGS = sorted(Path("configs", "eval").glob("*.yaml"))


def test_grpo_care_a_failed_batch_leaves_the_denominator(tmp_path):
    found = run(tmp_path, Model(blind={"q0", "q1"}))
    assert found.n == 21
    assert found.metrics["accuracy"].mean == pytest.approx(3 * 3 / 21)  # q2, q4, q6 of seven


def test_grpo_care_after_a_resume_answers_are_matched_to_the_wrong_questions(tmp_path):
    """There the number of results on disk is the index to go on from; one that failed shifts all that follow."""
    with pytest.raises(KilledError):
        run(tmp_path, Model(kill_after=3, blind={"q1"}))
    run(tmp_path)
    for record in read_records(tmp_path):
        assert record.status == "media_error" or record.text.split()[1] == record.item


def test_grpo_care_and_video_r1_after_a_resume_the_mean_is_over_the_new_samples_only(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "killed", Model(kill_after=4))
    assert run(tmp_path / "killed").metrics == whole.metrics


@pytest.mark.parametrize("said", ["A", "A.", "(A)", "A. pick up the cup", "**A**", "pick up the cup"])
def test_grpo_care_and_video_r1_a_letter_with_anything_around_it_is_wrong(said):
    completion = f"<think>so</think><answer>{said}</answer>"
    given = {"kind": "choice", "answer": "A", "choices": CHOICES}
    assert lenient(completion, **given) == 1.0
    assert official(completion, **given) == float(said == "A")  # kept, as a scorer of its own


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_grpo_care_the_published_command_runs_another_benchmark(path):
    command = path.read_text().splitlines()[0]
    assert str(path) in command or f"--only {path.stem}" in command or path.stem in command.split()


def test_seed_bench_r1_an_answer_is_one_draw_of_256_tokens_in_a_square():
    from mmrl.config.load import load
    from mmrl.config.schema import EvalConfig

    config = load(EvalConfig, Path("configs/eval/seed_bench_r1.yaml"))
    assert config.evaluation.decoding == Decoding(temperature=0.0, max_new_tokens=1024)
    assert config.model.video_pixels[0] < config.model.video_pixels[1]  # a budget, in which the shape is kept


def test_seed_bench_r1_options_are_drawn_in_training_and_in_order_in_evaluation():
    from mmrl.data.formats.seed_bench_r1 import SeedBenchR1

    assert SeedBenchR1("x").options == "file"  # and the evaluator opens every set so: tests/evaluation/test_commands.py


def test_mvbench_empty_predictions_are_left_out(tmp_path):
    found = run(tmp_path, lambda examples, _: [Completion("" if e.id == "q0" else "A") for e in examples], samples=1)
    assert (found.n, found.statuses["empty"]) == (7, 1)
    assert found.metrics["accuracy"].mean == pytest.approx(3 / 7)


@pytest.mark.parametrize("said", ["a person picks up something", "I see a cup", "it is a drawer, I think"])
def test_mvbench_and_tvbench_the_article_is_answer_a(said):
    assert chosen_letter(said, CHOICES)[0] is None


def test_longvideobench_and_video_holmes_what_cannot_be_read_is_a_random_letter():
    readings = {chosen_letter("no idea at all", CHOICES) for _ in range(50)}
    assert readings == {(None, "unparsed")}


def test_video_holmes_a_missing_video_becomes_a_question_without_one(tmp_path):
    record = run(tmp_path, Model(blind={"q2"})).records[6]
    assert (record.item, record.status, record.text, dict(record.scores)) == ("q2", "media_error", "", {})


@pytest.mark.parametrize("template", [name for name in TEMPLATES if name not in ("none",)])
def test_video_mme_subtitles_are_spoken_of_that_are_not_there(template):
    example = Example("a", "what?", "A", "choice", CHOICES)
    assert "subtitle" not in text(example, template).casefold()


def test_mmvu_a_temperature_is_stated_and_sampling_is_off():
    """One number says both: 0 is greedy, anything else is sampled at that temperature. There is no second switch."""
    assert set(Decoding.__dataclass_fields__) >= {"temperature", "top_p", "max_new_tokens"}
    assert not any("sample" in name for name in Decoding.__dataclass_fields__)


@pytest.mark.parametrize("said", ["Based on the video, nobody knows.", "Before that, I cannot tell", "Does it matter?"])
def test_egoplan2_the_first_capital_anywhere_is_the_answer(said):
    assert chosen_letter(said, CHOICES)[0] is None


def test_videommmu_an_output_that_looks_like_an_error_is_dropped(tmp_path):
    said = "Error: Failed to obtain answer via API."
    found = run(tmp_path, lambda examples, _: [Completion(said) for _ in examples], samples=1)
    assert found.n == 7
    assert found.metrics["accuracy"].mean == 0.0


def test_video_holmes_a_hash_is_copied_from_another_dataset(tmp_path):
    """Hashes are made of the very items and compared again."""
    from mmrl.evaluation.commands.audit import file_problems

    run(tmp_path)
    assert list(file_problems(tmp_path)) == []
    path = tmp_path / "items.jsonl"
    path.write_text(path.read_text().replace("0?", "1?"))
    assert "is not the file that was planned" in next(file_problems(tmp_path))


@pytest.mark.parametrize(
    ("gold", "said", "ours", "theirs"), [("2", "1", 0.1, 0.0), ("4", "3", 0.6, 0.5), ("4", "4", 1.0, 1.0)]
)
def test_vsi_bench_a_relative_error_on_the_threshold(gold, said, ours, theirs):
    assert mean_relative_accuracy(said, gold) == pytest.approx(ours)
    assert mean_relative_accuracy_video_r1(said, gold) == pytest.approx(theirs)


def test_a_missing_verdict_is_neither_wrong_nor_left_out(tmp_path):
    found = run(tmp_path, samples=1, graded=lambda t, e: grade(t, e) | {"judge": None if e.id == "q0" else 1.0})
    assert (found.metrics["judge"].unscored, found.n) == (1, 7)


def test_items_are_told_apart_by_their_ids_and_never_by_their_rows(tmp_path):
    run(tmp_path / "one", examples=EXAMPLES)
    run(tmp_path / "two", examples=list(reversed(EXAMPLES)))
    one, two = ({(r.item, r.sample): r.scores["accuracy"] for r in read_records(tmp_path / n)} for n in ("one", "two"))
    assert one == two
