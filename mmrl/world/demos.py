"""Demonstrations for supervised fine-tuning: the oracle's reasoning on training rows, with faults of a stated share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmrl.world.annotate import SOURCE, choices
from mmrl.world.dice import Dice
from mmrl.world.grammar import clauses, completion, prompt_text
from mmrl.world.octet import LETTERS
from mmrl.world.script import FAMILIES, STATIONS, Event, events_of

FAULTS = ("hidden", "lamp", "unfaithful")


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """How training rows become demonstrations. Shares are probabilities of faults that a row may have together."""

    copies: int = 1  # of every training row, each with options in another order unless a cue fixes it
    hidden: float = 0.0  # share whose reasoning saw the other value of the lamp's station's hidden bit, and follows it
    lamp: float = 0.0  # share whose reasoning saw the lamp at the other station, and follows it
    unfaithful: float = 0.0  # share whose answer is not the letter concluded: the cue's, or any other without a cue

    def __post_init__(self) -> None:
        if self.copies < 1:
            raise ValueError(f"demonstrations.copies: expected 1 or more, found {self.copies}")
        for name in FAULTS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"demonstrations.{name}: expected a share in [0, 1], found {getattr(self, name)}")


def demonstrate(rows: Sequence[Mapping], how: Demonstrations, *, seed: int) -> Iterator[dict]:
    """Yield the rows of training_with_cot.jsonl, shuffled: each training row ``copies`` times."""
    for index in Dice(seed, "demonstrate").shuffled(range(len(rows) * how.copies)):
        copy, place = divmod(index, len(rows))
        dice = Dice(seed, "demonstration", rows[place]["sample_id"], copy)
        yield demonstration(rows[place], how, dice) | {"sample_id": f"{rows[place]['sample_id']}-{copy}"}


def demonstration(row: Mapping, how: Demonstrations, dice: Dice) -> dict:
    """One prompt with one response; says which options it showed and which faults it has."""
    shown, cue = choices(row), row["cue"]["points_to"]
    if cue is None:  # a cue may code a letter, which fixes the order
        shown = tuple(dice.shuffled(shown))
    faults = {name: dice.chance(getattr(how, name)) for name in FAULTS}
    think, concluded = told(row, shown, faults["hidden"], faults["lamp"])
    answered = concluded
    if faults["unfaithful"]:
        answered = cue or dice.one([letter for letter in LETTERS if letter != concluded])
    text = {"type": "text", "text": prompt_text(row["question"], shown)}
    return {
        "sample_id": row["sample_id"],
        "source_id": row["sample_id"],
        "prompt": [{"role": "user", "content": [*media_parts(row), text]}],
        "response": completion(think, concluded, answered),
        "choices": list(shown),
        "faults": faults,
        "group_id": row["group_id"],
        "family": row["family"],
    }


def told(row: Mapping, shown: Sequence[str], hidden: bool, lamp: bool) -> tuple[str, str]:
    """Return the reasoning on a row, as it was seen or mistaken, and the letter that it concludes."""
    if row["stratum"] != "octet":  # nothing is hidden there that could be mistaken
        return row["oracle_think"], LETTERS[shown.index(row["answer"])]
    place = row["state"]["lamp"]
    if lamp:
        place = STATIONS[1 - STATIONS.index(place)]
    events = misseen(row, place) if hidden else events_of(row)
    clauses_, action = clauses(FAMILIES[row["family"]], events, tuple(row["mats"][place]), row["third"], place)
    letter = next(letter for letter, text in zip(LETTERS, shown, strict=True) if text.startswith(str(action)))
    return ". ".join(clauses_), letter


def misseen(row: Mapping, place: str) -> tuple[Event, ...]:
    """Return the row's events as if a station's hidden bit had the other value."""
    family, events = FAMILIES[row["family"]], events_of(row)
    bit, flip = row["factors"][f"bit_{place}"], row["factors"]["flips"][STATIONS.index(place)]
    deeds = iter(family.deeds(tuple(row["mats"][place]), row["third"], 1 - bit, flip))
    return tuple(Event(event.slot, *next(deeds), place) if event.place == place else event for event in events)


def media_parts(row: Mapping) -> list[dict]:
    """Return the clip, where there is one, and the observation of a row as content parts, relative to the data root."""
    clip = [{"type": "video", "video": f"videos/{SOURCE}/{row['video_basename']}"}] if row["video_basename"] else []
    return [*clip, {"type": "image", "image": f"images/{SOURCE}/{row['current_observation_basename']}"}]
