"""Graders of all four forms: equal rewards, the order and the bound of awaited calls, what a failure leaves, what is refused."""

import asyncio
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmrl.rewards import GroupGrader, grade, grade_groups, grade_one, group_grader, load_grader
from mmrl.rewards.grader_forms import DEFAULT_CONCURRENCY
from mmrl.types import Example, Group, Prompt

ITEM = Example(id="kitchen-7", question="What next?", answer="tap", fields={"factor": 3, "completions": "raw"})
PATIENCE = 20  # seconds until a test of calls that wait for one another gives up


def length(completion, *, factor=1, answer, **fields):
    return factor * len(completion) + (answer in completion)


def lengths(completions, *, factor=1, answer, **fields):
    return [length(text, factor=factor, answer=answer) for text in completions]


async def awaited_length(completion, **fields):
    await asyncio.sleep(0)
    return length(completion, **fields)


async def awaited_lengths(completions, **fields):
    await asyncio.sleep(0)
    return lengths(completions, **fields)


class Object:
    """A callable object of one of the forms."""

    def __call__(self, completions, **fields):
        return lengths(completions, **fields)


class AwaitedObject:
    async def __call__(self, completion, **fields):
        return length(completion, **fields)


FORMS = {
    "one": length,
    "group": lengths,
    "async one": awaited_length,
    "async group": awaited_lengths,
    "object": Object(),
    "async object": AwaitedObject(),
    "partial": partial(lengths),
    "async partial": partial(AwaitedObject()),
}


def group(*texts, example=ITEM):
    """A group of which only the texts and the example matter."""
    flags = torch.zeros(len(texts), 1, dtype=torch.bool)
    prompt = Prompt(example, torch.zeros(1, dtype=torch.long), torch.zeros(3, 1, dtype=torch.long))
    return Group(prompt, flags.long(), flags, flags, texts, flags[:, 0])


@given(st.lists(st.lists(st.text("tap ", max_size=6), max_size=5), max_size=4))
def test_all_forms_of_a_function_give_equal_rewards(texts):
    found = grade_groups([group(*some) for some in texts], FORMS)
    assert [list(rewards) for rewards in found] == [list(FORMS)] * len(texts)
    for some, rewards in zip(texts, found, strict=True):
        expected = torch.tensor([length(text, factor=3, answer="tap") for text in some], dtype=torch.float32)
        assert all(torch.equal(reward, expected) for reward in rewards.values())


@pytest.mark.parametrize("form", FORMS)
def test_an_evaluation_gives_a_list_of_one(form):
    assert grade_one("a tap", ITEM, {"mine": FORMS[form]}) == {"mine": 16.0}


def test_the_form_is_read_once_and_kept():
    form = group_grader(awaited_lengths, 3)
    assert form == GroupGrader(awaited_lengths, whole_group=True, is_async=True, concurrency=3)
    assert group_grader(form) is form
    assert group_grader(length) == GroupGrader(length, False, False, DEFAULT_CONCURRENCY)
    assert not group_grader(lambda *_, **__: 0).whole_group
    assert not group_grader(min).whole_group  # a function of C that has no signature


def test_a_group_s_grader_may_change_its_list():
    def pops(completions, **fields):
        return [len(completions.pop()) for _ in range(len(completions))][::-1]

    assert grade(["a", "bcd"], ITEM, {"mine": pops})["mine"].tolist() == [1, 3]


def test_graders_that_are_not_async_are_called_in_the_order_of_groups_graders_and_completions():
    calls = []

    def noted(name, completion, **fields):
        calls.append((fields["id"], name, completion))
        return 0

    other = Example(id="hall-1", question="q")
    graders = {name: partial(noted, name) for name in ("first", "second")}
    grade_groups([group("a", "b"), group("c", example=other)], graders)
    assert calls == [
        ("kitchen-7", "first", "a"),
        ("kitchen-7", "first", "b"),
        ("kitchen-7", "second", "a"),
        ("kitchen-7", "second", "b"),
        ("hall-1", "first", "c"),
        ("hall-1", "second", "c"),
    ]


