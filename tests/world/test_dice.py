"""Draws that are the same everywhere, forever, and of each name its own."""

from collections import Counter

import pytest

from mmrl.world.dice import Dice


def test_draws_are_pinned():
    """Regression: these numbers are the benchmark. Whatever changes them makes another benchmark."""
    dice = Dice(0, "train", 7)
    assert [dice.below(100) for _ in range(8)] == [82, 6, 53, 72, 31, 23, 64, 48]
    assert dice.some("abcdef", 3) == ["f", "c", "a"]
    assert dice.shuffled(range(5)) == [0, 3, 1, 4, 2]
    assert dice.between(2, 4) == pytest.approx(3.8665939752775618, abs=1e-15)


def test_a_stream_depends_on_its_names_alone():
    first, again, other = Dice(3, "a"), Dice(3, "a"), Dice(3, "b")
    told = [first.below(1000) for _ in range(20)]
    [other.below(1000) for _ in range(5)]
    assert [again.below(1000) for _ in range(20)] == told
    assert [Dice("3/a").below(1000)] == told[:1]  # names are joined by a slash
    assert [Dice(3, "b").below(1000) for _ in range(20)] != told


def test_draws_are_what_they_say():
    dice = Dice("laws")
    for n in (1, 2, 7):
        assert {dice.below(n) for _ in range(50 * n)} == set(range(n))
        assert Counter(dice.shuffled(range(n))) == Counter(range(n))
        assert len(set(dice.some(range(n), n - 1))) == n - 1
    assert all(-1 <= dice.between(-1, 2) < 2 for _ in range(1000))
    assert all(dice.one("xyz") in "xyz" for _ in range(20))
    assert not any(dice.chance(0) for _ in range(100))
    assert all(dice.chance(1) for _ in range(100))


def test_draws_are_fair():
    """Every order of three is as likely as any: 6,000 draws, 1,000 +- 5 standard deviations of 29 each."""
    dice = Dice("fair")
    counts = Counter(tuple(dice.shuffled("abc")) for _ in range(6000))
    assert len(counts) == 6
    assert all(abs(count - 1000) < 145 for count in counts.values())
    assert abs(sum(dice.chance(0.3) for _ in range(10000)) - 3000) < 5 * 46


def test_too_many_are_refused():
    with pytest.raises(IndexError):
        Dice("few").some("ab", 3)
