"""What is no score is an error, everywhere."""

import math

import pytest

from mmrl.statistics import clustered_error, minimum_detectable_effect, paired, wilson


def test_what_is_no_score_is_an_error():
    with pytest.raises(ValueError, match="one score and one cluster"):
        clustered_error([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="score 1 is nan"):
        clustered_error([1.0, math.nan], ["a", "b"])
    with pytest.raises(ValueError, match="same items twice"):
        paired([1.0], [1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="share"):
        wilson(1.2, 10)
    with pytest.raises(ValueError, match="share"):
        minimum_detectable_effect(2, 10)
