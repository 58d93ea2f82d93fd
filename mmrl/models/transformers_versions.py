"""Bridges differences between the supported versions of transformers; no other module knows of them."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor, nn
from transformers import Cache
from transformers.utils import ModelOutput


def cached(layers: nn.Module, cache: Cache) -> dict[str, Any]:
    """Names the arguments with which a decoder's forward pass reads and extends the keys and values of ``cache``.

    5.24 renamed ``past_key_values`` to ``cache``; the old name warns there and goes with 5.40.
    """
    named = "cache" if "cache" in inspect.signature(layers.forward).parameters else "past_key_values"
    return {named: cache, "use_cache": True}


def checkpoint_activations(model: nn.Module) -> None:
    """Turns gradient checkpointing on, by the name that this version of transformers has for it."""
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(options)
    else:
        model.gradient_checkpointing_enable(options)


def feature_levels(encoded: Any) -> list[Sequence[Tensor]]:
    """Lists the levels of a vision tower's output, ``[v d]`` for each medium: its features, then those of DeepStack, if there are any.

    5.17 gives a further level as one tensor of all media together.
    """
    features = list(encoded.pooler_output)
    further = getattr(encoded, "deepstack_features", None) or ()
    sizes = [len(one) for one in features]
    return [features, *(level.split(sizes) if isinstance(level, Tensor) else level for level in further)]


def output_values(output: ModelOutput) -> dict[str, Any]:
    """Maps the names of an output's values to them.

    5.17 sets ``pooler_output`` as an attribute of outputs whose class declares none; iteration over them passes over it.
    """
    return {name: value for name, value in vars(output).items() if value is not None}


def output_of(kind: type[ModelOutput], values: Mapping[str, Any]) -> ModelOutput:
    """Makes an output of the values that ``output_values`` gave."""
    declared = {field.name for field in fields(kind)}
    output = kind(**{name: value for name, value in values.items() if name in declared})
    for name in values.keys() - declared:
        setattr(output, name, values[name])
    return output
