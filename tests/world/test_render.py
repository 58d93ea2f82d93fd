"""Pictures and files: every frame tells its event, tails tell nothing, nothing else is told."""

from dataclasses import replace

import av
import numpy as np
import pytest

from mmrl.data.media.decoders import has_decord, read_frames, read_index
from mmrl.world import codec, render, table
from mmrl.world.axes import AXES, FORMATS, LAYOUTS, Environment, draw_environment
from mmrl.world.dice import Dice
from mmrl.world.octet import draw_octets
from mmrl.world.render import SMALL, Dial, clip, observation
from mmrl.world.script import BITS, COLOURS, PLACES, STATIONS, TAIL, THINGS, VERBS, Event
from mmrl.world.sprites import PAINT, SPRITE

READERS = ("pyav", "decord") if has_decord() else ("pyav",)
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
    for octet, environment in zip(octets("train", 3), environments(("texture", "movers"), 3), strict=True):
        decoded = files(tmp_path, octet, replace(environment, codec=name), dial)
        assert all(np.array_equal(decoded[0][dial.tail_start :], each[dial.tail_start :]) for each in decoded)
        assert not np.array_equal(decoded[0][: dial.tail_start], decoded[3][: dial.tail_start])


@pytest.mark.slow("forty octets; the test above takes three")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("dial", [SMALL, Dial()], ids=["small", "full"])
@pytest.mark.parametrize("name", codec.CODECS)
def test_decoded_tails_of_many_octets_are_the_same_bit_by_bit(tmp_path, name, dial):
    every = [*octets("train", 20), *octets("L3", 20)]
    for octet, environment in zip(every, environments(AXES, 40), strict=True):
        decoded = files(tmp_path, octet, replace(environment, codec=name), dial)
        assert all(np.array_equal(decoded[0][dial.tail_start :], each[dial.tail_start :]) for each in decoded)


