"""The refusal of numbers that are not finite, before they reach the weights; the error names the examples."""

from collections.abc import Iterable, Sequence

from torch import Tensor

REMEDY = "Look at these examples, lower the learning rate or use float32"


class NonFiniteError(RuntimeError):
    """A reward, loss or gradient is not finite. The weights are those before the update."""


def all_finite(values: Iterable[Tensor]) -> bool:
    """Return True if every value is finite."""
    return all(bool(value.isfinite().all()) for value in values)


def refuse(ids: Sequence[str], step: int, what: str, remedy: str = REMEDY) -> None:
    """Raise NonFiniteError if there are ids of examples whose ``what`` is not finite."""
    if ids:
        raise NonFiniteError(
            f"step {step}: expected a finite {what}, found one that is not; examples "
            f"{', '.join(ids[:20])}. The weights are those before this update. {remedy}"
        )
