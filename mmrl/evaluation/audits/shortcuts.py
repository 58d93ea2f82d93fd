"""Shortcuts: scores of one-line rules that read nothing but the options, each with a 95 % interval over clusters.

A rule above chance is a shortcut that a model can take without watching (the simplest form of TsT, 2511.04655).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmrl.evaluation.records import Item
from mmrl.evaluation.statistics import guess_rate, mean_interval
from mmrl.types import index_of, letter_at


@dataclass(frozen=True, slots=True)
class Guess:
    """A rule and its accuracy beside chance."""

    rule: str
    mean: float
    low: float
    high: float
    chance: float
    n: int

    @property
    def line(self) -> str:
        """The rule and its accuracy in words."""
        mark = "  ABOVE CHANCE" if self.low > self.chance else ""
        limits = f"[{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{self.rule}: {100 * self.mean:.1f} % {limits} of {self.n}, chance {100 * self.chance:.1f}{mark}"


def guesses(items: Sequence[Item]) -> list[Guess]:
    """Return the accuracy of every rule on the multiple-choice questions; nothing where there are none."""
    asked = [item for item in items if len(item.choices) > 1 and item.answer is not None]
    if not asked:
        return []
    places = sorted({index_of(item.gold[0]) for item in asked})
    common = Counter(text for item in asked for text in item.choices)
    rules: dict[str, Callable[[Item], int]] = {
        f"always {letter_at(place)}": lambda item, place=place: place for place in places
    }
    rules["the longest option"] = lambda item: max(range(len(item.choices)), key=lambda i: len(item.choices[i]))
    rules["the shortest option"] = lambda item: min(range(len(item.choices)), key=lambda i: len(item.choices[i]))
    rules["the option seen most often"] = lambda item: max(
        range(len(item.choices)), key=lambda i: common[item.choices[i]]
    )
    rules["the option nearest to the question's words"] = nearest
    chance, clusters = guess_rate([len(item.choices) for item in asked]), [item.cluster for item in asked]
    found = []
    for rule, choose in rules.items():
        right = [float(choose(item) == index_of(item.gold[0])) for item in asked]
        found.append(Guess(rule, sum(right) / len(right), *mean_interval(right, clusters), chance, len(right)))
    return found


def nearest(item: Item) -> int:
    """Return the option that shares most words with the question; the first of equals."""
    words = set(item.question.casefold().split())
    return max(range(len(item.choices)), key=lambda i: len(words & set(item.choices[i].casefold().split())))
