"""Reads events and lamp off pixels and concludes: proof that codec and sampling keep all that an item needs.

A template matcher: it knows what the table looks like (the row's environment) and how every event would look in every
frame, and takes what differs least from the decoded frame. It sees nothing of the script, the options or the cue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from mmrl.data.media.decoders import read_frames, read_index
from mmrl.world.axes import LAYOUTS, Environment
from mmrl.world.octet import Action
from mmrl.world.render import Dial, Stage, observation, set_up, still
from mmrl.world.script import FAMILIES, PLACES, STATIONS, TAIL, THINGS, Event, Pair, holds, needed
from mmrl.world.sprites import SPRITE
from mmrl.world.table import box

MARGIN = 6  # units around a sprite, for hands, ways and the camera's
DEEDS = tuple((verb, thing) for verb, things in THINGS.items() for thing in things)


@dataclass(frozen=True, slots=True)
class Reading:
    """The events and the lamp that the oracle sees in an item's media, and what it concludes."""

    events: tuple[Event, ...]  # by slot
    lamp: str | None
    action: str | None  # as an option says it; None where the rule does not single one out


def read_item(row: Mapping, root: Path, dial: Dial, count: int, reader: str = "pyav") -> Reading:
    """Reads an octet's row from ``count`` frames of its video, decoded by PyAV or decord, and from its observation.

    Raises ValueError if the row is no octet's or the video is not as long as the dial says, MediaError if it cannot be
    decoded.
    """
    if row["family"] not in FAMILIES:
        raise ValueError(f"row {row['sample_id']}: expected a family of octets, found {row['family']!r}")
    family, mats, environment = row["family"], (row["mats"]["left"], row["mats"]["right"]), environment_of(row)
    path = root / "videos" / "Synth" / row["video_basename"]
    index = read_index(path)
    if len(index.shown) != dial.frames:
        raise ValueError(f"{path}: expected {dial.frames} frames, as the dial says, found {len(index.shown)}")
    numbers = sorted(set(evenly_spaced(count, dial.frames)))
    frames = read_frames(path, index, np.array(numbers), reader)
    with Image.open(root / "images" / "Synth" / row["current_observation_basename"]) as image:
        lamp = read_lamp(np.asarray(image.convert("RGB")), family, mats, environment, dial)
    events = read_events(frames, numbers, family, mats, environment, dial)
    return Reading(events, lamp, conclude(family, mats, row["third"], events, lamp))


def evenly_spaced(count: int, total: int) -> list[int]:
    """Return evenly spaced frame numbers, both ends included: round(linspace(0, total - 1, count))."""
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def environment_of(row: Mapping) -> Environment:
    """Return what a row's media look like."""
    return Environment(**{field.name: row["env_axes"][field.name] for field in fields(Environment)})


def read_events(
    frames: np.ndarray, numbers: Sequence[int], family: str, mats: Sequence[Pair], environment: Environment, dial: Dial
) -> tuple[Event, ...]:
    """Return the events, by slot, in some frames of a clip: uint8 ``n h w c``, with their numbers in the whole clip."""
    stage = set_up(family, mats, environment, dial)
    events = []
    for slot in range(TAIL):
        seen = [(n, frame) for n, frame in zip(numbers, frames, strict=True) if n // dial.frames_per_slot == slot]
        event = _read_slot(stage, slot, seen) if seen else None
        events += [event] if event is not None else []
    return tuple(events)


def read_lamp(
    picture: np.ndarray, family: str, mats: Sequence[Pair], environment: Environment, dial: Dial
) -> str | None:
    """Return the station whose lamp is lit in an observation, uint8 ``h w c``; None if neither is.

    Any border will do.
    """
    return min(
        (*STATIONS, None),
        key=lambda lamp: _difference(picture, observation(lamp, family, mats, environment, dial)),
    )


def conclude(family: str, mats: Sequence[Pair], third: str, events: Sequence[Event], lamp: str | None) -> str | None:
    """Return the next action that the family's rule asks for; None where it does not single one out."""
    if lamp is None:
        return None
    kind, pair = FAMILIES[family], tuple(mats[STATIONS.index(lamp)])
    colour = needed(kind, holds(kind, events, lamp, pair), pair, third)
    return None if colour is None else str(Action(lamp, kind.verb, colour))


def _read_slot(stage: Stage, slot: int, seen: Sequence[tuple[int, np.ndarray]]) -> Event | None:
    """Return the event that differs least from all frames of a slot, at the place that differs most from an empty table."""
    empty = [still(stage, number, None) for number, _ in seen]
    corners = LAYOUTS[stage.environment.layout]

    def unlike_empty(place: str) -> float:
        area = box(empty[0], corners[place][0], corners[place][1] - SPRITE, SPRITE, SPRITE)
        return sum(_difference(frame[area], bare[area]) for (_, frame), bare in zip(seen, empty, strict=True))

    place = max(PLACES, key=unlike_empty)
    x, y = corners[place]
    area = box(empty[0], x - MARGIN, y - SPRITE - MARGIN, SPRITE + 2 * MARGIN, SPRITE + 2 * MARGIN)

    def unlike(event: Event | None) -> float:
        return sum(_difference(frame[area], still(stage, number, event)[area]) for number, frame in seen)

    return min((None, *(Event(slot, verb, thing, place) for verb, thing in DEEDS)), key=unlike)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(one.astype(np.int16) - other).mean())
