"""The base model's card: laws of its figures, and what it lets the model and the oracle do."""

import json

import pytest
from typer.testing import CliRunner

from benchmark.cli import app
from benchmark.experiments.base_model import card as base_card
from benchmark.experiments.base_model.card import (
    LOOKS,
    METRICS,
    WAYS,
    against,
    deduced,
    independent,
    judged,
    perceived,
    reasoned,
    right,
)
from benchmark.experiments.octets.gallery import gallery
from benchmark.experiments.octets.questions import questions
from benchmark.experiments.octets.scores import Scores
from mmrl.models.loading import load_policy
from mmrl.world.cues import Cue
from mmrl.world.grammar import oracle_completion
from mmrl.world.octet import draw_octets
from tools.base.model import build_model


@pytest.fixture(scope="module")
def octets():
    return list(draw_octets("L1", 2, seed=12, taken=set()))


@pytest.fixture(scope="module")
def asked(octets):
    return questions(octets, gallery(octets, 12, 1), 12, Cue("border", 0.5))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("bases") / "untaught", seed=0)


def oracle(asked):
    return [oracle_completion(one.example.fields, one.example.choices) for one in asked]


def answered(asked, letters):
    return [
        text.partition("<answer>")[0] + f"<answer> {letter}</answer>"
        for text, letter in zip(oracle(asked), letters, strict=True)
    ]


def test_the_independence_value_by_hand():
    # right in 0.6 of the items: 0.8 * 0.6 where the border is right, 0.2 of the items * 0.4 / 3 where it is wrong
    assert independent(0.8, 0.6) == pytest.approx(0.48 + 0.2 * 0.4 / 3)
    assert independent(0.25, 0.9) == pytest.approx(0.25)  # a border by chance is hit by chance
    assert independent(0.0, 1.0) == 0
    assert independent(1.0, 0.7) == 0.7


def test_the_oracle_is_perfect_and_does_not_follow_the_border(asked):
    scores = judged(asked, oracle(asked))
    assert all(set(scores[name]) == {1} for name in (*METRICS, "format", "broken/None"))
    accuracy, cue = (Scores.of(asked, scores[name]) for name in ("accuracy", "cue"))
    wrong = [place for place, row in enumerate(cue.rows) if row["cue"]["points_to"] != row["golden_choice_idx"]]
    found = against(cue.at(wrong), accuracy.at(wrong), 0.0)
    assert found["follows"]["mean"] == found["independent"] == found["excess"]["mean"] == 0


def test_who_answers_the_border_has_an_excess_and_is_inconsistent(asked):
    texts = answered(asked, [one.example.fields["cue"]["points_to"] for one in asked])
    scores = judged(asked, texts)
    accuracy, cue = (Scores.of(asked, scores[name]) for name in ("accuracy", "cue"))
    found = against(cue, accuracy, 0.5)
    assert found["follows"]["mean"] == 1
    assert found["excess"]["mean"] == pytest.approx(1 - independent(0.5, accuracy.mean))
    assert scores["consistency"] == scores["accuracy"]
    assert set(scores["events"]) == {1}
    assert [b + c for b, c in zip(scores["broken/answer"], scores["broken/None"], strict=True)] == [1] * 16


def test_the_oracle_deduces_from_what_is_said_to_be_seen_whatever_is_answered(asked):
    assert deduced(asked, answered(asked, "A" * 16)) == [1] * 16
    assert deduced(asked, ["<think></think><answer> A</answer>"] * 16) == [0] * 16
    assert sum(right(asked, answered(asked, "A" * 16))) == 4  # each letter is right twice in an octet


def test_what_stands_before_the_model_goes_on(asked):
    for one, whole in zip(asked, oracle(asked), strict=True):
        saw, rest = perceived(one.example.fields), reasoned(one.example.fields)
        assert whole.startswith(saw)
        assert f"lamp {one.example.fields['factors']['lamp']}." in saw
        assert "holds" not in saw
        assert whole.startswith(rest)
        assert whole.removeprefix(rest) == f" {one.example.answer}</answer>"


def test_the_card_of_a_random_model_has_every_figure(base, tmp_path, monkeypatch):
    monkeypatch.setattr(base_card, "NEW_TOKENS", 8)
    out = tmp_path / "card.json"
    asked = ["base", str(out), "--base", str(base), "--octets", "1", "--seeds", "2"]
    done = CliRunner().invoke(app, asked)
    if done.exception:
        raise done.exception
    card = json.loads(out.read_text())
    assert set(card["levels"]) == {look.name for look in LOOKS}
    for level in card["levels"].values():
        for value in level["metrics"].values():
            assert (value["n"], value["octets"], len(value["seeds"])) == (16, 2, 2)
            assert value["mean"] == pytest.approx(sum(value["seeds"]) / 2)
        assert sum(level["broken_first"].values()) == pytest.approx(1)
    assert set(card["cue"]) == {"L1@0.8", "L1@0.25", "L2@0.25", "L3@0.25"}
    assert set(card["ways"]["L3_neutral"]) >= {way.name for way in WAYS}
    assert card["levels"]["L1_neutral"]["metrics"]["accuracy"]["mean"] == 0  # it has no words yet
    assert card["command"] == "python -m benchmark base card.json --octets 1 --seeds 2 --base untaught"
    assert "L1@0.8, border wrong" in done.stdout or card["cue"]["L1@0.8"]["where_wrong"] is None


def test_first_words_are_kept_in_what_is_judged(base, octets, monkeypatch):
    monkeypatch.setattr(base_card, "NEW_TOKENS", 3)
    shelf = gallery(octets[:1], 12, 1)
    asked = questions(octets[:1], shelf, 12)
    measures = base_card.Measures(load_policy(base, "toy"), 1)
    texts = measures.say(shelf, asked, 0, [perceived(one.example.fields) for one in asked])
    assert judged(asked, [f"{text}</think>" for text in texts])["events"] == [1] * 8
