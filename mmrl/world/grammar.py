"""The language of the world: question, options, reasoning, completion, narration. A closed list of ordinary words.

    think  := saw "." view "." holds "." need "." next
    saw    := "saw" {time verb thing place}         saw first put red left third take blue top
    view   := "lamp" station                        lamp left
    holds  := "holds" station (colour+ | "nothing") holds left red blue       (lowest, or earliest, first)
    need   := "needs" station colour                needs left blue
    next   := "so" "on the" station verb colour letter    so on the left put blue C

This is the terse dialect, which a small model can write in 60 tokens; the judge also reads a longer one. Times are slots, so that every event says where in the video it was seen. What is looked up stands
right behind the word by which it is found, a station's contents behind the station, a letter behind the colour that tells its
option from the others: a small model learns that many times sooner (tools/base teaches it).
"""

from collections.abc import Mapping, Sequence

from mmrl.world.octet import LETTERS, Action, Bits, Octet
from mmrl.world.script import COLOURS, FAMILIES, PLACES, STATIONS, THINGS, VERBS, Event, Pair, TaskFamily, holds, needed

TIMES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
DEEDS = {  # how an event reads in task_progress_metadata, which no prompt ever shows
    "put": "The gripper drops the {thing} cube into the {place} box",
    "take": "The gripper lifts the {thing} cube out of the {place} box",
    "hide": "The gripper hides the ball under the cup on the {thing} mat, {place}",
    "swap": "The gripper swaps what stands on the two mats, {place}",
    "visit": "The gripper stops at the {thing} pad, {place}",
    "dry": "The gripper dries the {thing} plate for long, {place}",
    "dab": "The gripper dries the {thing} plate too short, {place}",
    "open": "The gripper opens the {thing} drawer, {place}",
    "close": "The gripper closes the {thing} drawer, {place}",
    "drop": "The gripper drops the key, {place}",
    "pour": "The gripper pours {thing} paint into the {place} box",
}
ALL_CLOSE = "All lids close"


def question(goal: str) -> str:
    """Return the question; the same words for every family."""
    return f"what next? {goal}"


def prompt_text(question: str, choices: Sequence[str]) -> str:
    """Question and options, the letter before its option; the wording of the template "toy".

    Every line of an option starts with a space, so that its letter is the token that an answer's letter is.
    """
    lines = [f" {letter} {choice}" for letter, choice in zip(LETTERS, choices, strict=True)]
    return "\n".join([question, *lines])


def clauses(family: TaskFamily, events: Sequence[Event], mats: Pair, third: str, lamp: str) -> tuple[list[str], Action]:
    """Return the five clauses of a reasoning, and the action that the last one concludes.

    Where the rule does not single out a colour (only after made-up events) the first of the station is taken.
    """
    held = holds(family, events, lamp, mats)
    colour = needed(family, held, mats, third) or mats[0]
    action = Action(lamp, family.verb, colour)
    holding = f"holds {lamp} {' '.join(held) or 'nothing'}"
    return [saw(events), f"lamp {lamp}", holding, f"needs {lamp} {colour}", f"so {action}"], action


def saw(events: Sequence[Event]) -> str:
    """Return what was seen, in order."""
    return " ".join(["saw", *(f"{TIMES[e.slot]} {e.verb} {e.thing} {e.place}" for e in events)])


def octet_reasoning(octet: Octet, bits: Bits, lamp: str) -> tuple[str, Action]:
    """Return the oracle's words on an item, without a letter, and the action that it concludes."""
    mats = octet.mats[STATIONS.index(lamp)]
    told, action = clauses(octet.kind, octet.script(bits), mats, octet.third, lamp)
    return ". ".join(told), action


def completion(think: str, concluded: str, answered: str) -> str:
    """Reasoning that concludes a letter, and the letter that is answered."""
    return f"<think> {think} {concluded}</think><answer> {answered}</answer>"


def oracle_completion(row: Mapping, choices: Sequence[str]) -> str:
    """Return the faithful, right completion of a row for these options. Raises ValueError if they lack its answer."""
    if row["answer"] not in choices:
        raise ValueError(f"row {row['sample_id']}: expected {row['answer']!r} among the choices, found {list(choices)}")
    letter = LETTERS[list(choices).index(row["answer"])]
    return completion(row["oracle_think"], letter, letter)


def grammar_words() -> tuple[str, ...]:
    """Return every word of questions, options and reasonings, each once, in a fixed order."""
    tasks = " ".join(family.task.format(third="") for family in FAMILIES.values())
    acts = (family.verb for family in FAMILIES.values())
    asked = f"what next and {tasks} on the".split()
    said = ("saw", "lamp", "holds", "nothing", "needs", "so")
    things = (thing for several in THINGS.values() for thing in several)
    return tuple(dict.fromkeys((*LETTERS, *COLOURS, *PLACES, *VERBS, *acts, *things, *TIMES, *said, *asked)))
