"""Chance correction."""

import pytest

from mmrl.evaluation.statistics import chance_corrected, guess_rate


def test_guessing_gives_nothing_and_all_right_gives_all():
    guess = guess_rate([4, 4, 5, 10])
    assert guess == pytest.approx((0.25 + 0.25 + 0.2 + 0.1) / 4)
    assert chance_corrected(guess, guess) == 0
    assert chance_corrected(1, guess) == 1
    assert chance_corrected(0, 0.25) == pytest.approx(-1 / 3)
    assert chance_corrected(0.625, 0.25) == 0.5


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 2 options"):
        guess_rate([4, 1])
    with pytest.raises(ValueError, match="shares"):
        chance_corrected(50, 0.25)
    with pytest.raises(ValueError, match="below 1"):
        chance_corrected(0.5, 1)
