"""Configs from a file or from plain data, with overrides as text or as values."""

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, create_model

from mmrl.algorithms import CLASSES
from mmrl.algorithms.base import Algorithm
from mmrl.config.load import apply, parse, put, read_file
from mmrl.config.own_algorithm import keys_of, without_algorithm
from mmrl.config.schema import Config, ConfigError, EvalConfig, Section

Kind = TypeVar("Kind", bound=Section)
# a YAML file, what it would hold, or a config to be changed
Source = str | os.PathLike[str] | Mapping[str, Any] | Section
Overrides = Sequence[str] | Mapping[str, Any]  # "a.b=c", read as YAML; or {"a.b": value}


def load_config(source: Source, overrides: Overrides = (), *, algorithm: Algorithm | None = None) -> Config:
    """Return the config of a training run, from a YAML file, from plain data with the same keys, or from another config.

    ``overrides`` replace keys: a list of texts as on the command line, ``["optimizer.learning_rates.language_model=1e-6"]``,
    or a mapping from dotted keys to values, ``{"steps": 10}``. ``algorithm`` replaces the key `algorithm`. It is an object of a class of mmrl, or of
    your own class that inherits from `mmrl.Algorithm`. config.yaml and checkpoints record its class and its fields; to
    resume, give an equal object again. Raises ConfigError, with a line for each problem.
    """
    data, where = data_of(source, overrides)
    algorithm = algorithm or kept_algorithm(source, overrides)
    return parse(Config, data, where) if algorithm is None else with_algorithm(algorithm, data, where)


def load_eval_config(source: Source, overrides: Overrides = ()) -> EvalConfig:
    """Return the config of an evaluation, from a YAML file, plain data or another config; ``overrides`` as for `load_config`."""
    return parse(EvalConfig, *data_of(source, overrides))


def data_of(source: Source, overrides: Overrides) -> tuple[dict[str, Any], str]:
    """Return the plain data of a config, and how errors name it."""
    if isinstance(source, Mapping | Section):
        data, where = as_plain(source), "config"
    else:
        data, where = read_file(Path(source)), os.fspath(source)
    if isinstance(overrides, str):
        raise ConfigError(
            f"overrides: expected a list of texts or a mapping, found the text {overrides!r}; write [{overrides!r}]"
        )
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            check_text(key)
            put(data, key, as_plain(value), f"{key}={value}")
    else:
        for override in overrides:
            check_text(override)
            apply(data, override)
    return data, where


def check_text(override: Any) -> None:
    """Raise ConfigError for an override, or the key of one, that is no text."""
    if not isinstance(override, str):
        raise ConfigError(
            f'overrides: expected texts, "a.b=c", or a mapping, {{"a.b": value}}; found {override!r} among them'
        )


def kept_algorithm(source: Source, overrides: Overrides) -> Algorithm | None:
    """Return the algorithm of a config that was given one as an object; None if there is none or overrides change it."""
    changed = {key.partition("=")[0].split(".")[0] for key in overrides}
    if not isinstance(source, Config) or type(source.algorithm) in CLASSES or "algorithm" in changed:
        return None
    return source.algorithm


def as_plain(value: Any) -> Any:
    """Return a copy of a Python value in the form that it has in a YAML file: paths as text, sections as mappings."""
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: as_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(each) for each in value]
    if getattr(value, "ndim", None) == 0:  # a number of numpy's or torch's
        return value.item()
    return os.fspath(value) if isinstance(value, os.PathLike) else deepcopy(value)


def with_algorithm(algorithm: Algorithm, data: Mapping[str, Any], where: str) -> Config:
    """Return a config whose algorithm is given as an object; the config is checked as a whole."""
    if not isinstance(algorithm, Algorithm):
        raise ConfigError(
            f"algorithm: expected an object of a class that inherits from mmrl.Algorithm, found {algorithm!r}"
        )
    keys_of(algorithm)  # raises the error that would otherwise stop the first checkpoint
    kind = create_model("Config", __base__=Config, algorithm=(Any, Field(default_factory=lambda: algorithm)))
    found = parse(kind, without_algorithm(data), where)
    values = {name: getattr(found, name) for name in Config.model_fields}
    return Config.model_construct(_fields_set={*found.model_fields_set, "algorithm"}, **values)
