"""Ten axes, switched one by one."""

import json
from dataclasses import asdict

import pytest

from mmrl.world.axes import AXES, TEST, TRAIN, Environment, draw_environment
from mmrl.world.dice import Dice


def test_pools_of_train_and_test_share_no_value():
    assert set(TRAIN) == set(TEST) == set(AXES)
    for axis in AXES:
        assert not set(TRAIN[axis]) & set(TEST[axis])


@pytest.mark.parametrize("axis", AXES)
def test_switching_one_axis_leaves_all_others_as_they_were(axis):
    for seed in range(20):
        usual, other = (asdict(draw_environment(Dice(seed), test)) for test in ((), (axis,)))
        assert {name for name in usual if usual[name] != other[name]} == {axis}
        assert other[axis] in TEST[axis]


def test_axes_can_be_switched_together():
    environment = asdict(draw_environment(Dice(0), AXES))
    assert all(environment[axis] in TEST[axis] for axis in AXES)


def test_every_value_of_both_pools_is_drawn():
    for pool, test in ((TRAIN, ()), (TEST, AXES)):
        drawn = [asdict(draw_environment(Dice(seed), test)) for seed in range(400)]
        for axis in AXES:
            assert {environment[axis] for environment in drawn} == set(pool[axis])


def test_an_environment_survives_json():
    environment = draw_environment(Dice(3), AXES)
    assert Environment(**json.loads(json.dumps(asdict(environment)))) == environment


def test_an_unknown_axis_is_refused():
    with pytest.raises(ValueError, match=r"axes: expected some of palette, .*movers, found colour, mood"):
        draw_environment(Dice(0), ("palette", "mood", "colour"))


def test_the_usual_environment_is_of_the_train_pools():
    usual = asdict(Environment())
    assert all(usual[axis] in TRAIN[axis] for axis in AXES)
