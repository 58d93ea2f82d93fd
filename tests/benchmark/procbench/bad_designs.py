"""Benchmarks that look sound and are not: what was tried before octets. The audits must flag each."""

from dataclasses import replace

from benchmark.procbench.items import Item, by_group, drawn
from mmrl.world.dice import Dice
from mmrl.world.script import THIRD, Event

STEPS = 8
PLANS = {  # a fixed order of steps for every task, as in recipes
    task: tuple(f"{verb} the {thing}" for verb, thing in zip(verbs.split(), things.split(), strict=True))
    for task, verbs, things in (
        ("tea", "boil fill warm add pour wait stir drink", "water kettle pot leaves water minutes cup tea"),
        ("bike", "turn loosen lift pull patch push tighten spin", "bike nut wheel tube hole tyre screw wheel"),
        ("salad", "wash cut peel grate mix press add serve", "leaves tomato carrot cheese oil lemon salt bowl"),
        ("shelf", "open sort lay join turn fix raise fill", "box parts boards sides frame back shelf rows"),
        (
            "letter",
            "take write sign fold close address stamp post",
            "paper lines name page envelope front corner letter",
        ),
        ("bread", "weigh mix knead rest shape score bake cool", "flour dough dough ball loaf crust bread slices"),
    )
}


def next_step_items(count: int, *, near: bool, seed: int = 0) -> list[Item]:
    """A sampler like SEED-Bench-R1's: a fixed plan, progress drawn, the next step is right, others of the plan are not.

    ``near``: the wrong options are the steps next to the right one in time. Each item is a group of its own.
    """
    return [next_step_item(f"item-{index}", Dice(seed, near, index), near) for index in range(count)]


def next_step_item(group: str, dice: Dice, near: bool) -> Item:
    task = dice.one(tuple(PLANS))
    plan, done = PLANS[task], 1 + dice.below(STEPS - 1)
    others = dice.shuffled([step for step in range(STEPS) if step != done])
    if near:
        others.sort(key=lambda step: abs(step - done))
    options = dice.shuffled([done, *others[:3]])
    return Item(
        group=group,
        family=task,
        question=f"what next? {task}",
        options=tuple(plan[step] for step in options),
        events=tuple(Event(step, *plan[step].split(" the "), "table") for step in range(done)),
        lamp="none",
        gold=options.index(done),
    )


def siblings(items: list[Item]) -> list[Item]:
    """The same items, grouped by task and set of options, in one order of options: what a ceiling is taken over."""
    found = []
    for item in items:
        options = tuple(sorted(item.options))
        gold = options.index(item.options[item.gold])
        found.append(replace(item, group=" ".join((item.family, *options)), options=options, gold=gold))
    return found


def quads(family: str, count: int, *, irrelevant: bool = False, seed: int = 0) -> list[Item]:
    """Both stations hide the same bit: four items where an octet has eight. ``irrelevant``: keep what does not matter."""
    groups = by_group(drawn(family, count, seed))
    items = [item for group in groups for item in (*group[:2], *group[-2:])]  # bits 00 and 11
    return items if irrelevant else [without(item, THIRD) for item in items]


def without_tail(items: list[Item]) -> list[Item]:
    """The same clips, cut before the lids close."""
    return [without(item, "lids") for item in items]


def without(item: Item, place: str) -> Item:
    """An item in whose clip nothing happens at a place."""
    return replace(item, events=tuple(event for event in item.events if event.place != place))
