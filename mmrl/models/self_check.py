"""Compares two ways to read: with shared prompts, and with a copy of its prompt for each completion, as transformers does it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmrl.models.attention.prefix import Prefix, prefix_cache
from mmrl.models.attention.shared import NAME, untouched
from mmrl.models.reader import Reader
from mmrl.models.vision.tower import EncodedPrompts
from mmrl.runtime.sharding import is_sharded
from mmrl.types import RowSlice

TIMES = 3.0  # the shared path may be this many times as far from the truth as the plain path is
FLOOR = 1.0  # the plain path counts as at least this many rounding errors away: a few tokens may be near by luck
UNKNOWN = 8.0  # the same, if there is no wider dtype in which to measure the plain path's distance


class DisagreementError(RuntimeError):
    """Says that the shared path gives other log-probabilities than the plain path."""


@torch.no_grad()
def compare(reader: Reader, prefix: Prefix, row_slices: Sequence[RowSlice]) -> dict[str, float]:
    """Measures how far both paths are from the truth, which is the plain path in the next wider dtype.

    The largest distances of log-probabilities are in nats: ``distance`` that of the shared path, ``plain_distance`` of the plain.
    That dtype is float64 for products in float32, and float32 for products in bfloat16. If there is none wider, or
    weights are sharded, the plain path itself is the truth. Mistakes smaller than bfloat16's rounding are found by a second
    test, of the shared path in the dtype of the weights. All paths read the same features; the tower does not run again.
    Raises DisagreementError if the shared path is farther than ``tolerance``.
    """
    narrow = reader.compute or reader.dtype
    eps = torch.finfo(narrow if reader.dtype != torch.float64 else torch.float32).eps  # transformers' norms are float32
    widens = not is_sharded(reader.model) and reader.dtype != torch.float64
    with reader.full_parameters():
        shared = read_shared(reader, prefix, row_slices)
        with untouched(reader.layers):
            plain = row_by_row(reader, prefix.encoded, row_slices)
        truth = plain
        if widens:
            with wider(reader):
                truth = row_by_row(reader, prefix.encoded, row_slices)
    distances = {"distance": distance(shared, truth), "plain_distance": distance(plain, truth)}
    bound = tolerance(distances["plain_distance"], float(truth.abs().max()), eps, widens)
    check(distances["distance"], bound, row_slices)
    finer = torch.finfo(reader.dtype).eps
    if widens and eps > finer:
        with wider(reader, NAME + "sdpa"), prefix_cache(reader, prefix.encoded) as again:
            check(distance(read_shared(reader, again, row_slices), truth), bound * (finer / eps) ** 0.5, row_slices)
    return distances


def tolerance(plain: float, longest: float, eps: float, measured: bool) -> float:
    """Bounds the distance of the shared path from the truth, in nats.

    Both paths compute the same sums in another order, with products rounded to ``eps``. So their errors are of one size,
    and ``TIMES`` the plain path's distance ``plain`` is the bound. Two cases need a floor below that distance: with few
    tokens it may be small by luck, and if it was not ``measured``, for want of a wider dtype, it is 0. Rounding moves a
    log-probability x by about ``eps |x|``, so that the floor is ``FLOOR`` or ``UNKNOWN`` times ``eps`` times the
    ``longest`` |x|.

    For a second test in a dtype with rounding e < eps the bound is this one times sqrt(e / eps): rounding errors shrink
    by e / eps, and a mistake does not shrink at all, so the geometric mean of the two parts them.
    """
    return TIMES * max(plain, (FLOOR if measured else UNKNOWN) * eps * longest)


def check(measured: float, bound: float, row_slices: Sequence[RowSlice]) -> None:
    """Raises DisagreementError if a distance is above its bound, or not a number."""
    if not measured <= bound:
        names = ", ".join(row_slice.group.prompt.example.id for row_slice in row_slices[:5])
        raise DisagreementError(
            f"model.share_prefix: expected log-probabilities within {bound:.1e} of the plain path's in a wider dtype, "
            f"found {measured:.1e}, on examples {names}. This version of transformers, or this model, does something with "
            "attention that is not known here; set model.share_prefix=off, and report it"
        )


def distance(one: Tensor, other: Tensor) -> float:
    """Gives the largest difference; not a number if any is not."""
    return float((one.double() - other.double()).abs().max())


def read_shared(reader: Reader, prefix: Prefix, row_slices: Sequence[RowSlice]) -> Tensor:
    """Reads log-probabilities by the shared path."""
    read = zip(reader.logprobs(prefix, row_slices), row_slices, strict=True)
    return torch.cat([tokens.logprobs[row_slice.group.completion_mask] for tokens, row_slice in read])


def row_by_row(reader: Reader, encoded: EncodedPrompts, row_slices: Sequence[RowSlice]) -> Tensor:
    """Reads log-probabilities by the plain path, one completion at a time: no padding, little memory."""
    rows = [(p.index, p.group.rows(slice(r, r + 1))) for p in row_slices for r in range(len(p.group))]
    return torch.cat([reader.logprobs(encoded, [RowSlice(i, row)])[0].logprobs[row.completion_mask] for i, row in rows])


@contextmanager
def wider(reader: Reader, attention: str = "sdpa") -> Iterator[None]:
    """Lets the language model compute in the next wider dtype: float32 for bfloat16 products, else float64."""
    compute, dtype = reader.compute, reader.dtype
    parts = reader.layers, reader.model.get_output_embeddings()
    reader.compute = None
    try:
        if compute is None or compute == dtype:
            for part in parts:
                part.to(torch.float64)
        with untouched(reader.layers, attention):
            yield
    finally:
        reader.compute = compute
        for part in parts:
            part.to(dtype)
