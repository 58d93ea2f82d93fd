"""Pictures and files: every frame tells its event, tails tell nothing, nothing else is told."""

from dataclasses import replace

import numpy as np
import pytest

from mmrl.world import codec, render
from mmrl.world.axes import AXES, Environment, draw_environment
from mmrl.world.dice import Dice
from mmrl.world.octet import draw_octets
from mmrl.world.render import SMALL, Dial, clip, observation
from mmrl.world.script import BITS, SLOTS, STATIONS, THINGS, VERBS, Event

MATS = (("red", "blue"), ("green", "white"))


def octets(split: str, count: int):
    return list(draw_octets(split, count, seed=1, taken=set()))


def environments(test, count: int) -> list[Environment]:
    return [draw_environment(Dice("environment", seed), test) for seed in range(count)]


def files(folder, octet, environment, dial) -> list[np.ndarray]:
    """The four decoded videos of an octet."""
    decoded = []
    for bits in BITS:
        frames = clip(octet.script(bits), octet.family, octet.mats, environment, dial)
        codec.write_clip(folder / "clip.mp4", frames, dial.fps, environment, dial.tail_start)
        decoded.append(codec.read_clip(folder / "clip.mp4"))
        assert decoded[-1].shape == frames.shape
    return decoded


@pytest.mark.parametrize("dial", [SMALL, Dial()], ids=["small", "full"])
@pytest.mark.parametrize("name", codec.CODECS)
def test_decoded_tails_of_an_octet_are_the_same_bit_by_bit(tmp_path, name, dial):
    for octet, environment in zip(octets("train", 3), environments(("palette", "texture"), 3), strict=True):
        decoded = files(tmp_path, octet, replace(environment, codec=name), dial)
        assert all(np.array_equal(decoded[0][dial.tail_start :], each[dial.tail_start :]) for each in decoded)
        assert not np.array_equal(decoded[0][: dial.tail_start], decoded[3][: dial.tail_start])


@pytest.mark.parametrize("dial", [SMALL, Dial(), Dial(112, 3)], ids=["small", "full", "odd"])
@pytest.mark.parametrize("count", [8, 16])
def test_every_slot_is_hit_by_a_sampled_frame(dial, count):
    hit = {frame // dial.frames_per_slot for frame in codec.sampled(count, dial.frames)}
    assert hit == set(range(SLOTS))


@pytest.mark.parametrize("test", [(), AXES], ids=["train", "test"])
def test_every_frame_of_a_slot_shows_its_event_and_no_other_frame_does(test):
    for environment in environments(test, 4):
        empty = clip([], "FILL", MATS, environment, SMALL)
        for verb in VERBS:
            frames = clip([Event(2, verb, THINGS[verb][0], "left")], "FILL", MATS, environment, SMALL)
            changed = (frames != empty).any(-1).sum((1, 2))
            assert (changed[4:6] > 150).all()
            assert not np.delete(changed, (4, 5)).any()


def test_the_observation_knows_the_lamp_and_the_cue_and_nothing_else():
    for environment in environments(AXES, 6):
        left, right, dark = (observation(lamp, "FILL", MATS, environment, SMALL) for lamp in (*STATIONS, None))
        assert not np.array_equal(left, right)
        assert not np.array_equal(left, dark)
        cued = observation("left", "FILL", MATS, environment, SMALL, "B")
        assert (left[0, 0] == render.GREY).all()
        assert (cued[:3] == render.CUES["B"]).all()
        assert np.array_equal(cued[5:-5, 5:-5], left[5:-5, 5:-5])
