"""Which examples at which step on which rank."""

import itertools
from collections import Counter

import pytest

from mmrl.data.stream import Mixture, Stream
from mmrl.types import Example


class Numbers:
    """A dataset whose examples are their own number and epoch."""

    def __init__(self, n, prefix=""):
        self.ids = [f"{prefix}{number}" for number in range(n)]

    def __len__(self):
        return len(self.ids)

    def example(self, index, epoch):
        return Example(id=self.ids[index], question=str(epoch))


def ids(examples):
    return [example.id for example in examples]


def seen(stream, steps):
    return [example.id for step in range(steps) for example in stream.batch(step)]


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_the_ranks_partition_the_batch_of_a_single_rank(world):
    alone = Stream(Numbers(10), 6, seed=3)
    for step in range(7):
        parts = [Stream(Numbers(10), 6, 3, rank, world).batch(step) for rank in range(world)]
        assert ids(itertools.chain(*parts)) == ids(alone.batch(step))


def test_each_epoch_shows_every_example_once_in_another_order_and_drops_none():
    order = seen(Stream(Numbers(10), 4, seed=0), 15)  # 60 examples: 6 epochs, which end inside of steps
    epochs = [order[start : start + 10] for start in range(0, 60, 10)]
    assert all(sorted(epoch, key=int) == Numbers(10).ids for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_examples_know_their_epoch():
    stream = Stream(Numbers(3), 2, seed=0)
    assert [example.question for step in range(3) for example in stream.batch(step)] == list("000111")


def test_the_order_is_a_function_of_the_seed_alone():
    backwards = [ids(Stream(Numbers(50), 5, seed=1).batch(step)) for step in reversed(range(20))]
    assert list(itertools.chain(*reversed(backwards))) == seen(Stream(Numbers(50), 5, seed=1), 20)
    assert seen(Stream(Numbers(50), 5, seed=2), 20) != seen(Stream(Numbers(50), 5, seed=1), 20)


def test_a_resumed_stream_goes_on_as_a_straight_one_would_even_on_other_ranks():
    straight = Stream(Numbers(10), 4, seed=5)
    straight.position = 4
    rest = [Stream(Numbers(10), 4, 5, rank, 2) for rank in (0, 1)]
    for stream in rest:
        stream.load_state_dict(straight.state_dict())
    for step in range(9):
        at = [stream.position + step for stream in rest]
        assert ids(rest[0].batch(at[0]) + rest[1].batch(at[1])) == ids(straight.batch(4 + step))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: Stream(Numbers(11), 4, 5), r"stream\.examples: expected .*; resume with the same data and seed"),
        (lambda: Stream(Numbers(10), 4, 6), r"stream\.seed: expected 5, as when the run was saved, found 6"),
        (lambda: Stream(Numbers(10), 8, 5), r"stream\.per_step: expected 4"),
    ],
)
def test_another_stream_does_not_resume(other, message):
    with pytest.raises(ValueError, match=message):
        other().load_state_dict(Stream(Numbers(10), 4, 5).state_dict())


def test_a_mixture_keeps_its_proportions_in_every_stretch_and_wears_evenly():
    stream = Stream(Mixture([Numbers(6, "a"), Numbers(4, "b")], [3, 1]), 4, seed=0)
    for step in range(12):
        assert Counter(name[0] for name in ids(stream.batch(step))) == {"a": 3, "b": 1}
    shown = Counter(seen(stream, 12))  # 36 of six and 12 of four: 6 epochs and 3
    assert shown == Counter({f"a{n}": 6 for n in range(6)} | {f"b{n}": 3 for n in range(4)})


def test_a_mixture_shuffles_the_turns():
    stream = Stream(Mixture([Numbers(9, "a"), Numbers(9, "b")], [2, 2]), 4, seed=0)
    assert len({tuple(name[0] for name in ids(stream.batch(step))) for step in range(20)}) > 3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Stream(Numbers(4), 3, world=2), r"per_step: expected a positive multiple of 2 \(the ranks\), found 3"),
        (lambda: Stream(Numbers(4), 2, rank=2, world=2), "rank: expected 0 to 1, found 2"),
        (lambda: Stream(Numbers(4), 2, seed=-1), "seed: expected 0 or more"),
        (lambda: Mixture([Numbers(4)], [0.7]), r"whole weights above 0 \(7 and 3 for 0.7 and 0.3\), found \[0.7\]"),
        (lambda: Mixture([Numbers(4)], [1, 2]), "a weight for each of 1 datasets, found 2"),
        (
            lambda: Mixture([Numbers(4), Numbers(4)], [1, 1]),
            "ids that differ, found '0' in datasets 0 and 1; give one a prefix",
        ),
    ],
)
def test_an_impossible_stream_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
