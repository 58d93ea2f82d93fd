"""The natural stratum: plans, exactly one next step among the options, balanced types, nothing told by the text alone."""

from collections import Counter, defaultdict
from itertools import permutations

import pytest

from mmrl.world.dice import Dice
from mmrl.world.grammar import grammar_words
from mmrl.world.nat import ROLES, TYPES, Nat, draw_nat, draw_nats, nat_reasoning
from mmrl.world.octet import LETTERS
from mmrl.world.plans import SCHEMAS, Step, before, chains, next_steps
from mmrl.world.script import SLOTS, TAIL, THINGS

NAMES = {"a": "red", "b": "blue", "c": "green", "d": "white", "n": "cyan", "s": "left", "t": "right"}


@pytest.fixture(scope="module")
def several() -> list[Nat]:
    taken: set[str] = set()
    return [item for split in ("L1", "L3") for item in draw_nats(split, 240, seed=0, taken=taken)]


def steps_next(item: Nat, done: tuple[int, ...]) -> set:
    """By the definition, step by step, without the planner."""
    left = [step for index, step in enumerate(item.plan) if index not in done]
    return {step.action for step in left if all(earlier in done for earlier in step.after)}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_plan_has_four_to_seven_different_steps_that_can_be_done_in_order(schema):
    plan = schema.plan(NAMES)
    assert 4 <= len(plan) <= 7 < SLOTS
    assert len({step.action for step in plan}) == len(plan)
    assert all(step.thing in THINGS[step.verb] for step in plan)
    done: list[int] = []
    while len(done) < len(plan):
        done.append(next_steps(plan, done)[0])
    assert list(chains(plan, 3)), "three steps of which each must come before the next"


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_goal_names_every_colour_of_its_plan_in_words_of_the_lexicon(schema):
    told = schema.goal(NAMES).replace(",", "").replace(":", "").split()
    assert set(told) <= set(grammar_words())
    assert {step.thing for step in schema.plan(NAMES)} - {"key", "both"} <= set(told)
    assert {step.place for step in schema.plan(NAMES)} <= set(told)


def test_six_schemas_are_trained_and_four_held_out():
    assert Counter(schema.held_out for schema in SCHEMAS.values()) == {False: 6, True: 4}


def test_chains_by_hand():
    # 0 -> 1 -> 3, 2 -> 3: comparable pairs 01 03 13 23, chains of three 013
    plan = [Step("open", "red", "left"), Step("put", "blue", "left", (0,)), Step("visit", "red", "right")]
    plan.append(Step("close", "red", "left", (1, 2)))
    assert set(chains(plan, 2)) == {(0, 1), (0, 3), (1, 3), (2, 3)}
    assert list(chains(plan, 3)) == [(0, 1, 3)]
    assert before(plan, 3) == {0, 1, 2}
    assert next_steps(plan, {0}) == [1, 2]


def test_exactly_one_option_is_next_and_every_type_is_what_it_says(several):
    for item in several:
        actions, able = [step.action for step in item.plan], steps_next(item, item.done)
        assert len(set(item.options)) == 4
        assert [option for option in item.options if option in able] == [item.gold]
        for option, kind in zip(item.options, item.types, strict=True):
            if kind in ("done", "not_enabled"):
                assert (actions.index(option) in item.done) == (kind == "done")
            elif kind is not None:
                assert option not in actions
                same = [step for step in item.plan if step.verb == option.verb]
                assert (option.colour in {step.thing for step in same}) == (kind == "other_station")
                assert kind == "other_station" or option.place in {step.place for step in same}


def test_what_was_done_could_be_done_in_that_order_and_the_last_slot_is_free(several):
    for item in several:
        assert all(
            item.plan[index].action in steps_next(item, item.done[:rank]) for rank, index in enumerate(item.done)
        )
        assert list(item.slots) == sorted(set(item.slots))
        assert all(slot < TAIL for slot in item.slots)
    assert {len(item.done) for item in several} >= {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("count", [4, 12, 40, 240])
def test_types_and_letters_are_balanced_in_every_four(count):
    for split in ("train", "L3"):
        items = list(draw_nats(split, count, seed=3, taken=set()))
        types = Counter(kind for item in items for kind in item.types)
        assert types == {None: count} | dict.fromkeys(TYPES, 3 * count // 4)
        assert Counter(LETTERS[item.types.index(None)] for item in items) == dict.fromkeys(LETTERS, count // 4)


def test_the_text_does_not_say_which_of_the_plans_steps_among_the_options_is_next():
    """From the same dice, roles that differ only in which step is next have the same goal and options."""
    by_text = defaultdict(set)
    for index in range(60):
        schema = list(SCHEMAS.values())[index % len(SCHEMAS)]
        for count, rank, rest in ((3, rank, ("wrong_object",)) for rank in range(3)):
            item = draw_nat(Dice("text", index), "x", "train", schema, (count, rank, rest), "A")
            by_text[item.goal, frozenset(item.options)].add(item.gold)
    assert len(by_text) == 60
    assert all(len(golds) == 3 for golds in by_text.values())
    assert Counter(role[:2] for role in ROLES) == {(2, 0): 3, (2, 1): 3, (3, 0): 2, (3, 1): 2, (3, 2): 2}


def test_no_two_items_share_video_and_goal_and_the_first_do_not_depend_on_how_many_follow():
    taken: set[str] = set()
    items = [item for split in ("L1", "train") for item in draw_nats(split, 300, seed=1, taken=taken)]
    assert len({item.key() for item in items}) == len(items) == len(taken)
    assert items[:50] == list(draw_nats("L1", 50, seed=1, taken=set()))


def test_more_items_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr("mmrl.world.nat.Nat.key", lambda item: item.family)
    with pytest.raises(ValueError, match=r"sizes\.nat_L3: expected at most .* found 5 items"):
        list(draw_nats("L3", 5, seed=0, taken=set()))


def test_the_oracle_tells_what_was_seen_and_what_is_next(several):
    for item in several[:50]:
        told, concluded = nat_reasoning(item).split(". so ")
        assert concluded == str(item.gold)
        assert (told == "saw nothing") == (not item.done)
        assert all(item.plan[index].thing in told for index in item.done)


def test_every_order_of_two_free_steps_is_drawn():
    items = [item for item in draw_nats("train", 600, seed=0, taken=set()) if item.family == "PAINT"]
    pours = {item.done[:2] for item in items if set(item.done[:2]) == {0, 2}}
    assert pours == set(permutations((0, 2)))
