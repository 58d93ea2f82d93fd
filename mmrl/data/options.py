"""Draw and shuffle the options of a question as a function of a key.

Hashes decide the order, not a random generator: so the order is the same in every process, on every machine and with every version
of NumPy, and it does not depend on other examples.
"""

import hashlib
from collections.abc import Sequence


def shuffled(texts: Sequence[str], key: str) -> list[str]:
    """Return the texts in an order that the key decides."""
    return sorted(texts, key=lambda text: hashlib.sha256(f"{key}\0{text}".encode()).digest())


def drawn(answer: str, negatives: Sequence[str], n: int, key: str) -> list[str]:
    """Return the answer among ``n`` of the negatives, in an order that the key decides."""
    chosen = shuffled(negatives, f"{key}\0draw")[:n]
    return shuffled([answer, *chosen], f"{key}\0order")
