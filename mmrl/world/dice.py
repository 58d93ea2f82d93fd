"""Random draws that are the same on every machine and in every version.

Python promises for ``random.Random`` that a seed's ``random()`` never changes; nothing else of it, and nothing of
numpy's generators, is promised, so everything here is made of ``random()`` alone.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A stream of draws of its own for every name, independent of what was drawn from others."""

    def __init__(self, *names: object) -> None:
        self._random = random.Random("/".join(map(str, names))).random

    def below(self, n: int) -> int:
        """Return a number in [0, n)."""
        return int(self._random() * n)

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return self._random() < p

    def between(self, low: float, high: float) -> float:
        """Return a real number in [low, high)."""
        return low + (high - low) * self._random()

    def one(self, several: Sequence[T]) -> T:
        """One of several, all equally likely."""
        return several[self.below(len(several))]

    def some(self, several: Sequence[T], n: int) -> list[T]:
        """``n`` of several, no two the same, in random order."""
        left = list(several)
        return [left.pop(self.below(len(left))) for _ in range(n)]

    def shuffled(self, several: Sequence[T]) -> list[T]:
        """Return all of them in random order."""
        return self.some(several, len(several))
