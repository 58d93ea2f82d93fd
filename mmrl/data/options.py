"""Options of a question, drawn and shuffled as a function of a key.

Orders are drawn by hashes rather than by a random generator: an order is the same in every process, on every machine and in every
version of NumPy, and that of one example does not depend on the others.
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
