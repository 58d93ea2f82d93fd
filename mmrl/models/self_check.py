"""Compare log-probs with shared prompts against transformers' plain path, with a copy of the prompt for each completion."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmrl.models.attention.prefix import Prefix, prefix_cache
from mmrl.models.attention.shared import NAME, original_attention
from mmrl.models.reader import Reader
from mmrl.models.vision.tower import EncodedPrompts
from mmrl.runtime.sharding import is_sharded
from mmrl.types import RowSlice

TIMES = 3.0  # the error of the shared path may be this many times the error of the plain path
# The plain path's error counts as at least this many rounding errors: on few tokens it may be smaller by luck. At 1.0 one of six
# seeds of a run with two short completions was refused, whose shared path was 3.6 rounding errors off.
FLOOR = 4.0
UNKNOWN = 8.0  # the same floor, if no wider dtype exists that measures the plain path's error


class DisagreementError(RuntimeError):
    """The shared path computes other log-probabilities than the plain path."""


@torch.no_grad()
def compare(reader: Reader, prefix: Prefix, row_slices: Sequence[RowSlice]) -> dict[str, float]:
    """Measure the errors of both paths against the truth, which is the plain path in the next wider dtype.

    Return the largest differences of log-probabilities, in nats: ``distance`` of the shared path, ``plain_distance`` of the
    plain path. The wider dtype is float64 for float32 products, and float32 for bfloat16 products. If no wider dtype exists, or
    if weights are sharded, the plain path itself is the truth. A second test, of the shared path in the dtype of the weights,
    finds mistakes that are smaller than bfloat16's rounding. All paths use the same features; the tower does not run again.
    Raises DisagreementError if the shared path's error is above ``tolerance``.
    """
    narrow = reader.compute or reader.dtype
    eps = torch.finfo(narrow if reader.dtype != torch.float64 else torch.float32).eps  # transformers' norms are float32
    widens = not is_sharded(reader.model) and reader.dtype != torch.float64
    with reader.full_parameters():
        shared = shared_logprobs(reader, prefix, row_slices)
        with original_attention(reader.layers):
            plain = plain_logprobs(reader, prefix.encoded, row_slices)
        truth = plain
        if widens:
            with wider(reader):
                truth = plain_logprobs(reader, prefix.encoded, row_slices)
    distances = {"distance": distance(shared, truth), "plain_distance": distance(plain, truth)}
    bound = tolerance(distances["plain_distance"], float(truth.abs().max()), eps, widens)
    check(distances["distance"], bound, row_slices)
    finer = torch.finfo(reader.dtype).eps
    if widens and eps > finer:
        with wider(reader, NAME + "sdpa"), prefix_cache(reader, prefix.encoded) as again:
            check(distance(shared_logprobs(reader, again, row_slices), truth), bound * (finer / eps) ** 0.5, row_slices)
    return distances


def tolerance(plain: float, longest: float, eps: float, measured: bool) -> float:
    """Return the largest error that the shared path may have, in nats.

    Both paths compute the same sums in a different order, with products rounded to ``eps``. So their errors have the same
    size, and the bound is ``TIMES`` the plain path's error ``plain``. That error needs a floor in two cases: on few tokens
    it may be small by luck, and without a wider dtype it was not ``measured`` and is 0. Rounding changes a log-probability
    x by about ``eps |x|``, so the floor is ``FLOOR`` or ``UNKNOWN`` times ``eps`` times the ``longest`` |x|.

    For the second test, in a dtype with rounding e < eps, the bound is this one times sqrt(e / eps): rounding errors shrink
    by e / eps and mistakes do not shrink, so the geometric mean separates the two.
    """
    return TIMES * max(plain, (FLOOR if measured else UNKNOWN) * eps * longest)


def check(measured: float, bound: float, row_slices: Sequence[RowSlice]) -> None:
    """Raise DisagreementError if an error is above its bound, or not a number."""
    if not measured <= bound:
        names = ", ".join(row_slice.group.prompt.example.id for row_slice in row_slices[:5])
        raise DisagreementError(
            f"model.share_prefix: expected log-probabilities within {bound:.1e} of the plain path's in a wider dtype, "
            f"found {measured:.1e}, on examples {names}. This version of transformers, or this model, does something with "
            "attention that is not known here; set model.share_prefix=off, and report it"
        )


def distance(one: Tensor, other: Tensor) -> float:
    """Return the largest absolute difference, or NaN if any difference is NaN."""
    return float((one.double() - other.double()).abs().max())


def shared_logprobs(reader: Reader, prefix: Prefix, row_slices: Sequence[RowSlice]) -> Tensor:
    """Compute the completions' log-probabilities by the shared path."""
    pairs = zip(reader.logprobs(prefix, row_slices), row_slices, strict=True)
    return torch.cat([tokens.logprobs[row_slice.group.completion_mask] for tokens, row_slice in pairs])


def plain_logprobs(reader: Reader, encoded: EncodedPrompts, row_slices: Sequence[RowSlice]) -> Tensor:
    """Compute the completions' log-probabilities by the plain path, one at a time: no padding, little memory."""
    rows = [(p.index, p.group.rows(slice(r, r + 1))) for p in row_slices for r in range(len(p.group))]
    return torch.cat([reader.logprobs(encoded, [RowSlice(i, row)])[0].logprobs[row.completion_mask] for i, row in rows])


@contextmanager
def wider(reader: Reader, attention: str = "sdpa") -> Iterator[None]:
    """Compute in the next wider dtype inside the block: float32 for bfloat16 products, else float64."""
    compute, dtype = reader.compute, reader.dtype
    parts = reader.layers, reader.model.get_output_embeddings()
    reader.compute = None
    try:
        if compute is None or compute == dtype:
            for part in parts:
                part.to(torch.float64)
        with original_attention(reader.layers, attention):
            yield
    finally:
        reader.compute = compute
        for part in parts:
            part.to(dtype)
