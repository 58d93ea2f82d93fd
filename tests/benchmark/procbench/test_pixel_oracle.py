"""The pixel oracle: what it can read, anybody can."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from benchmark.procbench import pixel_oracle as oracle
from mmrl.data.media.decoders import has_decord, read_frames, read_index
from mmrl.world import codec
from mmrl.world.axes import AXES, TEST, Environment, draw_environment
from mmrl.world.dice import Dice
from mmrl.world.octet import Octet, draw_octets
from mmrl.world.render import SMALL, Dial, clip, observation
from mmrl.world.script import BITS, FAMILIES, SLOTS, STATIONS, TAIL, THINGS, THIRD, Event

MATS = (("red", "blue"), ("green", "white"))
READERS = ("pyav", "decord") if has_decord() else ("pyav",)
POOLS = {"train": (), "test": AXES}


def octets(count: int, seed: int = 7) -> list[Octet]:
    """Of all families."""
    taken: set[str] = set()
    known, held_out = (list(draw_octets(split, count, seed=seed, taken=taken)) for split in ("train", "L3"))
    return [each for pair in zip(known, held_out, strict=True) for each in pair][:count]


def row(octet: Octet, bits, lamp: str, environment: Environment) -> dict:
    """The part of a row that the oracle reads."""
    mats = dict(zip(STATIONS, octet.mats, strict=True))
    return {
        "sample_id": octet.group,
        "family": octet.family,
        "mats": mats,
        "third": octet.third,
        "env_axes": asdict(environment) | {"test": []},
        "video_basename": "clip.mp4",
        "current_observation_basename": f"{lamp}.png",
    }


def rendered(
    root, octet: Octet, environment: Environment, dial: Dial
) -> Iterator[tuple[tuple[int, int], dict[str, dict]]]:
    """Writes the media of an octet's two items of every video, and yields its bits and rows by lamp."""
    for kind in ("videos", "images"):
        (root / kind / "Synth").mkdir(parents=True, exist_ok=True)
    for lamp in STATIONS:
        picture = observation(lamp, octet.family, octet.mats, environment, dial)
        codec.write_picture(root / "images" / "Synth" / f"{lamp}.png", picture)
    for bits in BITS:
        frames = clip(octet.script(bits), octet.family, octet.mats, environment, dial)
        codec.write_clip(root / "videos" / "Synth" / "clip.mp4", frames, dial.fps, environment, dial.tail_start)
        yield bits, {lamp: row(octet, bits, lamp, environment) for lamp in STATIONS}


