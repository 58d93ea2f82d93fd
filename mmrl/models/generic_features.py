"""Features of a model of another family, kept: several questions about a video take one pass through its tower.

Towers differ, but in transformers a family's forward pass asks ``get_image_features`` and ``get_video_features`` of its
inner model for the features of media. Equal arguments get the result of the first call, to the bit. A family without these
functions encodes in every call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from mmrl.models.transformers_versions import output_of, output_values
from mmrl.models.vision.feature_cache import memory_of
from mmrl.runtime.files import sha256
from mmrl.runtime.memory_cache import ByteCache

ASKED = ("get_image_features", "get_video_features")
INSIDE = ("last_hidden_state", "hidden_states", "attentions")  # of a tower: the language model is not given them


def remember(model: nn.Module, memory: ByteCache) -> None:
    """Lets a model whose weights stay as they are keep features of media, as long as there is room."""
    inner = model.model
    for name in ASKED:
        if hasattr(inner, name):
            setattr(inner, name, remembered(getattr(inner, name), memory))


@dataclass(frozen=True, slots=True)
class Kept:
    """Holds the fields of an output, on the host."""

    kind: type[ModelOutput]
    fields: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for value in self.fields.values() for tensor in tensors(value))

    def on(self, device: torch.device) -> ModelOutput:
        """Copies the output to a device; the caller may write to it."""
        return output_of(self.kind, {name: to_device(value, device) for name, value in self.fields.items()})


def remembered(function: Callable[..., Any], memory: ByteCache) -> Callable[..., Any]:
    """Wraps a function of media so that equal arguments call it once; keeps its signature, which ``generate`` reads."""

    @wraps(function)
    def once(*args: Any, **options: Any) -> Any:
        asked = (function.__name__, *args, *(part for pair in sorted(options.items()) for part in pair))
        given = tensors(asked)
        if not given or not all(map(plain, asked)):
            return function(*args, **options)
        kept = memory.get(key := key_of(asked))
        if kept is None:
            out = function(*args, **options)
            if not isinstance(out, ModelOutput):
                return out
            host = torch.device("cpu")
            values = output_values(out).items()
            kept = Kept(type(out), {name: to_device(value, host) for name, value in values if name not in INSIDE})
            memory.put(key, kept)
        return kept.on(given[0].device)

    return once


def plain(value: Any) -> bool:
    """True if ``key_of`` knows the type of a value and of all its parts."""
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, Tensor | bool | int | float | str)


def tensors(value: Any) -> list[Tensor]:
    """Lists the tensors in a value, or in a list or tuple of values."""
    if isinstance(value, list | tuple):
        return [tensor for one in value for tensor in tensors(one)]
    return [value] if isinstance(value, Tensor) else []


def to_device(value: Any, device: torch.device) -> Any:
    """Copies a value's tensors to a device."""
    if isinstance(value, list | tuple):
        return type(value)(to_device(one, device) for one in value)
    return value.to(device, copy=True) if isinstance(value, Tensor) else value


def key_of(value: Any) -> str:
    """Hashes a value, tensors bit by bit."""
    if isinstance(value, list | tuple):
        content = ",".join(map(key_of, value))
    elif isinstance(value, Tensor):
        return sha256(f"{type(value).__name__}{value.dtype}{tuple(value.shape)}", memory_of(value))
    else:
        content = repr(value)
    return sha256(type(value).__name__, content)
