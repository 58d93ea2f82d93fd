"""Rows of annotation files, and the media that they refer to: SEED-Bench-R1's fields and our own.

The fields are those of SEED-Bench-R1's files (Chen et al. 2025, 2503.24376), and our own behind them. Everything here is symbols; mmrl.world.build makes files of them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from mmrl.world.axes import Environment
from mmrl.world.cues import NEUTRAL, Planted
from mmrl.world.grammar import ALL_CLOSE, narration, octet_reasoning, question
from mmrl.world.nat import Nat, nat_reasoning
from mmrl.world.octet import LETTERS, Action, Bits, Octet
from mmrl.world.render import Dial
from mmrl.world.script import BITS, STATIONS, TAIL, Event, Pair

SOURCE = "Synth"
MEMBERS = tuple((bits, lamp) for bits in BITS for lamp in STATIONS)  # the eight items of an octet
OPEN_ORDER = ("train", "sft")  # splits whose options have no order, unless a cue fixes one


@dataclass(frozen=True, slots=True)
class Presentation:
    """How an item is shown."""

    environment: Environment
    test: tuple[str, ...] = ()  # axes whose value is of the test pool
    cue: Planted = NEUTRAL
    variant: str = ""  # names the files of a copy that is paired with the main one

    def suffix(self, *kinds: str) -> str:
        """Return what a medium's name ends with: the copy, and the letter of a cue that is seen in it."""
        seen = (self.variant, f"{self.cue.kind}-{self.cue.points_to}" if self.cue.kind in kinds else "")
        return "".join(f"-{part}" for part in seen if part)


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """A video to render."""

    name: str
    script: tuple[Event, ...]
    family: str
    mats: tuple[Pair, Pair]
    environment: Environment
    tint: str | None = None


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """An observation to render."""

    name: str
    lamp: str | None
    family: str
    mats: tuple[Pair, Pair]
    environment: Environment
    border: str | None = None


@dataclass(frozen=True, slots=True)
class WorldItem:
    """A row and what is seen with it; no clip where nothing has been done yet."""

    row: dict
    clip: ClipSpec | None
    picture: PictureSpec


def octet_items(octet: Octet, looks: Sequence[Presentation], dial: Dial) -> Iterator[WorldItem]:
    """Yield the eight items of an octet, each with its own look, in the order of MEMBERS."""
    for index, ((bits, lamp), look) in enumerate(zip(MEMBERS, looks, strict=True)):
        shared = (octet.family, octet.mats, look.environment)
        yield WorldItem(
            octet_row(octet, bits, lamp, index, look, dial),
            ClipSpec(video_name(octet, bits, look), octet.script(bits), *shared, look.cue.tint(octet.options)),
            PictureSpec(picture_name(octet, lamp, look), lamp, *shared, look.cue.border),
        )


def octet_row(octet: Octet, bits: Bits, lamp: str, index: int, look: Presentation, dial: Dial) -> dict:
    """One of an octet's eight rows."""
    think, gold = octet_reasoning(octet, bits, lamp)
    assert gold == octet.action(bits, lamp), f"{octet.group}: the oracle concludes {gold} against the planner"
    script = octet.script(bits)
    row = {
        "sample_id": f"{octet.group}-{index}",
        "video_source": SOURCE,
        "video_id": f"{octet.group}-{bits[0]}{bits[1]}",
        "video_basename": video_name(octet, bits, look),
        "current_observation_basename": picture_name(octet, lamp, look),
        "current_observation_frame": dial.frames - 1,
        "task_goal": octet.goal,
        "question": question(octet.goal),
        "task_progress_metadata": progress_rows(script, dial),
        **options_of(octet.split, octet.options, gold, look.cue),
        **level_of(octet.split, octet.family, octet.goal),
        "group_id": octet.group,
        "family": octet.family,
        "stratum": "octet",
        "mats": mats_of(octet.mats),
        "third": octet.third,
        "factors": {
            "bit_left": bits[0],
            "bit_right": bits[1],
            "lamp": lamp,
            "flips": list(octet.flips),
            "ordered": octet.kind.ordered,
        },
        "state": {"lamp": lamp, **{place: list(octet.holds(bits, place)) for place in STATIONS}},
        "oracle_think": think,
    }
    return row | seen(script, look, dial)


def nat_item(nat: Nat, look: Presentation, dial: Dial) -> WorldItem:
    """Return a natural item; nothing shines in its observation."""
    script, shared = nat.script(), (nat.schema, nat.mats, look.environment)
    name = f"{nat.name}{look.suffix()}"
    clip = ClipSpec(f"{name}.mp4", script, *shared) if script else None
    picture = PictureSpec(f"{name}.png", None, *shared)
    return WorldItem(nat_row(nat, clip, picture, look, dial), clip, picture)


