"""A feature cache for models of other families: several questions about a video need one pass through the tower.

Towers differ, but in transformers a family's forward pass calls ``get_image_features`` and ``get_video_features`` of its
inner model. Calls with equal arguments return the result of the first call, bit by bit. Families without these functions
encode in every call.
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
INSIDE = ("last_hidden_state", "hidden_states", "attentions")  # outputs of a tower that the language model does not use


def cache_features(model: nn.Module, memory: ByteCache) -> None:
    """Cache the media features of a model with fixed weights, within the limit of ``memory``."""
    inner = model.model
    for name in ASKED:
        if hasattr(inner, name):
            setattr(inner, name, cached_call(getattr(inner, name), memory))


@dataclass(frozen=True, slots=True)
class CachedOutput:
    """The fields of an output, in the host's memory."""

    kind: type[ModelOutput]
    fields: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for value in self.fields.values() for tensor in tensors(value))

    def on(self, device: torch.device) -> ModelOutput:
        """Copy the output to a device; the caller may write to it."""
        return output_of(self.kind, {name: to_device(value, device) for name, value in self.fields.items()})


def cached_call(function: Callable[..., Any], memory: ByteCache) -> Callable[..., Any]:
    """Wrap a function of media so that equal arguments call it once; its signature stays, because ``generate`` inspects it."""

    @wraps(function)
    def once(*args: Any, **options: Any) -> Any:
        call = (function.__name__, *args, *(part for pair in sorted(options.items()) for part in pair))
        inputs = tensors(call)
        if not inputs or not all(map(plain, call)):
            return function(*args, **options)
        output = memory.get(key := key_of(call))
        if output is None:
            out = function(*args, **options)
            if not isinstance(out, ModelOutput):
                return out
            host = torch.device("cpu")
            values = output_values(out).items()
            stored = {name: to_device(value, host) for name, value in values if name not in INSIDE}
            output = CachedOutput(type(out), stored)
            memory.put(key, output)
        return output.on(inputs[0].device)

    return once


def plain(value: Any) -> bool:
    """Return True if ``key_of`` supports the type of a value and of all its parts."""
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, Tensor | bool | int | float | str)


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in a value, or in a list or tuple of values."""
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in tensors(item)]
    return [value] if isinstance(value, Tensor) else []


def to_device(value: Any, device: torch.device) -> Any:
    """Copy a value's tensors to a device."""
    if isinstance(value, list | tuple):
        return type(value)(to_device(item, device) for item in value)
    return value.to(device, copy=True) if isinstance(value, Tensor) else value


def key_of(value: Any) -> str:
    """Hash a value; tensors are hashed bit by bit."""
    if isinstance(value, list | tuple):
        content = ",".join(map(key_of, value))
    elif isinstance(value, Tensor):
        return sha256(f"{type(value).__name__}{value.dtype}{tuple(value.shape)}", memory_of(value))
    else:
        content = repr(value)
    return sha256(type(value).__name__, content)
