"""SEED-Bench-R1's files, in the form in which they are published."""

from collections import Counter
from pathlib import Path

import pytest

from mmrl.data.formats.seed_bench_r1 import SeedBenchR1, SeedBenchR1Demonstrations
from mmrl.types import Media, Message

QUESTION = (
    "Considering the progress shown in the video and my current observation shown in the image, "
    "what action should I take next in order to make salad?"
)


def training(sample=17, **changes):
    return {
        "sample_id": sample,
        "video_source": "EpicKitchens",
        "video_id": "P01_01",
        "task_goal": "make salad",
        "question": QUESTION,
        "answer": "wash lettuce",
        "task_progress_metadata": [{"narration_text": "open fridge", "start_frame": 10, "stop_frame": 50}],
        "current_observation_frame": 60,
        "video_basename": "P01_01_17.mp4",
        "current_observation_basename": "P01_01_17.png",
        "negative_answers": ["open drawer", "cut tomato", "close tap", "take knife", "pour oil"],
    } | changes


def validation(sample="uuid_3", **changes):
    row = training(sample, video_source="Ego4D", video_id="v9", task_level="L3", domain="Work", scenario="garage")
    del row["negative_answers"]
    choices = {"choice_a": "open drawer", "choice_b": "cut tomato", "choice_c": "wash lettuce", "choice_d": "close tap"}
    return row | choices | {"golden_choice_idx": "C"} | changes


def test_a_validation_row_keeps_its_options_in_the_order_of_the_file(tmp_path, write_rows):
    dataset = SeedBenchR1(write_rows([validation()])).open(tmp_path)
    example = dataset.example(0, epoch=0)
    assert (example.id, example.question, example.answer, example.kind) == ("uuid_3", QUESTION, "C", "choice")
    assert example.choices == ("open drawer", "cut tomato", "wash lettuce", "close tap")
    assert example.media == (
        Media("video", Path("videos/Ego4D/P01_01_17.mp4")),
        Media("image", Path("images/Ego4D/P01_01_17.png")),
    )
    assert example.cluster == "v9"
    assert example.fields == validation()
    assert dataset.example(0, epoch=5) == example


def test_no_progress_means_no_video(tmp_path, write_rows):
    row = validation(task_progress_metadata=[])
    del row["video_basename"]
    example = SeedBenchR1(write_rows([row]), media="sbr1").open(tmp_path).example(0, 0)
    assert example.media == (Media("image", Path("sbr1/images/Ego4D/P01_01_17.png")),)


def test_training_draws_three_negatives_and_the_letter_follows_the_answer(tmp_path, write_rows):
    source = SeedBenchR1(write_rows([training(n) for n in range(200)]), options="drawn")
    dataset = source.open(tmp_path)
    letters, negatives = Counter(), Counter()
    for index in range(len(dataset)):
        example = dataset.example(index, 0)
        assert example.choices["ABCD".index(example.answer)] == "wash lettuce"
        assert len(set(example.choices)) == 4
        letters[example.answer] += 1
        negatives.update(set(example.choices) - {"wash lettuce"})
    # 200 rows: letters 50 each with deviation 6.1, negatives 120 each with deviation 6.9
    assert min(letters.values()) > 25
    assert max(letters.values()) < 75
    assert min(negatives.values()) > 90


def test_the_draw_depends_on_seed_epoch_and_id_and_on_nothing_else(tmp_path, write_rows):
    rows = [training(n) for n in range(30)]
    here = SeedBenchR1(write_rows(rows), options="drawn").open(tmp_path)
    name = write_rows(
        [training(n, negative_answers=rows[0]["negative_answers"][::-1]) for n in range(29, -1, -1)], "other.jsonl"
    )
    there = SeedBenchR1(name, options="drawn").open(tmp_path)
    drawn = [here.example(index, 1).choices for index in range(30)]
    assert [there.example(29 - index, 1).choices for index in range(30)] == drawn
    assert [here.example(index, 1).choices for index in range(30)] == drawn
    assert [here.example(index, 2).choices for index in range(30)] != drawn
    other_seed = SeedBenchR1(write_rows(rows), options="drawn", seed=1).open(tmp_path)
    assert [other_seed.example(index, 1).choices for index in range(30)] != drawn


def test_the_draw_does_not_change_between_versions(tmp_path, write_rows):
    """A saved run that resumes under another Python or NumPy must see the same letters."""
    dataset = SeedBenchR1(write_rows([training()]), options="drawn").open(tmp_path)
    assert dataset.example(0, 0).choices == ("wash lettuce", "close tap", "open drawer", "cut tomato")


