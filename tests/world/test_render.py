"""What the pixels promise, after a real encoder and decoder."""

import numpy as np
import pytest

from mmrl.world import render
from mmrl.world.annotate import pool
from mmrl.world.script import BACKGROUNDS, BITS, COLOURS, FAMILIES, STATIONS, TAIL, Event, draw_octets


def octets(split: str, count: int):
    return list(draw_octets(split, count, seed=1, taken=set()))


def table(octet, size: int = 56) -> np.ndarray:
    return render.canvas(pool(octet), octet.background, octet.texture, size)


@pytest.mark.parametrize("size", [56, 84])
@pytest.mark.parametrize("split", ["train", "L2", "L3"])
def test_decoded_tails_of_an_octet_are_the_same_bit_by_bit(tmp_path, split, size):
    for octet in octets(split, 3):
        decoded = []
        for bits in BITS:
            render.write_clip(tmp_path / "clip.mp4", render.clip(octet.script(bits), table(octet, size)))
            decoded.append(render.read_clip(tmp_path / "clip.mp4"))
        assert all(frames.shape == (render.FRAMES, size, size, 3) for frames in decoded)
        assert all(np.array_equal(decoded[0][TAIL * 2 :], frames[TAIL * 2 :]) for frames in decoded)
        assert not np.array_equal(decoded[0][: TAIL * 2], decoded[3][: TAIL * 2])


def test_the_same_frames_are_encoded_to_the_same_bytes(tmp_path):
    octet = octets("train", 1)[0]
    for name in ("a", "b"):
        render.write_clip(tmp_path / name, render.clip(octet.script((0, 1)), table(octet)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("pool_name", ["train", "test"])
def test_colour_and_verb_survive_the_codec(tmp_path, pool_name):
    """The nearest palette entry is the true one in every frame of every sprite, on every background."""
    names, paints = list(render.PAINT), np.array(list(render.PAINT.values()))
    for background in range(0, BACKGROUNDS, 3):
        canvas = render.canvas(pool_name, background, 7 if pool_name == "test" else None, 56)
        for place, (x, y) in render.BOXES.items():
            verb = "put" if background % 2 else "take"
            script = [Event(slot, verb, colour, place) for slot, colour in enumerate(COLOURS)]
            render.write_clip(tmp_path / "clip.mp4", render.clip(script, canvas))
            frames = render.read_clip(tmp_path / "clip.mp4").astype(int)
            for event in script:
                for frame in frames[event.slot * 2 : event.slot * 2 + 2]:
                    patch = frame[y - 6 : y - 2, x + 5 : x + 13].reshape(-1, 3)
                    nearest = np.abs(patch[:, None] - paints[None]).sum(-1).argmin(-1)
                    assert np.bincount(nearest, minlength=6).argmax() == names.index(event.colour)


@pytest.mark.parametrize("frames", [8, 16])
def test_every_event_is_hit_by_a_sampled_frame(frames):
    hit = {index // render.FRAMES_PER_SLOT for index in render.sampled(frames)}
    assert hit == set(range(TAIL + 1))
    for family in FAMILIES.values():
        assert 2 * family.events + 2 <= TAIL + 1


def test_every_frame_of_an_event_shows_it():
    canvas = render.canvas("train", 0, None, 56)
    empty = render.clip([], canvas)
    for place in render.BOXES:
        shown = {}
        for verb in ("put", "take"):
            frames = render.clip([Event(2, verb, "red", place)], canvas)
            assert all((frames[i] != empty[i]).sum() > 500 for i in (4, 5))
            assert np.array_equal(np.delete(frames, (4, 5), 0), np.delete(empty, (4, 5), 0))
            shown[verb] = frames
        assert all((shown["put"][i] != shown["take"][i]).sum() > 100 for i in (4, 5))


def test_the_observation_knows_the_lamp_and_the_cue_and_nothing_else():
    octet = octets("train", 1)[0]
    left, right = (render.observation(lamp, table(octet)) for lamp in STATIONS)
    assert not np.array_equal(left, right)
    assert (left[0, 0] == render.GREY).all()
    cued = render.observation("left", table(octet), "B")
    assert (cued[:4] == render.CUES["B"]).all()
    assert np.array_equal(cued[4:-4, 4:-4], left[4:-4, 4:-4])


def test_environments_of_train_and_test_share_no_background():
    assert not set(render.BACKGROUNDS["train"]) & set(render.BACKGROUNDS["test"])
    assert all(len(set(tones)) == BACKGROUNDS for tones in render.BACKGROUNDS.values())
