"""What is no score is an error, everywhere."""

import math

import pytest

from mmrl.evaluation.statistics import (
    bootstrap_interval,
    clustered_error,
    compare,
    design_effect,
    detectable,
    mean_interval,
    minimum_detectable_effect,
    paired,
    sign_flip,
    wilson,
)


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


ONE_LIST = [clustered_error, design_effect, mean_interval, bootstrap_interval, sign_flip, detectable]


@pytest.mark.parametrize("function", ONE_LIST)
def test_scores_and_clusters_that_do_not_fit_are_refused(function):
    for scores, clusters, message in (
        ([1.0, math.nan], "ab", "score 1 is nan"),
        ([1.0, math.inf], "ab", "score 1 is inf"),
        ([1.0, None], "ab", "score 1 is nan"),
        ([1.0, 0.0], "a", "one score and one cluster"),
        ([], "", "one score and one cluster"),
        ([[1.0, 0.0]], "a", "one score and one cluster"),
        ([1.0, 0.0], ["a", ""], "cluster of item 1"),
        ([1.0, 0.0], [None, "a"], "cluster of item 0"),
        ([1.0, 0.0], ["a", math.nan], "cluster of item 1"),
    ):
        with pytest.raises(ValueError, match=message):
            function(scores, clusters)


@pytest.mark.parametrize("function", [paired, compare])
def test_pairs_that_do_not_fit_are_refused(function):
    for before, after, clusters in (
        ([1.0], [1.0, 0.0], "ab"),
        ([1.0, 0.0], [1.0, math.nan], "ab"),
        ([math.nan, 0.0], [1.0, 1.0], "ab"),
        ([1.0, 0.0], [1.0, 1.0], "abc"),
        ([1.0, 0.0], [1.0, 1.0], ["a", None]),
    ):
        with pytest.raises(ValueError):
            function(before, after, clusters)


def test_an_impossible_confidence_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_interval([1.0, 0.0], "ab", confidence=95)
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired([1.0, 0.0], [1.0, 1.0], "ab", confidence=1.0)