def test_rows_with_four_options_are_shuffled_in_training_too(tmp_path, write_rows):
    dataset = SeedBenchR1(write_rows([validation(n) for n in range(40)]), options="drawn").open(tmp_path)
    examples = [dataset.example(index, 0) for index in range(40)]
    assert {frozenset(example.choices) for example in examples} == {frozenset(dataset.example(0, 0).choices)}
    assert {example.answer for example in examples} == set("ABCD")
    assert all(example.choices["ABCD".index(example.answer)] == "wash lettuce" for example in examples)


def test_what_was_narrated_stays_out_of_the_question(tmp_path, write_rows):
    example = SeedBenchR1(write_rows([validation()])).open(tmp_path).example(0, 0)
    assert "open fridge" not in example.question
    assert example.fields["task_progress_metadata"][0]["narration_text"] == "open fridge"


def test_a_counterfactual_group_is_a_cluster(tmp_path, write_rows):
    rows = [validation(1, group_id=4), validation(2, video_id=None), validation(3)]
    dataset = SeedBenchR1(write_rows(rows)).open(tmp_path)
    assert [dataset.example(index, 0).cluster for index in range(3)] == ["4", "2", "v9"]


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (training(answer=""), "drawn", "answer: expected text that is not empty, found ; correct the row"),
        (training(answer=None), "drawn", "answer: expected text that is not empty, found None"),
        (training(negative_answers=["a", "b"]), "drawn", "negative_answers: expected 3 or more, found 2"),
        (
            training(negative_answers=["a", "b", "a"]),
            "drawn",
            "negative_answers: expected options that differ, found 'a' more",
        ),
        (
            training(negative_answers=["wash lettuce", "b", "c"]),
            "drawn",
            "negative_answers: expected options that differ, found 'wash lettuce'",
        ),
        (training(negative_answers="a b c"), "drawn", "negative_answers: expected a list of texts that are not empty"),
        (
            training(),
            "file",
            "golden_choice_idx: expected the letter of the right option, .*; state options: drawn for training",
        ),
        (
            validation(golden_choice_idx="E"),
            "file",
            "golden_choice_idx: expected one of the letters A, B, C, D, found E",
        ),
        (
            validation(golden_choice_idx="B"),
            "file",
            "choice_b: expected the answer .'wash lettuce'.*found 'cut tomato'",
        ),
        (
            validation(choice_d="open drawer"),
            "file",
            "choice_a..choice_d: expected options that differ, found 'open drawer'",
        ),
        (validation(choice_d=None), "file", "choice_d: expected text that is not empty, found None"),
        (
            validation(video_basename="../../x.mp4"),
            "file",
            "video_basename: expected a file name without folders, found ../",
        ),
        (validation(video_source="a/b"), "file", "video_source: expected a file name without folders"),
        (
            validation(task_progress_metadata=None),
            "file",
            "task_progress_metadata: expected a list .empty where there is no video",
        ),
        (validation(sample=True), "file", "sample_id: expected an integer or text, found True"),
        (validation(sample=None), "file", "sample_id: expected an integer or text, found None"),
    ],
)
def test_a_malformed_row_is_told_where_what_and_what_to_do(tmp_path, write_rows, row, options, message):
    name = write_rows([training("good") if options == "drawn" else validation("good"), row])
    with pytest.raises(ValueError, match=rf"1 bad rows:\n  .*rows\.jsonl:2: {message}"):
        SeedBenchR1(name, options=options).open(tmp_path)


def chat(text="What next?", **parts):
    content = [{"type": kind, kind: path} for kind, path in parts.items()] + [{"type": "text", "text": text}]
    return [{"role": "user", "content": content}]


def test_a_demonstration_is_a_chat_and_its_completion(tmp_path, write_rows):
    response = "<think>Is it <answer>A</answer>?</think><answer>B. wash lettuce</answer>"
    row = training() | {
        "prompt": chat(video="videos/a.mp4", image=f"file://{tmp_path}/images/a.png"),
        "response": response,
    }
    example = SeedBenchR1Demonstrations(write_rows([row])).open(tmp_path).example(0, 0)
    media = (Media("video", Path("videos/a.mp4")), Media("image", Path("images/a.png")))
    assert example.messages == (Message("user", (*media, "What next?")),)
    assert example.every_media == media
    assert (example.id, example.answer, example.demonstration) == ("17", "B", response)
    assert (example.question, example.cluster) == ("What next?", "P01_01")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<answer> C </answer>", "C"),
        ("<answer>(D)</answer>", "D"),
        ("<answer>Drawer</answer>", None),
        ("no block", None),
        ("<think>Not <answer>A</answer></think> at all", None),
    ],
)
def test_the_answer_of_a_demonstration_is_its_letter(tmp_path, write_rows, response, answer):
    name = write_rows([{"prompt": chat(), "response": response}])
    example = SeedBenchR1Demonstrations(name).open(tmp_path).example(0, 0)
    assert (example.id, example.answer) == ("line-1", answer)
