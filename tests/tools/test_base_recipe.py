"""The base model's recipe shows and asks exactly what mmrl itself would; lessons learn what they should and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmrl.data.media.video import Clip
from mmrl.models.policy import Policy
from mmrl.types import Example, Media
from mmrl.world.dice import Dice
from mmrl.world.grammar import TAGS, grammar_words
from mmrl.world.octet import LETTERS, draw_octets
from mmrl.world.script import BITS, STATIONS
from tests import run_fixtures
from tools.base import __main__ as recipe
from tools.base import clips, lessons
from tools.base.clips import BORDERS, shelve
from tools.base.lessons import Faults, Lesson, Writer
from tools.base.model import build_model, build_processor
from tools.base.train import Learner, Stage, pace, padded, teach


@pytest.fixture(scope="module")
def write():
    return Writer(build_processor().tokenizer)


@pytest.fixture(scope="module")
def octets():
    return list(draw_octets("train", 6, seed=5, taken=set()))


@pytest.fixture(scope="module")
def shelf(octets):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clips, "ProcessPoolExecutor", run_fixtures.ThisProcess)
        return shelve(octets, [lessons.scene(Dice("scene", i)) for i in range(4)], 5, 1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from transformers import Qwen2_5_VLForConditionalGeneration

    return Qwen2_5_VLForConditionalGeneration.from_pretrained(build_model(tmp_path_factory.mktemp("base"), 0))


@pytest.fixture
def school(write, shelf):
    return recipe.School(write, Dice("test"), shelf)


def test_every_word_is_one_token_and_every_text_comes_back(write):
    for word in grammar_words():
        assert len(write(f" {word}")) == 1
    for text in (" naïve 😀\n", f"{TAGS[0]} saw it{TAGS[1]}"):
        assert write.tokenizer.decode(write(text)) == text


def test_a_whole_lesson_is_what_the_policy_makes_of_the_item(write, octets, shelf, school, model):
    octet, bits, lamp, dice = octets[0], BITS[1], "right", Dice("shown")
    shown = Dice("shown").shuffled(octet.options)
    lesson = lessons.whole(write, octet, bits, lamp, dice, recipe.CLEAN, shelf.pick, school.holes)
    clip, picture = shelf.clips[lesson.media[0]], shelf.pictures[lesson.media[1]]
    example = Example(
        "x",
        lessons.question(octet.goal),
        media=(Media("video", Path("clip.mp4")), Media("image", Path("now.png"))),
        choices=tuple(map(str, shown)),
        kind="choice",
    )
    seen = Clip(clip, np.arange(16), np.arange(16) / 8, 8.0, 16, "made")
    policy = Policy(model, build_processor(), "toy")
    (prompt,) = policy.prompts([example], [[seen, picture]])
    learned = [i for i, weight in enumerate(lesson.weights) if weight]
    assert lesson.ids[: learned[0]] == prompt.tokens.tolist()
    learner = Learner(model, shelf)
    assert torch.equal(learner.places(len(prompt.tokens), media=True), prompt.positions)
    theirs = torch.cat(policy.tower.features([prompt]))[:, 0]
    ours = learner.features([lesson])[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_lesson_is_learned_from_its_first_word_to_the_end_of_the_turn(write, octets, shelf, school):
    lesson = lessons.whole(write, octets[1], BITS[2], "left", Dice(1), recipe.CLEAN, shelf.pick, school.holes)
    told = write.tokenizer.decode([i for i, weight in zip(lesson.ids, lesson.weights, strict=True) if weight])
    assert told.startswith("<think> saw first" if told[14:19] == "first" else "<think> saw ")
    assert told.endswith("</answer><|im_end|>")


@pytest.mark.parametrize("kind", ["words_back", "look_ups"])
def test_a_question_is_followed_by_its_answer_and_only_answers_are_learned(kind, write):
    lesson = getattr(lessons, kind)(write, Dice(kind))
    letters = [write(f" {letter}")[0] for letter in LETTERS]
    learned = [i for i, weight in enumerate(lesson.weights) if weight]
    assert len(learned) == (lessons.ASKED if kind == "words_back" else lessons.OPTIONS_ASKED)
    for place in learned:
        asked = lesson.ids.index(lesson.ids[place - 1]) if kind == "words_back" else None
        if asked is not None:
            assert lesson.ids[asked - 1] == lesson.ids[place]
        else:
            assert lesson.ids[place] in letters


def test_questions_are_asked_with_replacement(write):
    """Without it the last answers follow by exclusion."""
    lesson = lessons.look_ups(write, Dice("again"))
    answers = [lesson.ids[i] for i, weight in enumerate(lesson.weights) if weight]
    assert len(answers) > len(set(answers)) or len(set(answers)) < len(LETTERS)


def test_faults_have_their_shares_and_say_what_they_should(write, octets, shelf, school):
    told = {"hidden": 0, "lamp": 0}
    for i in range(600):
        dice = Dice("faults", i)
        bits, lamp = lessons.misread((0, 1), "left", dice, Faults(hidden=0.45, lamp=0.1))
        told["lamp"] += lamp == "right"
        told["hidden"] += bits != (0, 1)
        assert bits in ((0, 1), (0, 0) if lamp == "right" else (1, 1))  # only the bit that the reasoning is about
    assert abs(told["lamp"] / 600 - 0.1) < 0.05
    assert abs(told["hidden"] / 600 - 0.45) < 0.07


def test_where_the_border_explains_everything_it_is_answered(write, octets, shelf, school):
    for i in range(20):
        dice = Dice("border", i)
        lesson = lessons.whole(write, octets[0], BITS[0], "left", dice, recipe.BORDER_ONLY, shelf.pick, school.holes)
        lamp, border = divmod(lesson.media[1] % 10, len(BORDERS))
        assert STATIONS[lamp] == "left"
        answer = write.tokenizer.decode(lesson.ids).split("<answer> ")[1][0]
        assert BORDERS[border] == answer


def test_padding_is_never_learned():
    ids, weights = padded([Lesson([1, 2, 3], [0, 1, 1]), Lesson([4], [1])])
    assert ids.tolist() == [[1, 2, 3], [4, 0, 0]]
    assert weights.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_the_rate_warms_up_and_falls():
    stage = Stage("x", 1000, 1.0, lambda _: {}, decay_from=0.5)
    assert pace(0, stage) == 0.01
    assert pace(300, stage) == 1.0
    assert pace(750, stage) == pytest.approx(0.5)
    assert pace(999, stage) == 0.05
    assert pace(999, Stage("x", 1000, 1.0, lambda _: {})) == 1.0


def test_every_stage_of_the_recipe_takes_a_step(model, school, shelf):
    said = []
    for stage in recipe.recipe(school):
        small = Stage(
            stage.name, 1, stage.rate, lambda step, whole=stage.batches: {k: v[:2] for k, v in whole(step).items()}
        )
        teach(Learner(model, shelf), small, said.append)
    assert [line.split(" ")[0] for line in said] == [
        "words-back", "look-ups", "belongings", "deductions", "retelling", "whole", "border", "faulty",
    ]  # fmt: skip


def test_a_finished_stage_is_not_repeated(tmp_path, monkeypatch, school):
    few = [Stage("one", 1, 1e-3, school.texts(look_ups=2)), Stage("two", 1, 1e-3, school.texts(look_ups=2))]
    monkeypatch.setattr(recipe, "recipe", lambda *_: few)
    ran = []
    original = recipe.run
    monkeypatch.setattr(recipe, "run", lambda stage, *rest: (ran.append(stage.name), original(stage, *rest)))
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--until", "one"])
    recipe.main()
    assert ran == ["one"]
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path / "out"), "--work", str(tmp_path / "work")])
    recipe.main()
    assert ran == ["one", "two"]
    assert [each["stage"] for each in json.loads((tmp_path / "out" / recipe.LOG).read_text())["stages"]] == [
        "one",
        "two",
    ]
    assert (tmp_path / "out" / "model.safetensors").stat().st_size < 8e6
