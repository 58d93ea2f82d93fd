"""Two ways to read, compared: prompts shared, and every completion with its own copy, as transformers does it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mmrl.models.attention.prefix import Prefix, held
from mmrl.models.attention.shared import NAME, untouched
from mmrl.models.reader import Reader
from mmrl.models.vision.tower import Seen
from mmrl.runtime.sharding import is_sharded
from mmrl.types import RowSlice

TIMES = 3.0  # how far the shared path may be from the truth, in the plain path's own distance to it
FLOOR = 1.0  # that distance is at least so many rounding errors of the longest log-probability: a few tokens may be near by luck
UNKNOWN = 8.0  # the same where there is no wider dtype to measure it with


class DisagreementError(RuntimeError):
    """The shared path does not read what the plain path reads."""


@torch.no_grad()
def compare(reader: Reader, prefix: Prefix, pieces: Sequence[RowSlice]) -> dict[str, float]:
    """Largest distances (nats) of the log-probabilities of both paths to the plain path in the next wider dtype.

    That dtype is float64 for products in float32, and float32 for products in bfloat16. Where there is none wider, or
    weights are sharded, the shared path is compared with the plain path itself, and rounding alone bounds their distance.
    What is wrong by less than bfloat16 rounds is seen by ``nearer``. The vision tower's features are common to all, and the
    tower looks once. Raises DisagreementError where the shared path is farther than ``TIMES`` the plain path's distance.
    """
    narrow = reader.compute or reader.dtype
    eps = torch.finfo(narrow if reader.dtype != torch.float64 else torch.float32).eps  # transformers' norms are float32
    widens = not is_sharded(reader.model) and reader.dtype != torch.float64
    with reader.whole():
        shared = together(reader, prefix, pieces)
        with untouched(reader.language.layers):
            plain = row_by_row(reader, prefix.seen, pieces)
        truth = plain
        if widens:
            with wider(reader):
                truth = row_by_row(reader, prefix.seen, pieces)
    own, found = distance(plain, truth), distance(shared, truth)
    bound = TIMES * max(own, (FLOOR if widens else UNKNOWN) * eps * float(truth.abs().max()))
    check(found, bound, pieces)
    if widens and eps > torch.finfo(reader.dtype).eps:
        check(nearer(reader, prefix, pieces, truth), bound * (torch.finfo(reader.dtype).eps / eps) ** 0.5, pieces)
    return {"distance": found, "plain_distance": own}


def nearer(reader: Reader, prefix: Prefix, pieces: Sequence[RowSlice], truth: Tensor) -> float:
    """The distance of both paths in the dtype of the weights, where products are in a narrower one.

    Rounding shrinks with the dtype, and a mistake does not: half of that way, as exponents go, parts the two.
    """
    with wider(reader, NAME + "sdpa"), held(reader.language, prefix.seen) as again:
        return distance(together(reader, again, pieces), truth)


def check(found: float, bound: float, pieces: Sequence[RowSlice]) -> None:
    """Raises DisagreementError where a distance is above its bound, or not a number."""
    if not found <= bound:
        names = ", ".join(piece.group.prompt.example.id for piece in pieces[:5])
        raise DisagreementError(
            f"model.share_prefix: expected log-probabilities within {bound:.1e} of the plain path's in a wider dtype, "
            f"found {found:.1e}, on examples {names}. This version of transformers, or this model, does something with "
            "attention that is not known here; set model.share_prefix=off, and report it"
        )


def distance(one: Tensor, other: Tensor) -> float:
    """The largest; not a number where any is not."""
    return float((one.double() - other.double()).abs().max())


def together(reader: Reader, prefix: Prefix, pieces: Sequence[RowSlice]) -> Tensor:
    """Log-probabilities by the shared path."""
    read = zip(reader.read(prefix, pieces), pieces, strict=True)
    return torch.cat([tokens.logp[piece.group.mask] for tokens, piece in read])


def row_by_row(reader: Reader, seen: Seen, pieces: Sequence[RowSlice]) -> Tensor:
    """Log-probabilities by the plain path, one completion at a time: no padding, little memory."""
    rows = [(p.index, p.group.rows(slice(r, r + 1))) for p in pieces for r in range(len(p.group))]
    return torch.cat([reader.read(seen, [RowSlice(i, row)])[0].logp[row.mask] for i, row in rows])


@contextmanager
def wider(reader: Reader, attention: str = "sdpa") -> Iterator[None]:
    """Inside, the language model computes in the next wider dtype: float32 for bfloat16 products, else float64."""
    language, compute, dtype = reader.language, reader.language.compute, reader.dtype
    parts = language.layers, reader.model.get_output_embeddings()
    language.compute = None
    try:
        if compute is None or compute == dtype:
            for part in parts:
                part.to(torch.float64)
        with untouched(language.layers, attention):
            yield
    finally:
        language.compute = compute
        for part in parts:
            part.to(dtype)
