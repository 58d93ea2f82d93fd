"""What the toy world says: question, reasoning, completion, and the closed list of its words.

    think  := saw "." view "." holds "." need "." next
    saw    := "saw" {time verb colour place}      saw t0 put red left t1 take blue top
    view   := "lamp" station                      lamp left
    holds  := station "holds" {colour}            left holds red blue       (lowest first)
    need   := station "needs" colour              left needs blue
    next   := "so" action [letter]                so blue@left C

Times are slots, so that every event says where in the video it was seen; the letter stands right behind the action that
it names, which a small model learns soonest (facts/prototype.md 2).
"""

from collections.abc import Mapping, Sequence

from mmrl.world.script import (
    COLOURS,
    FAMILIES,
    LETTERS,
    PLACES,
    SLOTS,
    STATIONS,
    VERBS,
    Event,
    action,
    contents,
    needed,
    parse_goal,
)

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<unk>",
)
TIMES = tuple(f"t{slot}" for slot in range(SLOTS))
ACTIONS = tuple(action(colour, place) for colour in COLOURS for place in STATIONS)
_SAID = ("saw", "holds", "lamp", "needs", "so", ".", "nothing")
_ASKED = ("what", "next", "for", "?", "before", *(word for family in FAMILIES.values() for word in family.rule.split()))
_ROLES = ("system", "user", "assistant")


def words() -> tuple[str, ...]:
    """Every ordinary word that our texts use, each once; tags are tokens of their own."""
    said = (*LETTERS, *COLOURS, *PLACES, *VERBS, *TIMES, *ACTIONS, *_SAID, *_ASKED, *_ROLES)
    return tuple(dict.fromkeys(said))


def question(goal: str) -> str:
    """The question; the same words for every family."""
    return f"what next for {goal} ?"


def prompt_text(row: Mapping, choices: Sequence[str]) -> str:
    """Question and options, the letter before its option; the wording of the template "toy"."""
    lines = [f"{letter} {choice}" for letter, choice in zip(LETTERS, choices, strict=True)]
    return "\n".join([row["question"], *lines])


def reasoning(events: Sequence[Event], goal: str, lamp: str) -> tuple[str, str]:
    """The words that follow from these events and this lamp, without a letter, and the action concluded."""
    told = clauses(events, goal, lamp)
    return " . ".join(told), told[-1].split()[-1]


def clauses(events: Sequence[Event], goal: str, lamp: str) -> list[str]:
    """The five clauses of a reasoning.

    Where the rule does not single out a colour (only after made-up events) the first of the goal is taken.
    """
    seen = " ".join(f"t{event.slot} {event.verb} {event.colour} {event.place}" for event in events)
    held = contents(events, lamp)
    colour = needed(goal, held) or parse_goal(goal)[1]
    holds = f"{lamp} holds {' '.join(held) or 'nothing'}"
    return [f"saw {seen}", f"lamp {lamp}", holds, f"{lamp} needs {colour}", f"so {action(colour, lamp)}"]


def completion(think: str, concluded: str, answered: str) -> str:
    """Reasoning that concludes a letter, and the letter that is answered."""
    return f"<think> {think} {concluded} </think> <answer> {answered} </answer>"


def oracle_completion(row: Mapping, choices: Sequence[str]) -> str:
    """The faithful, right completion of a row for options in this order.

    Raises ValueError if the right answer is not among them.
    """
    if row["answer"] not in choices:
        raise ValueError(f"row {row['sample_id']}: expected {row['answer']!r} among the choices, found {list(choices)}")
    letter = LETTERS[list(choices).index(row["answer"])]
    return completion(row["oracle_think"], letter, letter)


def script_of(row: Mapping) -> tuple[Event, ...]:
    """The events of a row's script."""
    return tuple(Event(e["slot"], e["verb"], e["colour"], e["place"]) for e in row["script"])