class Crowd:
    """Counts the calls that are under way; none ends before ``wanted`` of them have been at once."""

    def __init__(self, wanted):
        self.wanted, self.now, self.most, self.enough = wanted, 0, 0, asyncio.Event()

    async def visit(self):
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now >= self.wanted:
            self.enough.set()
        await asyncio.wait_for(self.enough.wait(), PATIENCE)
        for _ in range(5):
            await asyncio.sleep(0)  # time in which others could begin
        self.now -= 1
        return 1.0


@pytest.mark.parametrize(("bound", "reached"), [(1, 1), (3, 3), (7, 7), (None, 16), (100, 20)])
def test_as_many_calls_are_under_way_as_may_be_and_never_more(bound, reached):
    """There are twenty completions in three groups, and the groups overlap."""
    crowd = Crowd(reached)

    async def visits(completion, **fields):
        return await crowd.visit()

    groups = [group(*"abcdefg"), group(*"hijklmn"), group(*"opqrst")]
    found = grade_groups(groups, {"mine": group_grader(visits, bound)})
    assert [len(rewards["mine"]) for rewards in found] == [7, 7, 6]
    assert (crowd.most, crowd.now) == (reached, 0)


def test_a_call_for_a_whole_group_counts_once():
    crowd = Crowd(2)

    async def visits(completions, **fields):
        return [await crowd.visit()] * len(completions)

    grade_groups([group(*"abcd")] * 5, {"mine": group_grader(visits, 2)})
    assert crowd.most == 2


def test_each_grader_has_a_bound_of_its_own():
    crowd = Crowd(5)

    async def visits(completion, **fields):
        return await crowd.visit()

    grade(list("abcdef"), ITEM, {"one": group_grader(visits, 2), "other": group_grader(visits, 3)})
    assert crowd.most == 5


def test_rewards_are_in_the_order_of_the_completions_whichever_ends_first():
    ended, events = [], {}

    async def last_first(completion, **fields):
        mine = int(completion)
        mine_event = events.setdefault(mine, asyncio.Event())
        if mine < 5:
            await asyncio.wait_for(events.setdefault(mine + 1, asyncio.Event()).wait(), PATIENCE)
        ended.append(mine)
        mine_event.set()
        return mine

    rewards = grade([str(place) for place in range(6)], ITEM, {"mine": last_first})
    assert ended == [5, 4, 3, 2, 1, 0]
    assert rewards["mine"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("nan", [False, True], ids=["raises", "returns no number"])
def test_the_first_failure_cancels_all_others_and_waits_for_them(nan):
    began, ended = [], []

    async def fails(completion, **fields):
        began.append(completion)
        if completion == "c":
            return float("nan") if nan else 1 / 0
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # what it tidies up takes a while
            ended.append(completion)

    with pytest.raises(ValueError if nan else ZeroDivisionError) as caught:
        grade(list("abcdef"), ITEM, {"mine": group_grader(fails, 3)})
    if nan:
        assert str(caught.value) == "grader 'mine', example 'kitchen-7': expected a finite number, found nan"
    else:
        assert caught.value.__notes__ == ["in grader 'mine', example 'kitchen-7'"]
    assert set(began) - {"c"} == set(ended) >= {"a", "b"}
    assert "f" not in began


def test_a_thread_that_runs_a_loop_may_grade():
    async def notebook():
        return grade(["a", "bc"], ITEM, {"mine": awaited_length})

    assert asyncio.run(notebook())["mine"].tolist() == [3, 6]


def test_an_error_passes_through_a_thread_that_runs_a_loop():
    async def broken(completions, **fields):
        raise KeyError("lost")

    async def notebook():
        return grade(["a"], ITEM, {"mine": broken})

    with pytest.raises(KeyError, match="lost") as caught:
        asyncio.run(notebook())
    assert caught.value.__notes__ == ["in grader 'mine', example 'kitchen-7'"]


def test_no_loop_is_begun_for_graders_that_are_not_async(monkeypatch):
    monkeypatch.setattr(asyncio, "run", lambda _: pytest.fail("there is nothing to await"))
    grade(["a"], ITEM, {"one": length, "group": lengths})


def returning(value):
    return lambda completions, **fields: value


@pytest.mark.parametrize(
    "value",
    [
        [1, 0.5, True],
        (1, 0.5, True),
        np.array([1, 0.5, 1], dtype=np.float32),
        [np.float64(1), np.float32(0.5), np.int64(1)],
        torch.tensor([1, 0.5, 1], dtype=torch.bfloat16, requires_grad=True),
    ],
    ids=["list", "tuple", "array", "list of numpy's numbers", "tensor"],
)
def test_a_group_s_rewards_are_a_list_or_like_one(value):
    assert grade(["a", "b", "c"], ITEM, {"mine": returning(value)})["mine"].tolist() == [1, 0.5, 1]


def test_a_reward_function_of_trl_s_form():
    def reward(completions, **kwargs):
        return np.array([float(len(set(text))) for text in completions])

    assert grade(["aab", "c"], ITEM, {"mine": reward})["mine"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0], "expected 3 numbers, one for each completion, found 2"),
        ([0.0] * 300, "expected 3 numbers, one for each completion, found 300"),
        (np.zeros(300), "expected 3 numbers, one for each completion, found 300"),
        ([1, float("nan"), 1], "completion 1: expected a finite number, found nan"),
        ([1, 1, float("-inf")], "completion 2: expected a finite number, found -inf"),
        ([None, 1, 1], "completion 0: expected a finite number, found None; None, for no verdict, is allowed in evaluations"),
        ([1, "1", 1], "completion 1: expected a finite number, found '1'"),
        ([1, [1] * 300, 1], "completion 1: expected a finite number, found [1, 1, 1, 1, 1, 1, ...]"),
        (torch.zeros(3, 1), "completion 0: expected a finite number, found [0.0]"),
        (torch.zeros(()), "expected a list of 3 numbers, found tensor(0.) of type Tensor"),
        (True, "expected a list of 3 numbers, found True of type bool"),
        (0.5, "expected a list of 3 numbers, found 0.5 of type float"),
        (None, "expected a list of 3 numbers, found None of type NoneType"),
        ("111", "expected a list of 3 numbers, found '111' of type str"),
        ({n: 1.0 for n in range(300)}, "expected a list of 3 numbers, found {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, ...} of type dict"),
    ],
)  # fmt: skip
def test_what_is_no_finite_number_for_each_completion_is_refused_briefly(value, message):
    async def awaited(completions, **fields):
        return value

    for grader in (returning(value), awaited):
        with pytest.raises(ValueError) as caught:
            grade(["a", "b", "c"], ITEM, {"mine": grader})
        said = str(caught.value)
        assert said.startswith("grader 'mine', example 'kitchen-7'")
        assert message in said
        assert len(said) < 160


