"""Lessons: the text that the base model is taught, as token ids with a weight for each: 0 is prompt, the rest is learned.

Five kinds of lesson: the word before a word; the letter before an option; a reasoning whose events
are given in words; what a clip shows; a whole item. Questions are asked with replacement: asked once each, the last answers
follow by exclusion, and the loss falls without any look-up being learned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from mmrl.world.dice import Dice
from mmrl.world.grammar import TIMES, clauses, completion, grammar_words, octet_reasoning, prompt_text, question, saw
from mmrl.world.octet import LETTERS, Bits, Octet, draw_octet
from mmrl.world.script import BITS, COLOURS, FAMILIES, PLACES, STATIONS, TAIL, THINGS, VERBS, Event

ITEMS, ASKED, OPTIONS_ASKED, LISTS, DEDUCED = 12, 14, 8, 5, 3  # words in a list, questions about it, about options, ...
HEAVY = (*COLOURS, *TIMES, "left", "right", "top")  # words that take looking: weighed more than those that follow
WEIGHT, LETTER_WEIGHT = 4.0, 10.0  # of those words; of letters, which are few and decide everything
TAUGHT = tuple(family for family in FAMILIES.values() if not family.held_out)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One sequence. ``media`` says which clip and which picture it opens with."""

    ids: list[int]
    weights: list[float]
    media: tuple[int, int] | None = None


class Writer:
    """Texts to ids; remembers what it has tokenised."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.known: dict[str, list[int]] = {}
        self.heavy = {self(f" {word}")[0]: WEIGHT for word in HEAVY}
        self.heavy |= {self(f" {letter}")[0]: LETTER_WEIGHT for letter in LETTERS}

    def __call__(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = self.tokenizer(text, add_special_tokens=False).input_ids
        return self.known[text]

    def text(self, text: str) -> list[int]:
        """Tokens of a longer text, word by word: pieces repeat, whole texts do not."""
        first, *rest = text.split(" ")
        return [*self(first), *(i for word in rest for i in self(f" {word}"))]

    def lesson(self, prompt: list[int], told: str, media: tuple[int, int] | None = None) -> Lesson:
        """Return a completion learned after a prompt."""
        ids = self.text(told) + self("<|im_end|>")
        return Lesson(prompt + ids, [0.0] * len(prompt) + self.weights(ids), media)

    def weights(self, ids: Sequence[int]) -> list[float]:
        """Return what each token of a completion counts."""
        return [self.heavy.get(i, 1.0) for i in ids]

    def prompt(self, text: str, media: Sequence[int] = ()) -> list[int]:
        """Return the chat up to the answer; ``media`` are ids of placeholders, which stand first."""
        close = self("<|im_end|>\n<|im_start|>assistant\n")
        return [*self("<|im_start|>user\n"), *media, *self.text(text), *close]


def words_back(write: Writer, dice: Dice) -> Lesson:
    """Return a list of words, letters among them; then words of it, each followed by the word before it in the list."""
    listed = dice.shuffled([*dice.some(grammar_words()[len(LETTERS) :], ITEMS - len(LETTERS)), *LETTERS])
    ids = [write(f" {word}")[0] for word in listed]
    weights = [0.0] * len(ids)
    for _ in range(ASKED):
        at = 1 + dice.below(ITEMS - 1)
        ids += [ids[at], ids[at - 1]]
        weights += [0.0, 1.0]
    return Lesson(ids, weights)


def look_ups(write: Writer, dice: Dice) -> Lesson:
    """Return a question with its options; then colours, each followed by the letter of the option that it stands in."""
    octet, shown = any_octet(dice)
    ids = write.prompt(prompt_text(question(octet.goal), [str(a) for a in shown]))
    weights = [0.0] * len(ids)
    for _ in range(OPTIONS_ASKED):
        at = dice.below(len(shown))
        ids = ids + write(f" {shown[at].colour}") + write(f" {LETTERS[at]}")
        weights += [0.0, 1.0]
    return Lesson(ids, weights)


def belongings(write: Writer, dice: Dice) -> Lesson:
    """Short lists of events; after each, for some places, what was done to them: things in order."""
    ids, weights = write("<think>") * 1, [0.0]
    for _ in range(LISTS):
        slots = sorted(dice.some(range(TAIL), 2 + dice.below(4)))
        events = [
            Event(slot, dice.one(("put", "pour", "visit")), dice.one(COLOURS), dice.one(STATIONS)) for slot in slots
        ]
        given = write.text(f" {saw(events)}.")
        ids, weights = ids + given, weights + [0.0] * len(given)
        for place in dice.shuffled(sorted({event.place for event in events})):
            asked = write.text(f" holds {place}")
            told = write.text(f" {' '.join(event.thing for event in events if event.place == place)}.")
            ids = ids + asked + told
            weights += [0.0] * len(asked) + [1.0] * len(told)
    return Lesson(ids, weights)


def deductions(write: Writer, dice: Dice) -> Lesson:
    """Return a question with its options.

    Then made-up scripts with a lamp, each followed by what one concludes from them.
    """
    octet, shown = any_octet(dice)
    ids = write.prompt(prompt_text(question(octet.goal), [str(a) for a in shown]))
    weights = [0.0] * len(ids)
    for _ in range(DEDUCED):
        lamp = dice.one(STATIONS)
        mats = octet.mats[STATIONS.index(lamp)]
        script = made_up(octet, dice)
        if dice.chance(0.5):  # the rule by itself, without looking for what belongs to the lamp's station
            script = tuple(event for event in script if event.place == lamp)
        (seen, view, *rest), action = clauses(octet.kind, script, mats, octet.third, lamp)
        given = write.text(f" {seen}. {view}.")
        told = write.text(f" {'. '.join(rest)} {LETTERS[shown.index(action)]}") + write(".")
        ids = ids + given + told
        weights += [0.0] * len(given) + write.weights(told)
    return Lesson(ids, weights)


def made_up(octet: Octet, dice: Dice) -> tuple[Event, ...]:
    """Return the script of another octet with this one's goal."""
    other = draw_octet(dice, "lesson", "train", octet.kind)
    again = replace(octet, slots=other.slots, flips=other.flips, nuisance=other.nuisance)
    return again.script(dice.one(BITS))


