"""The natural stratum: what to do next after some of a plan has been done, as SEED-Bench-R1 asks it.

Nothing is hidden here and no lamp shines; where nothing has been done yet there is no video. Of the four options exactly
one is a step that is next. The others are of four declared types, each as often as any other:

- done: a step that has been done;
- not_enabled: a step that something else must come before;
- wrong_object: a step's verb at its station, with a thing that the plan never does this to;
- other_station: a step's deed at the other station, where the plan does not ask for it.

Text and options are drawn first, and which of the options' steps is next only then: a reader of the goal who sees no video
rules out the last two types and is left with two or three steps that must come one after another, each as likely as any
other (41.7 % on average). Learners of words reach 38 % on text alone and 58 % with the last event (logistic regression,
2,000 items of seed 0). So it is reported apart from the octets, whose text says nothing.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from mmrl.world.dice import Dice
from mmrl.world.grammar import saw
from mmrl.world.octet import LETTERS, Action
from mmrl.world.plans import SCHEMAS, Schema, Step, before, chains, next_steps
from mmrl.world.script import COLOURS, STATIONS, TAIL, THINGS, Event, Pair

TYPES = ("done", "not_enabled", "wrong_object", "other_station")
MORE = 0.7  # probability that one more step than needed has been done, again and again
Role = tuple[int, int, tuple[str, ...]]  # steps among the options, which of them is next, types of the rest
_PAIR = ("wrong_object", "other_station")


def _block(first: int, second: int) -> tuple[Role, ...]:
    return (2, 0, _PAIR), (2, 1, _PAIR), (3, first, _PAIR[:1]), (3, second, _PAIR[1:])


# Four in a row use each type three times; twelve make each of three steps the next one equally often.
ROLES: tuple[Role, ...] = (*_block(0, 2), *_block(2, 0), *_block(1, 1))


@dataclass(frozen=True, slots=True)
class Nat:
    """One item."""

    stratum: ClassVar[str] = "nat"
    group: str  # its own alone
    split: str
    family: str  # its schema
    goal: str
    mats: tuple[Pair, Pair]  # of the left station, of the right
    third: str
    plan: tuple[Step, ...]
    done: tuple[int, ...]  # steps in the order in which they were done; none where there is no video
    slots: tuple[int, ...]  # in which they were done
    options: tuple[Action, ...]  # in the order in which validation shows them
    types: tuple[str | None, ...]  # of the options; None for the right one

    @property
    def gold(self) -> Action:
        """The only option that is next."""
        return self.options[self.types.index(None)]

    def script(self) -> tuple[Event, ...]:
        """Return what happens in the video."""
        steps = (self.plan[index] for index in self.done)
        return tuple(
            Event(slot, step.verb, step.thing, step.place) for slot, step in zip(self.slots, steps, strict=True)
        )

    def key(self) -> Hashable:
        """Return what names the video and the goal; no two items of a benchmark share it."""
        return self.family, self.goal, self.script()


def nat_reasoning(item: Nat) -> str:
    """Return the oracle's words on an item, without a letter."""
    seen = saw(item.script()) if item.done else "saw nothing"
    return f"{seen}. so {item.gold}"


def draw_nats(split: str, count: int, *, seed: int, taken: set[Hashable]) -> Iterator[Nat]:
    """``count`` items of a split, its schemas in turn, none of whose keys is in ``taken``; adds theirs to it.

    The first items of a split do not depend on how many follow. In every four the letters are balanced, too.
    """
    schemas = [schema for schema in SCHEMAS.values() if schema.held_out == (split == "L3")]
    for index in range(count):
        schema = schemas[(index + index // len(ROLES)) % len(schemas)]
        letter = Dice(seed, "nat letters", split, index // 4).shuffled(LETTERS)[index % 4]
        for attempt in range(1000):
            dice = Dice(seed, "nat", split, index, attempt)
            item = draw_nat(dice, f"{split}-nat-{index:05d}", split, schema, ROLES[index % len(ROLES)], letter)
            if item.key() not in taken:
                break
        else:
            raise ValueError(f"sizes.nat_{split}: expected at most what the plans can tell apart, found {count} items")
        taken.add(item.key())
        yield item


def draw_nat(dice: Dice, group: str, split: str, schema: Schema, role: Role, letter: str) -> Nat:
    """Return a random item of a schema whose right option has a letter."""
    s, t = dice.shuffled(STATIONS)
    names = dict(zip("abcdn", dice.some(COLOURS, 5), strict=True)) | {"s": s, "t": t}
    plan = schema.plan(names)
    count, rank, rest = role
    among = dice.one(list(chains(plan, count)))
    decoys = [(decoy(kind, plan, among, schema.colours(names), dice), kind) for kind in rest]
    gold = among[rank]
    done = steps_done(plan, gold, dice)
    types = {i: None if i == gold else "done" if i in done else "not_enabled" for i in among}
    wrong = [(plan[i].action, types[i]) for i in among if i != gold] + decoys
    several = dice.shuffled(wrong)
    several.insert(LETTERS.index(letter), (plan[gold].action, None))
    pairs = {s: (names["a"], names["b"]), t: (names["c"], names["d"])}
    return Nat(
        group=group,
        split=split,
        family=schema.name,
        goal=schema.goal(names),
        mats=(pairs["left"], pairs["right"]),
        third=names["n"],
        plan=plan,
        done=done,
        slots=tuple(sorted(dice.some(range(TAIL), len(done)))),
        options=tuple(action for action, _ in several),
        types=tuple(kind for _, kind in several),
    )


def decoy(kind: str, plan: Sequence[Step], among: Sequence[int], named: Sequence[str], dice: Dice) -> Action:
    """Return an action that is no step of the plan, made of one of some steps if it can be, else of any other."""
    make = wrong_objects if kind == "wrong_object" else other_stations
    for steps in ([plan[index] for index in among], plan):
        several = [each for step in steps for each in make(step, plan, named)]
        if several:
            return dice.one(several)
    raise AssertionError(f"{kind}: no step of {plan} can be got wrong")


def wrong_objects(step: Step, plan: Sequence[Step], named: Sequence[str]) -> list[Action]:
    """Return the step with things that the plan does this to nowhere, of the goal's colours if there are such."""
    used = {other.thing for other in plan if other.verb == step.verb}
    things = [thing for thing in THINGS[step.verb] if thing not in used]
    return [Action(step.place, step.verb, thing) for thing in ([t for t in things if t in named] or things)]


def other_stations(step: Step, plan: Sequence[Step], named: Sequence[str]) -> list[Action]:
    """Return the step at the other station, where the plan does not ask for it."""
    there = Action(STATIONS[1 - STATIONS.index(step.place)], step.verb, step.thing)
    return [] if there in [other.action for other in plan] else [there]


def steps_done(plan: Sequence[Step], gold: int, dice: Dice) -> tuple[int, ...]:
    """Return steps in an order in which they can be done, after which a step is next."""
    wanted = set(before(plan, gold))
    while (able := [i for i in next_steps(plan, wanted) if i != gold]) and dice.chance(MORE):
        wanted.add(dice.one(able))
    done: list[int] = []
    while len(done) < len(wanted):
        done.append(dice.one([i for i in next_steps(plan, done) if i in wanted]))
    return tuple(done)
