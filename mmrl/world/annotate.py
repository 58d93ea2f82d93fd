"""Rows of an annotation file: SEED-Bench-R1's fields and the toy world's own (facts/care.md 4.2, evaluation.md 5.9)."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict

from mmrl.world.grammar import question, reasoning
from mmrl.world.render import FRAMES, FRAMES_PER_SLOT
from mmrl.world.script import BITS, FAMILIES, LETTERS, STATIONS, TAIL, Event, Octet, contents, next_action

SOURCE = "Synth"
DEEDS = {
    "put": "The gripper drops the {colour} cube into the {place} box",
    "take": "The gripper lifts the {colour} cube out of the {place} box",
}
LEVELS = {"train": "training", "L1": "validation_L1", "L2": "validation_L2", "L3": "validation_L3"}


def video_name(octet: Octet, bits: tuple[int, int]) -> str:
    """A clip's file name; four a group."""
    return f"{octet.group}-{bits[0]}{bits[1]}.mp4"


def picture_name(octet: Octet, lamp: str, cue: str | None = None) -> str:
    """An observation's file name; two a group, or one for each letter of the border."""
    return f"{octet.group}-{lamp}{'' if cue is None else '-' + cue}.png"


def rows(octet: Octet, cues: list[str | None], strength: float | None) -> Iterator[dict]:
    """The eight rows of an octet. ``cues`` are the letters of their borders, None for grey."""
    members = [(bits, lamp) for bits in BITS for lamp in STATIONS]
    for index, ((bits, lamp), cue) in enumerate(zip(members, cues, strict=True)):
        yield row(octet, bits, lamp, index, cue, strength)


def row(
    octet: Octet, bits: tuple[int, int], lamp: str, index: int, cue: str | None = None, strength: float | None = None
) -> dict:
    """One item. A training row states no option order unless a cue names a letter of it."""
    script = octet.script(bits)
    answer = next_action(octet.goal, script, lamp)
    think, concluded = reasoning(script, octet.goal, lamp)
    assert concluded == answer, f"{octet.group}: the oracle concludes {concluded}, the planner {answer}"
    made = {
        "sample_id": f"{octet.group}-{index}",
        "video_source": SOURCE,
        "video_id": f"{octet.group}-{bits[0]}{bits[1]}",
        "video_basename": video_name(octet, bits),
        "current_observation_basename": picture_name(octet, lamp, cue),
        "current_observation_frame": FRAMES - 1,
        "task_goal": octet.goal,
        "question": question(octet.goal),
        "answer": answer,
        "task_progress_metadata": [_narration(event) for event in script] + [_tail()],
    }
    if octet.split == "train":
        made["negative_answers"] = [option for option in octet.options if option != answer]
    if octet.split != "train" or cue is not None:
        made |= {f"choice_{letter.lower()}": text for letter, text in zip(LETTERS, octet.options, strict=True)}
        made["golden_choice_idx"] = LETTERS[octet.options.index(answer)]
    if octet.split != "train":
        made["task_level"] = octet.split
    if octet.split == "L3":
        made |= {"domain": octet.family, "scenario": octet.goal}
    return made | {
        "group_id": octet.group,
        "family": octet.family,
        "stratum": "octet",
        "factors": {
            "bit_left": bits[0],
            "bit_right": bits[1],
            "lamp": lamp,
            "flips": list(octet.flips),
            "ordered": FAMILIES[octet.family].ordered,
        },
        "env_axes": {"background": octet.background, "pool": pool(octet), "texture": octet.texture},
        "cue": {"kind": "border", "strength": strength if cue else None, "points_to": cue},
        "script": [
            asdict(event) | dict(zip(("start_frame", "stop_frame"), _frames(event.slot), strict=True))
            for event in script
        ],
        "state": {place: list(contents(script, place)) for place in STATIONS} | {"lamp": lamp},
        "oracle_think": think,
        "n_events": len(script) + 1,
        "sha256": script_digest(script),
    }


def pool(octet: Octet) -> str:
    """Which environments an octet's pictures come from."""
    return "train" if octet.split in ("train", "L1") else "test"


def choices(row: dict) -> tuple[str, ...]:
    """A row's options in its own order: the file's where it states one, else answer first."""
    if "choice_a" in row:
        return tuple(row[f"choice_{letter.lower()}"] for letter in LETTERS)
    return (row["answer"], *row["negative_answers"])


def script_digest(script: tuple[Event, ...]) -> str:
    """SHA-256 of what happens, independent of pixels and encoder."""
    return hashlib.sha256(json.dumps([asdict(event) for event in script], sort_keys=True).encode()).hexdigest()


def _narration(event: Event) -> dict:
    start, stop = _frames(event.slot)
    text = DEEDS[event.verb].format(colour=event.colour, place=event.place)
    return {"narration_text": text, "start_frame": start, "stop_frame": stop}


def _tail() -> dict:
    start, stop = _frames(TAIL)
    return {"narration_text": "All lids close", "start_frame": start, "stop_frame": stop}


def _frames(slot: int) -> tuple[int, int]:
    return slot * FRAMES_PER_SLOT, (slot + 1) * FRAMES_PER_SLOT - 1
