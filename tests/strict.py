"""The type checker of the tests: beartype, to which an int is a float too, as it is to Python's own rules."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