def nat_row(nat: Nat, clip: ClipSpec | None, picture: PictureSpec, look: Presentation, dial: Dial) -> dict:
    """Return its row. Where nothing has been done yet there is no progress and no video, as in SEED-Bench-R1."""
    script = nat.script()
    row = {
        "sample_id": nat.name,
        "video_source": SOURCE,
        "video_id": nat.name,
        "video_basename": clip.name if clip else "",
        "current_observation_basename": picture.name,
        "current_observation_frame": dial.frames - 1 if clip else 0,
        "task_goal": nat.goal,
        "question": question(nat.goal),
        "task_progress_metadata": progress_rows(script, dial),
        **options_of(nat.split, nat.options, nat.gold, look.cue),
        **level_of(nat.split, nat.schema, nat.goal),
        "group_id": nat.name,
        "family": nat.schema,
        "stratum": "nat",
        "mats": mats_of(nat.mats),
        "third": nat.third,
        "factors": {
            "steps": len(nat.plan),
            "done": len(nat.done),
            "distractors": {str(o): kind for o, kind in zip(nat.options, nat.types, strict=True) if kind is not None},
        },
        "plan": [asdict(step) | {"after": list(step.after)} for step in nat.plan],
        "state": {"lamp": None},
        "oracle_think": nat_reasoning(nat),
    }
    return row | seen(script, look, dial)


def options_of(split: str, options: Sequence[Action], gold: Action, cue: Planted) -> dict:
    """Answer and options: negatives to train on, four in order to validate on, both where a cue needs an order."""
    texts = cue.texts(options)
    answer = texts[options.index(gold)]
    ordered = {f"choice_{letter.lower()}": text for letter, text in zip(LETTERS, texts, strict=True)}
    fields: dict = {"answer": answer}
    if split in OPEN_ORDER:
        fields["negative_answers"] = [text for text in texts if text != answer]
    if split not in OPEN_ORDER or cue.points_to is not None:
        fields |= ordered | {"golden_choice_idx": LETTERS[options.index(gold)]}
    return fields


def level_of(split: str, family: str, goal: str) -> dict:
    """Return the level of a validation row; in the third also its domain and scenario."""
    level = {} if split in OPEN_ORDER else {"task_level": split}
    return level | ({"domain": family, "scenario": goal} if split == "L3" else {})


def seen(script: Sequence[Event], look: Presentation, dial: Dial) -> dict:
    """Return how a row is shown, what happens in its video, and how many events that is with the closing lids."""
    return {
        "env_axes": asdict(look.environment) | {"test": list(look.test)},
        "cue": asdict(look.cue),
        "script": [asdict(event) | frames_of(event.slot, dial) for event in script],
        "n_events": len(script) + bool(script),
        "sha256": script_digest(script),
    }


def progress_rows(script: Sequence[Event], dial: Dial) -> list[dict]:
    """Return what has been done so far, as sentences that no prompt shows; nothing where there is no video."""
    told = [{"narration_text": narration(event), **frames_of(event.slot, dial)} for event in script]
    return [*told, {"narration_text": ALL_CLOSE, **frames_of(TAIL, dial)}] if told else []


def frames_of(slot: int, dial: Dial) -> dict:
    """Return the first and the last frame of a slot."""
    start = slot * dial.frames_per_slot
    return {"start_frame": start, "stop_frame": start + dial.frames_per_slot - 1}


def mats_of(mats: Sequence[Pair]) -> dict:
    """Return the colours of either station, in the goal's order."""
    return {place: list(pair) for place, pair in zip(STATIONS, mats, strict=True)}


def video_name(octet: Octet, bits: Bits, look: Presentation) -> str:
    """Return a clip's file name: four of each copy, or one for each letter of a cue that is seen in clips."""
    return f"{octet.group}-{bits[0]}{bits[1]}{look.suffix('gripper', 'environment')}.mp4"


def picture_name(octet: Octet, lamp: str, look: Presentation) -> str:
    """Return an observation's file name: two of each copy, or one for each letter of a cue that is seen in it."""
    return f"{octet.group}-{lamp}{look.suffix('border', 'environment')}.png"


def choices(row: Mapping) -> tuple[str, ...]:
    """Return a row's options in its own order: the file's where it states one, else answer first."""
    if "choice_a" in row:
        return tuple(row[f"choice_{letter.lower()}"] for letter in LETTERS)
    return (row["answer"], *row["negative_answers"])


def script_digest(script: Sequence[Event]) -> str:
    """SHA-256 of what happens, independent of pixels and encoder."""
    return hashlib.sha256(json.dumps([asdict(event) for event in script], sort_keys=True).encode()).hexdigest()
