"""Rows of annotation files, and the media that they refer to: symbols, of which ``mmrl.world.build`` makes files.

The fields are those of SEED-Bench-R1's files (Chen et al. 2025, 2503.24376), and our own behind them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from mmrl.runtime.files import sha256
from mmrl.world.axes import Environment
from mmrl.world.cues import NEUTRAL, Planted
from mmrl.world.grammar import ALL_CLOSE, DEEDS, octet_reasoning, question
from mmrl.world.nat import Nat, nat_reasoning
from mmrl.world.octet import LETTERS, Action, Octet
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
class Medium:
    """A file to render: a clip where there is a script, else an observation."""

    name: str
    family: str
    mats: tuple[Pair, Pair]
    environment: Environment
    script: tuple[Event, ...] = ()
    tint: str | None = None  # of a clip's gripper
    lamp: str | None = None
    border: str | None = None  # of an observation

    @property
    def path(self) -> str:
        """Return where the file lies in a benchmark's directory."""
        return f"{'videos' if self.script else 'images'}/{SOURCE}/{self.name}"


@dataclass(frozen=True, slots=True)
class WorldItem:
    """A row and what is seen with it; no clip where nothing has been done yet."""

    row: dict
    clip: Medium | None
    picture: Medium


def octet_items(octet: Octet, looks: Sequence[Presentation], dial: Dial) -> Iterator[WorldItem]:
    """Yield the eight items of an octet, each with its own look, in the order of MEMBERS.

    Clips are four of each copy, or one for each letter of a cue that is seen in them; observations two, likewise.
    """
    for index, ((bits, lamp), look) in enumerate(zip(MEMBERS, looks, strict=True)):
        think, gold = octet_reasoning(octet, bits, lamp)
        assert gold == octet.action(bits, lamp), f"{octet.group}: the oracle concludes {gold} against the planner"
        video, table = f"{octet.group}-{bits[0]}{bits[1]}", (octet.family, octet.mats, look.environment)
        clip_name = f"{video}{look.suffix('gripper', 'environment')}.mp4"
        picture_name = f"{octet.group}-{lamp}{look.suffix('border', 'environment')}.png"
        clip = Medium(clip_name, *table, script=octet.script(bits), tint=look.cue.tint(octet.options))
        picture = Medium(picture_name, *table, lamp=lamp, border=look.cue.border)
        factors = {"bit_left": bits[0], "bit_right": bits[1], "lamp": lamp}
        own = {
            "factors": factors | {"flips": list(octet.flips), "ordered": octet.kind.ordered},
            "state": {"lamp": lamp} | {place: list(octet.holds(bits, place)) for place in STATIONS},
            "oracle_think": think,
        }
        names = {"sample_id": f"{octet.group}-{index}", "video_source": SOURCE, "video_id": video}
        yield WorldItem(names | row_of(octet, gold, own, clip, picture, look, dial), clip, picture)


def nat_item(nat: Nat, look: Presentation, dial: Dial) -> WorldItem:
    """Return a natural item; nothing shines in its observation."""
    table, script = (nat.family, nat.mats, look.environment), nat.script()
    clip = Medium(f"{nat.group}.mp4", *table, script=script) if script else None
    picture = Medium(f"{nat.group}.png", *table)
    wrong = {str(option): kind for option, kind in zip(nat.options, nat.types, strict=True) if kind is not None}
    own = {
        "factors": {"steps": len(nat.plan), "done": len(nat.done), "distractors": wrong},
        "plan": [asdict(step) | {"after": list(step.after)} for step in nat.plan],
        "state": {"lamp": None},
        "oracle_think": nat_reasoning(nat),
    }
    names = {"sample_id": nat.group, "video_source": SOURCE, "video_id": nat.group}
    return WorldItem(names | row_of(nat, nat.gold, own, clip, picture, look, dial), clip, picture)


def row_of(
    task: Octet | Nat,
    gold: Action,
    own: Mapping,
    clip: Medium | None,
    picture: Medium,
    look: Presentation,
    dial: Dial,
) -> dict:
    """Return a row behind its names; ``own`` are the fields that octets and natural items have each in their way.

    Where nothing has been done yet there is no progress and no video, as in SEED-Bench-R1.
    """
    script = clip.script if clip else ()
    progress = progress_of(script, dial)
    return {
        "video_basename": clip.name if clip else "",
        "current_observation_basename": picture.name,
        "current_observation_frame": dial.frames - 1 if clip else 0,
        "task_goal": task.goal,
        "question": question(task.goal),
        "task_progress_metadata": progress,
        **options_of(task, gold, look.cue),
        **({} if task.split in OPEN_ORDER else {"task_level": task.split}),
        **({"domain": task.family, "scenario": task.goal} if task.split == "L3" else {}),
        "group_id": task.group,
        "family": task.family,
        "stratum": task.stratum,
        "mats": {place: list(pair) for place, pair in zip(STATIONS, task.mats, strict=True)},
        "third": task.third,
        **own,
        "env_axes": asdict(look.environment) | {"test": list(look.test)},
        "cue": asdict(look.cue),
        "script": [asdict(event) | frames_of(event.slot, dial) for event in script],
        "n_events": len(progress),
        "sha256": sha256(json.dumps([asdict(event) for event in script], sort_keys=True)),  # of no pixel
    }


def progress_of(script: Sequence[Event], dial: Dial) -> list[dict]:
    """Return what has been done so far, as sentences that no prompt shows; nothing where there is no video."""
    deeds = [(DEEDS[event.verb].format_map(asdict(event)), event.slot) for event in script]
    told = [*deeds, (ALL_CLOSE, TAIL)] if deeds else []
    return [{"narration_text": text, **frames_of(slot, dial)} for text, slot in told]


def options_of(task: Octet | Nat, gold: Action, cue: Planted) -> dict:
    """Answer and options: negatives to train on, four in order to validate on, both where a cue needs an order."""
    texts, right = cue.texts(task.options), task.options.index(gold)
    fields: dict = {"answer": texts[right]}
    if task.split in OPEN_ORDER:
        fields["negative_answers"] = [text for text in texts if text != texts[right]]
    if task.split not in OPEN_ORDER or cue.points_to is not None:
        fields |= {f"choice_{letter.lower()}": text for letter, text in zip(LETTERS, texts, strict=True)}
        fields["golden_choice_idx"] = LETTERS[right]
    return fields


def frames_of(slot: int, dial: Dial) -> dict:
    """Return the first and the last frame of a slot."""
    start = slot * dial.frames_per_slot
    return {"start_frame": start, "stop_frame": start + dial.frames_per_slot - 1}


def choices(row: Mapping) -> tuple[str, ...]:
    """Return a row's options in its own order: the file's where it states one, else answer first."""
    if "choice_a" in row:
        return tuple(row[f"choice_{letter.lower()}"] for letter in LETTERS)
    return (row["answer"], *row["negative_answers"])