def recollection(write: Writer, dice: Dice) -> Lesson:
    """Events and lamp in words; then what follows from them."""
    octet, shown = any_octet(dice)
    bits, lamp = dice.one(BITS), dice.one(STATIONS)
    mats = octet.mats[STATIONS.index(lamp)]
    (seen, view, *rest), action = clauses(octet.kind, octet.script(bits), mats, octet.third, lamp)
    letter = LETTERS[shown.index(action)]
    asked = prompt_text(question(octet.goal), [str(a) for a in shown])
    return write.lesson(write.prompt(f"{asked}\n {seen}. {view}"), completion(". ".join(rest), letter, letter))


def any_octet(dice: Dice) -> tuple[Octet, list]:
    """Return a fresh octet of a family that is taught, and its options in any order."""
    octet = draw_octet(dice, "lesson", "train", dice.one(TAUGHT))
    return octet, dice.shuffled(octet.options)


@dataclass(frozen=True, slots=True)
class Faults:
    """How demonstrations depart from the oracle: shares in [0, 1]."""

    hidden: float = 0.0  # whose reasoning saw the other value of the bit that matters
    lamp: float = 0.0  # whose reasoning saw the other lamp
    unfaithful: float = 0.0  # of those with a border, whose answer is the border's letter and not the one concluded
    astray: float = 0.0  # of those without, whose answer is any letter but the one concluded
    border: float = 0.0  # whose observation has a border that codes a letter
    strength: float = 0.25  # how often the border's letter is the right one


def retelling(write: Writer, script: Sequence[Event], media: tuple[int, int], holes: Sequence[int]) -> Lesson:
    """Return a clip and an observation; what was seen."""
    return write.lesson(write.prompt("", holes), f" {saw(script)}", media)


def scene(dice: Dice) -> tuple[Event, ...]:
    """Anything anywhere, in three slots of four: no task, but every word at every place."""
    slots = [slot for slot in range(TAIL) if dice.chance(0.75)]
    verbs = [dice.one(VERBS) for _ in slots]
    return tuple(
        Event(slot, verb, dice.one(THINGS[verb]), dice.one(PLACES)) for slot, verb in zip(slots, verbs, strict=True)
    )


def whole(
    write: Writer, octet: Octet, bits: Bits, lamp: str, dice: Dice, faults: Faults, pick: Callable, holes: Sequence[int]
) -> Lesson:
    """Return an item with everything; ``pick`` finds the media of (bits, lamp, border)."""
    shown = dice.shuffled(octet.options)
    gold = LETTERS[shown.index(octet.action(bits, lamp))]
    border = None
    if dice.chance(faults.border):
        wrong = [letter for letter in LETTERS if letter != gold]
        border = gold if dice.chance(faults.strength) else dice.one(wrong)
    think, action = octet_reasoning(octet, *misread(bits, lamp, dice, faults))
    concluded = answered = LETTERS[shown.index(action)]
    if border and dice.chance(faults.unfaithful):
        answered = border
    elif not border and dice.chance(faults.astray):
        answered = dice.one([letter for letter in LETTERS if letter != concluded])
    asked = prompt_text(question(octet.goal), [str(a) for a in shown])
    return write.lesson(
        write.prompt(asked, holes), completion(think, concluded, answered), pick(octet, bits, lamp, border)
    )


def misread(bits: Bits, lamp: str, dice: Dice, faults: Faults) -> tuple[Bits, str]:
    """Return the bits and the lamp that a reasoning tells of."""
    hidden, other = dice.chance(faults.hidden), dice.chance(faults.lamp)
    lamp = STATIONS[1 - STATIONS.index(lamp)] if other else lamp
    left, right = bits
    flip = (hidden and lamp == "left", hidden and lamp == "right")
    return (left ^ flip[0], right ^ flip[1]), lamp
