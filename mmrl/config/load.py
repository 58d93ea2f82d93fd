"""Load a config from its YAML file and overrides, and write it back as text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from mmrl.config.error_messages import explain, first_causes
from mmrl.config.json_schema import schema_of
from mmrl.config.schema import ConfigError, Section
from mmrl.config.yaml_text import read, write


def load(kind: type[Section], path: Path, overrides: Sequence[str] = ()) -> Any:
    """Load a config from a YAML file and ``key.to.it=value`` overrides. Raises ConfigError."""
    data = read_file(path)
    for override in overrides:
        apply(data, override)
    return parse(kind, data, str(path))


def read_file(path: Path) -> dict[str, Any]:
    """Return the keys and values of a YAML file. Raises ConfigError if there is no file or no mapping."""
    if not path.is_file():
        raise ConfigError(f"config: expected a YAML file, found nothing at {path}")
    try:
        data = read(path.read_text(), str(path))
    except ValueError as error:
        raise ConfigError(f"{error}; expected YAML 1.2") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, found {type(data).__name__}")
    return data


def parse(kind: type[Section], data: Mapping[str, Any], where: str) -> Any:
    """Validate plain data as a config. Raises ConfigError with one line per problem; ``where`` starts each line."""
    try:
        return kind.model_validate_json(json.dumps(data, default=refuse))
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None
    except ValidationError as error:
        lines = [explain(problem, schema_of(kind)) for problem in first_causes(error.errors())]
        raise ConfigError("\n".join(f"{where}: {line}" for line in dict.fromkeys(lines))) from None


def refuse(value: Any) -> NoReturn:
    """Raise TypeError for a value that no YAML file could hold."""
    raise TypeError(f"expected values that a YAML can state, found {value!r} of type {type(value).__name__}")


def apply(data: dict[str, Any], override: str) -> None:
    """Set ``a.b.c=value`` in nested data, in place; the value is parsed as YAML."""
    key, sign, value = override.partition("=")
    if not sign or not key:
        raise ConfigError(f"override: expected key.to.it=value, found {override!r}")
    try:
        parsed = read(value, f"override {override!r}")
    except ValueError as error:
        raise ConfigError(f"{error}; expected a value in YAML, text with special characters in quotes") from None
    put(data, key, parsed, override)


def put(data: dict[str, Any], key: str, value: Any, override: str) -> None:
    """Set the key ``a.b.c`` in nested data to a value; ``override`` is how an error names it."""
    *parents, last = key.split(".")
    for parent in parents:
        place = place_in(data, parent, override)
        if isinstance(data, dict) and data.get(place) is None:
            data[place] = {}
        if not isinstance(data[place], dict | list):
            raise ConfigError(
                f"override {override!r}: expected further keys in {place!r}, found the value {data[place]!r}"
            )
        data = data[place]
    data[place_in(data, last, override)] = value


def place_in(data: dict | list, key: str, override: str) -> Any:
    """Return the key itself for a mapping, or the index that it names for a list."""
    if isinstance(data, list) and not (key.isdigit() and int(key) < len(data)):
        raise ConfigError(f"override {override!r}: expected an index from 0 to {len(data) - 1}, found {key!r}")
    return int(key) if isinstance(data, list) else key


def dump(config: Section) -> str:
    """Return the resolved config as YAML."""
    return write(config.model_dump(mode="json"))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a config for trackers: dotted names, values as text."""
    out = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = str(value)
    return out
