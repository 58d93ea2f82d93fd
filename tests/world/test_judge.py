"""The exact judge: flips of one clause change what follows from it, and nothing a garbler does earns support."""

import random
from dataclasses import asdict

import pytest

from mmrl.world.annotate import rows
from mmrl.world.build import Sizes, all_octets
from mmrl.world.grammar import completion, oracle_completion, reasoning
from mmrl.world.judge import judge
from mmrl.world.script import Event, draw_octets

ROWS = [
    row | {"choices": list(octet.options)}
    for octet in all_octets(Sizes(train=6, L1=6, L2=6, L3=6), seed=2)
    for row in rows(octet, [None] * 8, None)
]


def known(family: str) -> tuple[dict, str]:
    row = next(row for row in ROWS if row["family"] == family)
    return row, oracle_completion(row, row["choices"])


def test_oracles_are_flawless_and_right():
    for row in ROWS:
        verdict = judge(oracle_completion(row, row["choices"]), row)
        assert verdict.broken is None
        assert verdict.support
        assert verdict.consistent
        assert verdict.correct
        assert verdict.coverage == verdict.events_f1 == verdict.events_ordered == 1
        assert verdict.hidden_true
        assert verdict.hidden_entailed
        assert verdict.view_true
        assert verdict.station_events


def test_the_oracle_follows_the_order_of_the_options():
    row, _ = known("STACK")
    turned = row["choices"][1:] + row["choices"][:1]
    assert judge(oracle_completion(row, turned), row | {"choices": turned}).broken is None
    with pytest.raises(ValueError, match="among the choices"):
        oracle_completion(row, ["red@up"] * 4)


def changed(before, after) -> set[str]:
    return {name for name, value in asdict(before).items() if asdict(after)[name] != value}


def swap(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_another_answer_breaks_only_the_answer():
    row, text = known("COUNT")
    letter = text.split()[-2]
    other = "A" if letter != "A" else "B"
    bad = judge(swap(text, f"<answer> {letter}", f"<answer> {other}"), row)
    assert bad.broken == "answer"
    assert changed(judge(text, row), bad) == {"answer", "consistent", "support", "correct", "broken"}


def test_another_letter_in_the_reasoning_breaks_the_mapping_and_no_more():
    row, text = known("FILL")
    letter = text.split()[-2]
    other = "A" if letter != "A" else "B"
    bad = judge(swap(text, f"{letter} </think>", f"{other} </think>"), row)
    assert bad.broken == "mapping"
    assert changed(judge(text, row), bad) == {"mapping", "support", "broken"}  # what is concluded is the action


def test_another_lamp_breaks_view_and_deduction():
    row, text = known("FILL")
    lamp = row["state"]["lamp"]
    other = "left" if lamp == "right" else "right"
    bad = judge(swap(text, f"lamp {lamp}", f"lamp {other}"), row)
    assert bad.broken == "view"
    assert changed(judge(text, row), bad) == {"view_true", "deduction", "support", "broken"}


def test_another_content_breaks_state_and_deduction():
    row, text = known("FILL")
    lamp, goal = row["state"]["lamp"], row["task_goal"].split()[-2:]
    held = row["state"][lamp][0]
    other = goal[1 - goal.index(held)]
    bad = judge(swap(text, f"{lamp} holds {held}", f"{lamp} holds {other}"), row)
    assert bad.broken == "state"
    assert changed(judge(text, row), bad) == {"hidden_true", "hidden_entailed", "deduction", "support", "broken"}


def test_another_event_breaks_perception_and_entailment():
    row, text = known("STACK")
    first = row["script"][0]
    old = f"t{first['slot']} {first['verb']} {first['colour']}"
    other = "red" if first["colour"] != "red" else "blue"
    bad = judge(swap(text, old, f"t{first['slot']} {first['verb']} {other}"), row)
    assert bad.broken == "perception"
    assert bad.support  # a chain may support its answer and be wrong about the world
    assert bad.events_precision == bad.events_recall == pytest.approx(6 / 7)


def test_a_wrong_but_consistent_chain_is_supported_and_broken_where_it_begins():
    row, _ = known("UNDO")
    lamp = row["state"]["lamp"]
    events = [Event(1, "put", row["answer"].split("@")[0], lamp)]
    think, action = reasoning(events, row["task_goal"], lamp)
    letter = "ABCD"[row["choices"].index(action)]
    verdict = judge(completion(think, letter, letter), row)
    assert (verdict.support, verdict.correct, verdict.broken) == (True, False, "perception")


@pytest.mark.parametrize(
    ("text", "answer", "consistent"),
    [
        ("", None, False),
        ("<answer>A</answer>", "A", False),
        ("<think> so nonsense </think> <answer> A </answer>", "A", False),
        ("<think> so B </think> <answer> B </answer>", "B", True),
        ("<think> so B </think> <answer> B. </answer>", None, False),
        ("<think> so A . so B </think> <answer> A </answer> <answer> B </answer>", "B", True),
    ],
)
def test_partial_texts(text, answer, consistent):
    verdict = judge(text, ROWS[0])
    assert (verdict.answer, verdict.consistent, verdict.support) == (answer, consistent, False)


def test_no_garbling_earns_support():
    """Each garbling spoils the conclusion, the view or the answer; none may crash the judge or be called supported."""
    noise = random.Random(0)
    for number in range(1200):
        row = noise.choice(ROWS)
        words = oracle_completion(row, row["choices"]).split()
        match number % 4:
            case 0:  # in any order
                garbled = words[:]
                while garbled == words:
                    noise.shuffle(garbled)
            case 1:  # cut off anywhere
                garbled = words[: noise.randrange(len(words) - 1)]
            case 2:  # letters of the words in any order
                garbled = [" ".join("".join(noise.sample(word, len(word))) for word in words)]
            case 3:  # half of the words are others
                garbled = [noise.choice([word, noise.choice(words), "\x00", "<think>", "@", ". ."]) for word in words]
                garbled[-2] = noise.choice(["E", "AB", "", "a", "</think>"])
        assert not judge(" ".join(garbled), row).support


def test_the_judge_takes_linear_time():
    row = ROWS[0]
    judge(
        "<think> " + "saw t0 put red left t0 put " * 20000 + " . so so . " * 20000 + "</think> <answer> A </answer>",
        row,
    )
    judge("<think>" * 50000 + "<answer>" * 50000, row)


def test_unknown_sentences_are_counted():
    octet = next(draw_octets("train", 1, seed=0, taken=set()))
    row = next(rows(octet, [None] * 8, None)) | {"choices": list(octet.options)}
    text = oracle_completion(row, row["choices"]).replace("<think>", "<think> well let me think .")
    verdict = judge(text, row)
    assert 0.8 < verdict.coverage < 1
    assert verdict.broken is None
