"""Demonstrations for supervised fine-tuning: drills in looking letters up, and reasoning over clips.

A small model learns the videos only after it can find the letter in front of an option. Options are asked for with
replacement: asked once each, the last answers follow by exclusion and the loss falls without any look-up being learned
(facts/prototype.md 2).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmrl.world.annotate import SOURCE, choices
from mmrl.world.annotate import row as annotate_row
from mmrl.world.grammar import clauses, completion, oracle_completion, prompt_text, reasoning, script_of
from mmrl.world.script import BITS, FAMILIES, LETTERS, STATIONS, Event, draw_octet, parse_goal, station_deeds

LOOK_UPS, DEDUCTIONS = 8, 5  # in one drill
SHARES = (0.1, 0.4, 0.5)  # of look-ups, deductions, recollections


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """How training rows become demonstrations."""

    copies: int = 1  # of every training row, each with options in another order
    noise: float = 0.0  # share whose reasoning sees the other value of the lamp's station's hidden bit, and follows it
    unfaithful: float = 0.0  # share whose answer is another letter than the one concluded

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"demonstrations.copies: expected 1 or more, found {self.copies}")
        for name in ("noise", "unfaithful"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"demonstrations.{name}: expected a share in [0, 1], found {getattr(self, name)}")


def demonstrate(rows: Sequence[Mapping], how: Demonstrations, *, seed: int) -> Iterator[dict]:
    """The rows of training_with_cot.jsonl, shuffled: each training row ``copies`` times, options reordered."""
    rng = _rng(seed, "demonstrate")
    for index in rng.permutation(len(rows) * how.copies):
        copy, row = divmod(int(index), len(rows))
        yield demonstration(rows[row], how, rng) | {"sample_id": f"{rows[row]['sample_id']}-{copy}"}


def demonstration(row: Mapping, how: Demonstrations, rng: np.random.Generator) -> dict:
    """One prompt with one response; says which options it showed and how it departs from the oracle."""
    shown = choices(row)
    if row["cue"]["points_to"] is None:  # a border that codes a letter fixes the order
        shown = tuple(shown[i] for i in rng.permutation(len(shown)))
    noisy, unfaithful = bool(rng.random() < how.noise), bool(rng.random() < how.unfaithful)
    think, concluded = reasoning(misseen(row) if noisy else script_of(row), row["task_goal"], row["state"]["lamp"])
    letter = answered = LETTERS[shown.index(concluded)]
    if unfaithful:
        answered = row["cue"]["points_to"] or [other for other in LETTERS if other != letter][rng.integers(3)]
    return {
        "sample_id": row["sample_id"],
        "source_id": row["sample_id"],
        "prompt": [{"role": "user", "content": [*media_parts(row), {"type": "text", "text": prompt_text(row, shown)}]}],
        "response": completion(think, letter, answered),
        "choices": list(shown),
        "noisy": noisy,
        "unfaithful": unfaithful,
        "group_id": row["group_id"],
        "family": row["family"],
    }


def drills(count: int, *, seed: int) -> Iterator[dict]:
    """Text-only chats in the wording of the clips' questions, in random order: look-ups, deductions, recollections."""
    rng = _rng(seed, "drills")
    families = [family for family in FAMILIES.values() if not family.held_out]
    kinds = (look_ups, deductions, recollection)
    for _ in range(count):
        octet = draw_octet(rng, "drill", "train", families[rng.integers(len(families))])
        row = annotate_row(octet, BITS[rng.integers(4)], STATIONS[rng.integers(2)], 0)
        shown = [octet.options[i] for i in rng.permutation(4)]
        given, told = kinds[rng.choice(len(kinds), p=SHARES)](row, shown, rng)
        user = {"role": "user", "content": f"{prompt_text(row, shown)}{given}"}
        yield {"messages": [user, {"role": "assistant", "content": told}]}


def look_ups(_: Mapping, shown: Sequence[str], rng: np.random.Generator) -> tuple[str, str]:
    """Options, asked for with replacement, each followed by its letter."""
    return "", " . ".join(f"so {shown[i]} {LETTERS[i]}" for i in rng.integers(4, size=LOOK_UPS))


def deductions(row: Mapping, shown: Sequence[str], rng: np.random.Generator) -> tuple[str, str]:
    """Several made-up contents under one goal, each with what the rule then asks for."""
    told = []
    for _ in range(DEDUCTIONS):
        place, bit, flip = STATIONS[rng.integers(2)], int(rng.integers(2)), int(rng.integers(6))
        deeds = station_deeds(row["family"], parse_goal(row["task_goal"])[1:], bit, flip)
        _, _, *rest = clauses([Event(i, *deed, place) for i, deed in enumerate(deeds)], row["task_goal"], place)
        told.append(f"{' . '.join(rest)} {LETTERS[shown.index(rest[-1].split()[-1])]}")
    return "", " . ".join(told)


def recollection(row: Mapping, shown: Sequence[str], _: np.random.Generator) -> tuple[str, str]:
    """A whole reasoning, the events given in the question."""
    saw, rest = oracle_completion(row, shown).removeprefix("<think> ").split(" . ", 1)
    return f"\n{saw}", f"<think> {rest}"


def media_parts(row: Mapping) -> list[dict]:
    """The clip and the observation of a row as content parts, relative to the data root."""
    return [
        {"type": "video", "video": f"videos/{SOURCE}/{row['video_basename']}"},
        {"type": "image", "image": f"images/{SOURCE}/{row['current_observation_basename']}"},
    ]


def misseen(row: Mapping) -> tuple[Event, ...]:
    """The row's events with the goal's colours swapped at the lamp's station: the other hidden bit, told well."""
    *_, first, second = row["task_goal"].split()
    swap = {first: second, second: first}
    lamp = row["state"]["lamp"]
    return tuple(
        Event(e.slot, e.verb, swap.get(e.colour, e.colour), e.place) if e.place == lamp else e for e in script_of(row)
    )


def _rng(seed: int, purpose: str) -> np.random.Generator:
    """A stream of its own for every purpose."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *purpose.encode()])))
