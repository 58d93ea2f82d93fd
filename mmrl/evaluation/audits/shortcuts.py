"""Shortcuts: scores of one-line rules that read nothing but the options, each with a 95 % interval over clusters.

A rule above chance is a shortcut that a model can take without watching (the simplest form of TsT, 2511.04655).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from mmrl.evaluation.records import Item
from mmrl.evaluation.statistics import guess_rate, mean_interval
from mmrl.types import index_of, letter_at


def guesses(items: Sequence[Item]) -> Iterator[str]:
    """Yield the accuracy of every rule on the multiple-choice questions, beside chance; nothing without such questions."""
    asked = [item for item in items if len(item.choices) > 1 and item.answer is not None]
    if not asked:
        return
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
    for rule, choose in rules.items():
        right = [float(choose(item) == index_of(item.gold[0])) for item in asked]
        low, high = mean_interval(right, clusters)
        shown, limits = f"{100 * sum(right) / len(right):.1f} %", f"[{100 * low:.1f}, {100 * high:.1f}]"
        mark = "  ABOVE CHANCE" if low > chance else ""
        yield f"{rule}: {shown} {limits} of {len(right)}, chance {100 * chance:.1f}{mark}"


def nearest(item: Item) -> int:
    """Return the option that shares most words with the question; the first of several equals."""
    words = set(item.question.casefold().split())
    return max(range(len(item.choices)), key=lambda i: len(words & set(item.choices[i].casefold().split())))
