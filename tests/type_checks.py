"""The type checker of the tests: beartype, to which an int is a float too, as it is to Python's own rules."""

import random

from beartype import BeartypeConf, beartype
from beartype._check.code import codemain

codemain.getrandbits = random.Random(
    0
).getrandbits  # it draws which item of a list to look at; not from our random state

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
