"""An algorithm that a user gives as an object: how config.yaml and checkpoints record it."""

import inspect
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from mmrl.algorithms.base import Algorithm


def keys_of(algorithm: Algorithm) -> dict[str, Any]:
    """Return an algorithm as the keys of a config: as its name the file and the class, then its fields.

    A run is resumed with an object of the same class and the same fields. Raises ValueError for a field that JSON cannot hold.
    """
    values = {each.name: getattr(algorithm, each.name) for each in fields(algorithm) if each.name != "name"}
    return {"name": place_of(type(algorithm))} | {name: plain(name, value) for name, value in values.items()}


def place_of(kind: type) -> str:
    """Return where a class is: path.py:Class, relative to the current directory where it lies below it, else module:Class.

    The second is for classes without a file, as those of a notebook.
    """
    try:
        path = Path(inspect.getfile(kind)).resolve()
    except (TypeError, OSError):
        return f"{kind.__module__}:{kind.__qualname__}"
    here = Path.cwd()
    shown = os.fspath(path.relative_to(here) if path.is_relative_to(here) else path)
    return f"{shown}:{kind.__qualname__}"


def plain(name: str, value: Any) -> Any:
    """Return the value of a field as JSON has it; a record within it is written with all its fields."""
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise ValueError(
            f"algorithm.{name}: expected numbers, text, lists, mappings or dataclasses of these, as config.yaml and checkpoints "
            f"record them; found {type(value).__name__}. Keep it out of the fields: make it a method, or a constant of the class"
        ) from None


def without_algorithm(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's data without the algorithm that an object replaces."""
    return {key: value for key, value in data.items() if key != "algorithm"}