def test_no_verdict_is_for_evaluations():
    async def abstains(completion, **fields):
        return None

    graders = {"group": returning([None]), "awaited": abstains}
    assert grade_one("a", ITEM, graders) == {"group": None, "awaited": None}
    for name, grader in graders.items():
        with pytest.raises(ValueError, match=f"grader '{name}'.*found None; None, for no verdict, is allowed in eval"):
            grade(["a"], ITEM, {name: grader})


def test_a_coroutine_from_a_plain_function_is_explained():
    with pytest.raises(ValueError, match="found a coroutine; define the grader with async def"):
        grade(["a"], ITEM, {"mine": lambda completion, **fields: awaited_length(completion, **fields)})


def test_a_bound_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match="concurrency: expected an async grader"):
        group_grader(lengths, 4)
    with pytest.raises(ValueError, match="concurrency: expected 1 or more calls at once, found 0"):
        group_grader(awaited_length, 0)


def test_completions_behind_another_parameter_are_refused(tmp_path):
    (tmp_path / "mine.py").write_text("def f(prompts, completions, **fields): return [0.0]")
    with pytest.raises(
        ValueError, match=r"mine.py:f': expected completions to be the first parameter.*'prompts' before"
    ):
        load_grader(f"{tmp_path}/mine.py:f")


@pytest.mark.parametrize("whole", [False, True])
def test_a_grader_that_is_cancelled_by_its_own_library_is_an_error_with_its_name(whole):
    """Not a CancelledError, which would look as if the run had been interrupted."""

    async def one(completion, **fields):
        raise asyncio.CancelledError

    async def several(completions, **fields):
        raise asyncio.CancelledError

    with pytest.raises(
        RuntimeError, match="grader 'judge', example 'kitchen-7': expected a number, found that it cancelled itself"
    ):
        grade(["a", "b"], ITEM, {"judge": several if whole else one})