@pytest.mark.parametrize("name", codec.CODECS)
def test_the_tail_starts_with_a_key_frame_and_both_readers_agree_on_every_frame(tmp_path, name):
    octet, path = octets("train", 1)[0], tmp_path / "clip.mp4"
    frames = clip(octet.script((1, 0)), octet.family, octet.mats, Environment(), SMALL)
    codec.write_clip(path, frames, SMALL.fps, Environment(codec=name), SMALL.tail_start)
    with av.open(str(path)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert [number for number, key in enumerate(keys) if key] == [0, SMALL.tail_start]
    decoded, index = codec.read_clip(path), read_index(path)
    for reader in READERS:
        assert np.array_equal(read_frames(path, index, np.arange(SMALL.frames), reader), decoded)


def test_the_same_frames_are_encoded_to_the_same_bytes(tmp_path):
    octet = octets("train", 1)[0]
    frames = clip(octet.script((0, 1)), octet.family, octet.mats, Environment(), SMALL)
    for name in codec.CODECS:
        for copy in ("a", "b"):
            codec.write_clip(tmp_path / copy, frames, SMALL.fps, Environment(codec=name), SMALL.tail_start)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert codec.planes_digest(tmp_path / "a") == codec.planes_digest(tmp_path / "b")


def test_a_codec_that_this_build_lacks_is_refused_in_one_sentence(tmp_path, monkeypatch):
    frames = clip([], "FILL", MATS, Environment(), SMALL)
    monkeypatch.setitem(codec.CODECS, "h265", ("libdaydream", {}))
    with pytest.raises(ValueError, match="codec h265: expected a PyAV with the encoder libdaydream, found none"):
        codec.write_clip(tmp_path / "clip.mp4", frames, 8, Environment(codec="h265"), SMALL.tail_start)
    with pytest.raises(ValueError, match="codec: expected one of h264, h265, vp9, found 'gif'"):
        codec.write_clip(tmp_path / "clip.mp4", frames, 8, Environment(codec="gif"), SMALL.tail_start)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("test", [(), AXES], ids=["train", "test"])
def test_every_colour_of_every_verb_survives_the_codec(tmp_path, test, reader):
    """In 56 px and in every frame, most pixels of an event's colour are nearest to that colour."""
    coloured = [(verb, colour) for verb in VERBS for colour in COLOURS if colour in THINGS[verb]]
    path = tmp_path / "clip.mp4"
    for number, environment in enumerate(environments(test, 11)):
        script = [
            Event(slot, *coloured[(number * TAIL + slot) % len(coloured)], PLACES[(number + slot) % 3])
            for slot in range(TAIL)
        ]
        frames = clip(script, "FILL", MATS, environment, SMALL)
        empty = clip([], "FILL", MATS, environment, SMALL)
        codec.write_clip(path, frames, SMALL.fps, environment, SMALL.tail_start)
        decoded = read_frames(path, read_index(path), np.arange(SMALL.frames), reader)
        for event in script:
            for frame in range(2 * event.slot, 2 * event.slot + 2):
                new = (frames[frame] != empty[frame]).any(-1) & (frames[frame] == PAINT[event.thing]).all(-1)
                assert new.sum() >= 25
                assert nearest(decoded[frame][new]) == event.thing


def nearest(pixels: np.ndarray) -> str:
    """The colour to which most of some pixels are nearest."""
    distance = np.square(pixels[:, None].astype(int) - np.array(list(PAINT.values()))).sum(-1)
    return list(PAINT)[np.bincount(distance.argmin(1)).argmax()]


@pytest.mark.parametrize("test", [(), AXES], ids=["train", "test"])
def test_every_frame_of_a_slot_shows_its_event_and_no_other_frame_does(test):
    for environment in environments(test, 4):
        empty = clip([], "FILL", MATS, environment, SMALL)
        for verb in VERBS:
            frames = clip([Event(2, verb, THINGS[verb][0], "left")], "FILL", MATS, environment, SMALL)
            changed = (frames != empty).any(-1).sum((1, 2))
            assert (changed[4:6] > 150).all()
            assert not np.delete(changed, (4, 5)).any()


def test_what_is_told_of_a_slot_is_told_by_each_of_its_frames():
    """No two events at a place look alike in any frame, and they move where there are frames to move in."""
    deeds = [(verb, thing) for verb in VERBS for thing in THINGS[verb]]
    for dial in (SMALL, Dial(56, 8)):
        slot = slice(0, dial.frames_per_slot)
        seen = [clip([Event(0, *deed, "top")], "FILL", MATS, Environment(), dial)[slot] for deed in deeds]
        for phase in range(dial.frames_per_slot):
            assert len({frames[phase].tobytes() for frames in seen}) == len(deeds)
        assert all(len({frame.tobytes() for frame in frames}) > 1 for frames in seen)


def test_what_a_box_holds_is_not_seen_after_its_event():
    """The frames after the events are those of a clip in which nothing happened."""
    script = [Event(slot, "put", colour, "left") for slot, colour in enumerate(COLOURS[:3])]
    frames, empty = (clip(each, "FILL", MATS, Environment(), Dial()) for each in (script, []))
    assert np.array_equal(frames[3 * 8 :], empty[3 * 8 :])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_sinks_into_a_box_is_hidden_by_its_front(layout):
    environment = Environment(layout=layout)
    empty = render.set_up("SHELL", MATS, environment, Dial()).table
    for place, (x, y) in LAYOUTS[layout].items():
        front = table.box(empty, x, y, SPRITE, table.DEPTH[place])
        for verb in VERBS:
            frames = clip([Event(0, verb, THINGS[verb][0], place)], "SHELL", MATS, environment, Dial())
            assert (frames[:8, *front] == empty[front]).all()


def test_the_observation_knows_the_lamp_and_the_cue_and_nothing_else():
    for environment in environments(AXES, 6):
        left, right, dark = (observation(lamp, "FILL", MATS, environment, SMALL) for lamp in (*STATIONS, None))
        assert not np.array_equal(left, right)
        assert not np.array_equal(left, dark)
        cued = observation("left", "FILL", MATS, environment, SMALL, "B")
        assert (left[0, 0] == table.GREY).all()
        assert (cued[:3] == render.CUES["B"]).all()
        assert np.array_equal(cued[5:-5, 5:-5], left[5:-5, 5:-5])


def test_the_gripper_is_tinted_in_every_event_and_nothing_else_is():
    environment = Environment()
    for verb in VERBS:
        script = [Event(0, verb, THINGS[verb][0], "left")]
        plain, tinted = (clip(script, "FILL", MATS, environment, SMALL, tint) for tint in (None, "purple"))
        changed = (plain != tinted).any(-1)
        assert changed[:2].any(axis=(1, 2)).all()
        assert not changed[2:].any()
        assert (tinted[changed] == PAINT["purple"]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 54}, r"size: expected an even number of px in 56\.\.448 .*, found 54"),
        ({"size": 129}, "found 129"),
        ({"size": 512}, "found 512"),
        ({"frames_per_slot": 0}, r"frames_per_slot: expected 1\.\.64 \(each of 8 slots needs a frame.*, found 0"),
        ({"fps": 0}, "fps: expected 1..60 frames a second, found 0"),
    ],
)
def test_an_impossible_dial_is_refused_with_the_reason(settings, message):
    with pytest.raises(ValueError, match=message):
        Dial(**settings)


@pytest.mark.parametrize("resolution", FORMATS)
def test_pictures_are_even_and_of_a_width_that_decord_can_read(resolution):
    for size in range(56, 90, 2):
        picture = render.set_up("FILL", MATS, Environment(resolution=resolution), Dial(size)).table
        height, width = picture.shape[:2]
        assert height % 2 == width % 2 == 0
        assert width not in render.UNREADABLE