@pytest.mark.parametrize("dial", [SMALL, Dial(), Dial(112, 3), Dial(72, 1)], ids=["small", "full", "odd", "short"])
@pytest.mark.parametrize("count", [8, 16])
def test_every_slot_is_hit_by_a_sampled_frame(dial, count):
    hit = {frame // dial.frames_per_slot for frame in oracle.evenly_spaced(count, dial.frames)}
    assert hit == set(range(SLOTS))
    assert dial.tail_start == TAIL * dial.frames_per_slot


@pytest.mark.parametrize(
    "pool", [pytest.param("train", marks=pytest.mark.slow("test looks different in more than train does")), "test"]
)
def test_every_item_of_some_octets_is_answered_from_its_files(tmp_path, pool):
    for number, octet in enumerate(octets(2)):
        environment = draw_environment(Dice("look", number), POOLS[pool])
        for bits, rows in rendered(tmp_path, octet, environment, SMALL):
            for lamp, each in rows.items():
                for reader in READERS:
                    reading = oracle.read_item(json.loads(json.dumps(each)), tmp_path, SMALL, 8, reader)
                    assert reading.events == octet.script(bits)
                    assert reading.lamp == lamp
                    assert reading.action == str(octet.action(bits, lamp))


def test_the_gripper_s_colour_and_the_border_do_not_disturb_it():
    environment = draw_environment(Dice(0), AXES)
    script = tuple(Event(s, v, THINGS[v][0], "right") for s, v in enumerate(("put", "take", "swap", "pour", "open")))
    frames = clip(script, "FILL", MATS, environment, SMALL, gripper_tint="green")
    assert oracle.read_events(frames, range(SMALL.frames), "FILL", MATS, environment, SMALL) == script
    for lamp in (*STATIONS, None):
        picture = observation(lamp, "FILL", MATS, environment, SMALL, border="C")
        assert oracle.read_lamp(picture, "FILL", MATS, environment, SMALL) == lamp


def test_it_concludes_nothing_where_the_rule_does_not_single_out_a_colour():
    assert oracle.conclude("FILL", MATS, "cyan", (), "left") is None
    assert oracle.conclude("FILL", MATS, "cyan", (Event(0, "put", "red", "left"),), None) is None
    assert oracle.conclude("FILL", MATS, "cyan", (Event(0, "put", "red", "left"),), "left") == "on the left put blue"


def test_a_row_that_is_no_octet_s_and_a_video_of_another_dial_are_refused(tmp_path):
    octet, environment = octets(1)[0], Environment()
    _, rows = next(rendered(tmp_path, octet, environment, SMALL))
    with pytest.raises(ValueError, match="expected 64 frames, as the dial says, found 16"):
        oracle.read_item(rows["left"], tmp_path, Dial(), 8)
    with pytest.raises(ValueError, match="expected a family of octets, found 'TEA'"):
        oracle.read_item(rows["left"] | {"family": "TEA"}, tmp_path, SMALL, 8)


@pytest.mark.slow("fifty octets; two octets are read above")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("dial", [SMALL, Dial()], ids=["small", "full"])
@pytest.mark.parametrize("pool", POOLS)
def test_the_oracle_answers_over_99_5_percent_at_8_and_16_frames_with_both_readers(tmp_path, pool, dial):
    """Readers that return the same frames are read once."""
    right: dict[tuple[str, int], list[bool]] = {}
    events: list[bool] = []
    for number, octet in enumerate(octets(50)):
        environment = draw_environment(Dice("slow", number), POOLS[pool])
        for bits, _ in rendered(tmp_path, octet, environment, dial):
            path = tmp_path / "videos" / "Synth" / "clip.mp4"
            for count in (8, 16):
                for reader, told in readings(path, count, octet, environment, dial).items():
                    events.append(told == octet.script(bits))
                    for lamp in STATIONS:
                        with Image.open(tmp_path / "images" / "Synth" / f"{lamp}.png") as image:
                            seen = oracle.read_lamp(np.asarray(image), octet.family, octet.mats, environment, dial)
                        answer = oracle.conclude(octet.family, octet.mats, octet.third, told, seen)
                        right.setdefault((reader, count), []).append(answer == str(octet.action(bits, lamp)))
    shares = {key: np.mean(value) for key, value in right.items()}
    print(f"{pool} {dial.size} px: items {shares}, clips with every event {np.mean(events):.4f} of {len(events)}")
    assert len(shares) == 2 * len(READERS)
    assert min(shares.values()) >= 0.995


def readings(path, count: int, octet: Octet, environment: Environment, dial: Dial) -> dict[str, Sequence[Event]]:
    """The events that are read from a video, by reader."""
    numbers, index = oracle.evenly_spaced(count, dial.frames), read_index(path)
    told: dict[str, Sequence[Event]] = {}
    frames = {reader: read_frames(path, index, np.array(numbers), reader) for reader in READERS}
    for reader in READERS:
        same = [other for other in told if np.array_equal(frames[other], frames[reader])]
        told[reader] = (
            told[same[0]]
            if same
            else oracle.read_events(frames[reader], numbers, octet.family, octet.mats, environment, dial)
        )
    return told


@pytest.mark.slow("222 events for every value; two octets of both pools are read above")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("axis", AXES)
def test_every_verb_thing_and_place_is_read_for_every_value_of_an_axis(tmp_path, axis):
    """At the smallest dial, all else as in the train pool: 222 events, from one frame each."""
    all_events = [(verb, thing, place) for verb, thing in oracle.DEEDS for place in (*STATIONS, THIRD)]
    wrong = []
    for value in TEST[axis]:
        environment = Environment(**(asdict(Environment(grain=5)) | {axis: value}))
        for start in range(0, len(all_events), TAIL):
            script = tuple(Event(s, *each) for s, each in enumerate(all_events[start : start + TAIL]))
            frames = clip(script, "SHELL", MATS, environment, SMALL)
            codec.write_clip(tmp_path / "clip.mp4", frames, 8, environment, SMALL.tail_start)
            numbers = oracle.evenly_spaced(8, SMALL.frames)
            told = oracle.read_events(
                codec.read_clip(tmp_path / "clip.mp4")[numbers], numbers, "SHELL", MATS, environment, SMALL
            )
            wrong += [(value, each) for each in script if each not in told]
    assert not wrong
    assert len(FAMILIES) == 10
