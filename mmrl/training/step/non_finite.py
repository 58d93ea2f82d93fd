"""Stop the run before a number that is not finite touches the weights, and name the examples that it came from."""

from collections.abc import Iterable, Sequence

from torch import Tensor

REMEDY = "Look at these examples, lower the learning rate or use float32"


class NonFiniteError(RuntimeError):
    """A reward, loss or gradient that is not finite. The weights are those before the update that would have been."""


def all_finite(values: Iterable[Tensor]) -> bool:
    """True if every value is finite."""
    return all(bool(value.isfinite().all()) for value in values)


def refuse(ids: Sequence[str], step: int, what: str, remedy: str = REMEDY) -> None:
    """Raises NonFiniteError if there are any."""
    if ids:
        raise NonFiniteError(
            f"step {step}: expected a finite {what}, found one that is not; examples "
            f"{', '.join(ids[:20])}. The weights are those before this update. {remedy}"
        )
