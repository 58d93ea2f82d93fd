"""Functions that hide the differences between the supported versions of transformers; no other module depends on them."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor, nn
from transformers import Cache
from transformers.utils import ModelOutput


def cached(layers: nn.Module, cache: Cache) -> dict[str, Any]:
    """Return the keyword arguments with which a decoder's forward pass uses and extends ``cache``.

    transformers 5.24 renamed ``past_key_values`` to ``cache``; the old name gives a warning and is removed in 5.40.
    """
    named = "cache" if "cache" in inspect.signature(layers.forward).parameters else "past_key_values"
    return {named: cache, "use_cache": True}


def checkpoint_activations(model: nn.Module) -> None:
    """Enable gradient checkpointing, by the method that this version of transformers has."""
    options = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(options)
    else:
        model.gradient_checkpointing_enable(options)


def feature_levels(encoded: Any) -> list[Sequence[Tensor]]:
    """Return the levels of a vision tower's output, each a ``[v d]`` tensor per medium: the features, then those of DeepStack.

    transformers 5.17 returns a further level as one tensor for all media together.
    """
    features = list(encoded.pooler_output)
    further = getattr(encoded, "deepstack_features", None) or ()
    sizes = [len(medium) for medium in features]
    return [features, *(level.split(sizes) if isinstance(level, Tensor) else level for level in further)]


def output_values(output: ModelOutput) -> dict[str, Any]:
    """Return an output's values by name.

    transformers 5.17 sets ``pooler_output`` on outputs whose class does not declare it; iteration over them skips it.
    """
    return {name: value for name, value in vars(output).items() if value is not None}


def output_of(kind: type[ModelOutput], values: Mapping[str, Any]) -> ModelOutput:
    """Build an output from the values that ``output_values`` returned."""
    declared = {field.name for field in fields(kind)}
    output = kind(**{name: value for name, value in values.items() if name in declared})
    for name in values.keys() - declared:
        setattr(output, name, values[name])
    return output
