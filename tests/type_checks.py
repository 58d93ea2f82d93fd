"""The type checker of the tests: beartype, to which an int is a float too, as it is to Python's own rules."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from beartype import BeartypeConf, beartype
from beartype._check.code import codemain
from jaxtyping import config

codemain.getrandbits = random.Random(
    0
).getrandbits  # it draws which item of a list to look at; not from our random state

check = beartype(conf=BeartypeConf(is_pep484_tower=True))


@contextmanager
def off() -> Iterator[None]:
    """Leaves shapes unchecked, where thousands of calls repeat those of a call that was checked."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)
