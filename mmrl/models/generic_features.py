"""What a model of another family made of its media: several questions about a video, and one pass through the tower.

Towers differ, but in transformers a family's forward pass asks ``get_image_features`` and ``get_video_features`` of its
inner model for what the language model is given. Equal arguments get what was made the first time, to the bit. A family
without these functions encodes whenever it is asked.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from mmrl.models.vision.feature_cache import memory_of
from mmrl.runtime.files import sha256
from mmrl.runtime.memory_cache import ByteCache

ASKED = ("get_image_features", "get_video_features")
INSIDE = ("last_hidden_state", "hidden_states", "attentions")  # of a tower: the language model is not given them


def remember(model: nn.Module, memory: ByteCache) -> None:
    """Let a model whose weights stay as they are keep what it makes of media, as long as there is room."""
    inner = model.model
    for name in ASKED:
        if hasattr(inner, name):
            setattr(inner, name, remembered(getattr(inner, name), memory))


@dataclass(frozen=True, slots=True)
class Made:
    """The fields of an output, on the host."""

    kind: type[ModelOutput]
    fields: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for value in self.fields.values() for tensor in tensors(value))

    def on(self, device: torch.device) -> ModelOutput:
        """The output, to be written to by whoever likes."""
        return self.kind(**{name: moved(value, device) for name, value in self.fields.items()})


def remembered(function: Callable[..., Any], memory: ByteCache) -> Callable[..., Any]:
    """A function of media that is called once for equal arguments. It has the signature that ``generate`` reads."""

    @wraps(function)
    def once(*args: Any, **options: Any) -> Any:
        asked = (function.__name__, *args, *(part for pair in sorted(options.items()) for part in pair))
        given = tensors(asked)
        if not given or not all(map(plain, asked)):
            return function(*args, **options)
        made = memory.get(key := key_of(asked))
        if made is None:
            out = function(*args, **options)
            if not isinstance(out, ModelOutput):
                return out
            host = torch.device("cpu")
            made = Made(type(out), {name: moved(out[name], host) for name in out if name not in INSIDE})
            memory.put(key, made)
        return made.on(given[0].device)

    return once


def plain(value: Any) -> bool:
    """Whether a digest can be made of all that there is to a value."""
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, Tensor | bool | int | float | str)


def tensors(value: Any) -> list[Tensor]:
    """Those in a value, or in a list or tuple of values."""
    if isinstance(value, list | tuple):
        return [tensor for one in value for tensor in tensors(one)]
    return [value] if isinstance(value, Tensor) else []


def moved(value: Any, device: torch.device) -> Any:
    """The value with copies of its tensors, on a device."""
    if isinstance(value, list | tuple):
        return type(value)(moved(one, device) for one in value)
    return value.to(device, copy=True) if isinstance(value, Tensor) else value


def key_of(value: Any) -> str:
    """A digest of a value, bit by bit where there are tensors."""
    if isinstance(value, list | tuple):
        told = ",".join(map(key_of, value)).encode()
    elif isinstance(value, Tensor):
        told = f"{value.dtype}{tuple(value.shape)}".encode() + bytes(memory_of(value))
    else:
        told = repr(value).encode()
    return sha256(type(value).__name__, told)
