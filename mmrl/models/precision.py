"""In which numbers a model is kept, and in which it multiplies."""

from contextlib import nullcontext

import torch
from torch import nn


def dtype_of(model: nn.Module) -> torch.dtype:
    """That of the masters; sharded layers may be gathered in another."""
    return model.get_input_embeddings().weight.dtype


def autocast(model: nn.Module, compute: torch.dtype | None):
    """Matrix products in ``compute``, where that is narrower than the weights."""
    if compute is None or compute == dtype_of(model):
        return nullcontext()
    return torch.autocast(model.device.type, dtype=compute)
