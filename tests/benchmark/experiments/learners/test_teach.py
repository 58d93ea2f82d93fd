"""Restricted input: what is left of a shelf, what is asked of it, curves and files of learners."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.experiments.learners import page as learners_page
from benchmark.experiments.learners import teach as learners
from benchmark.experiments.learners.inputs import GREY, INPUTS
from benchmark.experiments.learners.teach import Course
from benchmark.experiments.octets.gallery import gallery
from benchmark.experiments.octets.questions import ask, extended, going_on, questions, seen
from benchmark.experiments.octets.scores import Scores, figure
from mmrl.models.loading import load_policy
from mmrl.rollout import Engine
from mmrl.types import Decoding
from mmrl.world.cues import Cue
from mmrl.world.grammar import oracle_completion, prompt_text
from mmrl.world.octet import draw_octets
from mmrl.world.script import SLOTS
from tools.base.lessons import Writer
from tools.base.model import build_model

GREEDY = Decoding(temperature=0.0, max_new_tokens=10)


@pytest.fixture(scope="module")
def octets():
    return list(draw_octets("L1", 2, seed=11, taken=set()))


@pytest.fixture(scope="module")
def shelf(octets):
    return gallery(octets, 11, 1)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("bases") / "untaught", seed=0)


@pytest.fixture(scope="module")
def policy(base):
    """Random weights, large enough that what is said depends on what is seen."""
    policy = load_policy(base, "toy")
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(10 if parameter.ndim > 1 else 1)
    policy.model.eval()
    return policy


@pytest.fixture
def course(base):
    return Course(base, steps=3, octets=2, tested=1, every=2, lessons=2, new_tokens=6)


def slots_of(clips):
    """Every clip as the bytes of its slots, in order."""
    return [[slot.tobytes() for slot in clip.reshape(SLOTS, -1)] for clip in clips]


def test_full_input_is_the_shelf_itself(shelf):
    assert INPUTS["full"].see(shelf, 0) is shelf


def test_a_shuffled_clip_has_the_same_slots_in_another_order_of_its_own(shelf):
    mixed = INPUTS["shuffled"].see(shelf, 0)
    before, after = slots_of(shelf.clips), slots_of(mixed.clips)
    assert [sorted(clip) for clip in before] == [sorted(clip) for clip in after]
    orders = {tuple(clip.index(slot) for slot in other) for clip, other in zip(before, after, strict=True)}
    assert len(orders) > 1
    assert before != after
    assert mixed.pictures is shelf.pictures
    assert slots_of(INPUTS["shuffled"].see(shelf, 0).clips) == after
    assert slots_of(INPUTS["shuffled"].see(shelf, 1).clips) != after


def test_what_is_taken_away_is_grey_and_what_is_left_is_untouched(shelf):
    for name, clips, pictures in (("blind", True, True), ("observation", True, False), ("video", False, True)):
        less = INPUTS[name].see(shelf, 0)
        assert less.clips.shape == shelf.clips.shape
        assert less.pictures.shape == shelf.pictures.shape
        assert bool((less.clips == GREY).all()) is clips
        assert bool((less.pictures == GREY).all()) is pictures
        assert clips or less.clips is shelf.clips
        assert pictures or less.pictures is shelf.pictures


def test_the_last_frame_stands_in_the_place_of_all(shelf):
    less = INPUTS["last_frame"].see(shelf, 0)
    assert np.array_equal(less.clips, np.repeat(shelf.clips[:, -1:], shelf.clips.shape[1], axis=1))
    assert less.pictures is shelf.pictures
    four = less.clips[:4]  # of one octet: the tail tells nothing of what came before
    assert all(np.array_equal(four[0], clip) for clip in four)


def test_the_blind_answer_all_items_of_an_octet_alike(policy, octets, shelf):
    asked = questions(octets, shelf, 11)
    texts = ask(policy, INPUTS["blind"].see(shelf, 0), asked, GREEDY, 0)
    assert len(texts) == 16
    assert len(set(texts[:8])) == len(set(texts[8:])) == 1
    whole = ask(policy, shelf, asked, GREEDY, 0)
    assert len(set(whole[:8])) > 1


def test_observation_alone_tells_lamps_apart_and_no_videos(policy, octets, shelf):
    asked = questions(octets[:1], shelf, 11)
    texts = ask(policy, INPUTS["observation"].see(shelf, 0), asked, GREEDY, 0)
    assert texts[0::2] == texts[:1] * 4
    assert texts[1::2] == texts[1:2] * 4
    texts = ask(policy, INPUTS["video"].see(shelf, 0), asked, GREEDY, 0)
    assert texts[0::2] == texts[1::2]


def test_a_question_is_the_row_with_what_is_seen_of_it(octets, shelf):
    for one in questions(octets, shelf, 11):
        row, (clip, picture) = one.example.fields, seen(shelf, one)
        bits, lamp = (row["factors"]["bit_left"], row["factors"]["bit_right"]), row["factors"]["lamp"]
        octet = next(octet for octet in octets if octet.group == one.example.cluster)
        place = shelf.pick(octet, bits, lamp, None)
        assert np.array_equal(clip.frames, shelf.clips[place[0]])
        assert np.array_equal(picture, shelf.pictures[place[1]])
        assert one.example.choices["ABCD".index(one.example.answer)] == row["answer"] == str(octet.action(bits, lamp))


def test_a_border_is_shown_as_its_row_says(octets, shelf):
    for one in questions(octets, shelf, 11, Cue("border", 0.25)):
        row, (_, picture) = one.example.fields, seen(shelf, one)
        octet = next(octet for octet in octets if octet.group == one.example.cluster)
        place = shelf.pick(octet, (0, 0), row["factors"]["lamp"], row["cue"]["points_to"])
        assert np.array_equal(picture, shelf.pictures[place[1]])


def test_first_tokens_that_the_model_would_have_said_change_nothing(policy, octets, shelf):
    """Greedy completions begun with their own first tokens are the same completions."""
    some = questions(octets[:1], shelf, 11)[:3]
    prompts = policy.prompts([one.example for one in some], [seen(shelf, one) for one in some])
    engine = Engine(policy, GREEDY, lambda text: None)
    whole = [group.tokens[0].tolist() for group in engine.sample(prompts, [[0]] * 3, 0)]
    begun = [extended(prompt, tokens[:4]) for prompt, tokens in zip(prompts, whole, strict=True)]
    for tokens, group in zip(whole, engine.sample(begun, [[0]] * 3, 0), strict=True):
        assert len(set(tokens)) > 3
        assert group.tokens[0].tolist()[: len(tokens) - 4] == tokens[4:]


def test_first_words_are_the_tokens_that_training_had(policy, octets, shelf):
    (one, *_) = questions(octets, shelf, 11)
    (prompt,) = policy.prompts([one.example], [seen(shelf, one)])
    whole, write = oracle_completion(one.example.fields, one.example.choices), Writer(policy.tokenizer)
    first = whole.partition("<answer>")[0] + "<answer>"
    begun = going_on(policy, prompt, first)
    added = begun.tokens[len(prompt.tokens) :].tolist()
    assert added + write.text(whole.removeprefix(first)) == write.text(whole)
    assert (
        begun.positions[:, len(prompt.tokens) :].tolist()
        == [list(range(prompt.next_position, begun.next_position))] * 3
    )
    assert going_on(policy, prompt, "").tokens.tolist() == prompt.tokens.tolist()
    assert prompt_text(one.example.question, one.example.choices) in policy.tokenizer.decode(prompt.tokens)


def test_intervals_are_over_octets(octets, shelf):
    asked = questions(octets, shelf, 11)
    scores = Scores.of(asked, [1.0] * 8 + [0.0] * 8)
    found = figure(scores)
    assert (found["mean"], found["n"], found["octets"]) == (0.5, 16, 2)
    assert (found["low"], found["high"]) == (0, 1)  # two octets: as wide as can be, however many items
    assert [part.mean for part in scores.by(lambda row: row["family"]).values()] == [1, 0]
    assert figure(scores + Scores.of(asked, [1.0] * 16, seed=1))["octets"] == 4


def test_learners_leave_files_a_table_and_a_picture_and_are_not_taught_again(course, tmp_path, monkeypatch):
    said = []
    learners.run(tmp_path, ["full", "blind"], [0], course, said.append)
    found = {one["input"]: one for one in learners_page.read(tmp_path)}
    assert list(found) == ["full", "blind"]
    for one in found.values():
        assert [point["step"] for point in one["curve"]] == [0, 2, 3]
        for decoding, final in one["final"].items():
            assert one["curve"][-1][decoding] == final["accuracy"]["mean"]
            assert (final["accuracy"]["n"], final["accuracy"]["octets"]) == (8, 1)
        assert one["course"]["steps"] == 3
        assert "--inputs " + one["input"] in one["command"]
    assert found["blind"]["ceiling"] == {"all": 25, "ordered": 25, "unordered": 25}
    assert str(tmp_path.parent) not in json.dumps(found)
    header, lines = learners_page.cells(list(found.values()))
    assert all(len(line) == len(header) for line in lines)
    learners_page.draw(list(found.values()), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 1000

    monkeypatch.setattr(learners, "gallery", None)
    learners.run(tmp_path, ["full", "blind"], [0], course, said.append)  # renders and teaches nothing
    (tmp_path / "blind-s0.json").unlink()
    with pytest.raises(TypeError):
        learners.run(tmp_path, ["full", "blind"], [0], course, said.append)


def test_learners_of_another_course_are_not_mixed(course, tmp_path):
    (tmp_path / "full-s0.json").write_text(json.dumps({"course": course.facts | {"steps": 9}}))
    with pytest.raises(ValueError, match=r"full-s0\.json: expected a learner of"):
        learners.run(tmp_path, ["full"], [0], course, print)


def test_the_command_refuses_what_it_does_not_know(base, tmp_path):
    done = CliRunner().invoke(app, ["learners", str(tmp_path / "out"), "--base", str(base), "--inputs", "full,deaf"])
    assert done.exit_code == 1
    assert "expected some of full, blind" in str(done.exception)
    assert not (tmp_path / "out").exists()
