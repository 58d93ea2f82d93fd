"""Config sections that choose one of several dataclasses by ``name``: the YAML builds that very object."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Literal, Union, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=False, allow_inf_nan=False)


class Section(BaseModel):
    """A part of a config: unknown keys and wrong types are refused, nothing is converted."""

    model_config = STRICT


class Named(Section):
    """The fields of one entry of a table. ``build`` makes the object; whatever that refuses, loading refuses."""

    name: str

    @model_validator(mode="after")
    def buildable(self) -> "Named":
        self.build()
        return self

    def build(self) -> Any:
        """The object that the section describes."""
        values = {key: getattr(self, key) for key in type(self).model_fields if key != "name"}
        return TABLES[type(self)](**{key: built(value) for key, value in values.items()})


def built(value: Any) -> Any:
    """A section, or a tuple of them, as the objects they describe."""
    if isinstance(value, tuple):
        return tuple(map(built, value))
    return value.build() if isinstance(value, Named) else value


TABLES: dict[type[Named], Callable[..., Any]] = {}  # section class -> constructor


def choice(table: Mapping[str, Callable[..., Any]], nested: Mapping[Any, tuple[Any, Mapping]] | None = None) -> Any:
    """The type of a config field that holds one of the table's entries, told apart by ``name``.

    A constructor is a dataclass, or one with other defaults bound by functools.partial. ``nested`` says for which field
    types, or tuples of them, another choice stands in: field type -> (that choice, its table).
    """
    sections = [section(name, constructor, nested or {}) for name, constructor in table.items()]
    return Annotated[Union[tuple(sections)], Field(discriminator="name")] if len(sections) > 1 else sections[0]  # noqa: UP007


def section(name: str, constructor: Callable[..., Any], nested: Mapping[Any, tuple[Any, Mapping]]) -> type[Named]:
    """The section class of one entry."""
    bound = constructor.keywords if isinstance(constructor, partial) else {}
    kind = constructor.func if isinstance(constructor, partial) else constructor
    hints = get_type_hints(kind)
    fields: dict[str, Any] = {"name": (Literal[name], name)}
    for f in dataclasses.fields(kind):
        annotation, default = hints[f.name], bound.get(f.name, f.default)
        for wanted, (stand_in, table) in nested.items():
            if annotation == tuple[wanted, ...]:
                annotation = tuple[stand_in, ...]
                default = tuple(described(value, table, stand_in) for value in default)
            elif annotation == wanted or annotation == wanted | None:
                annotation = stand_in | None if annotation != wanted else stand_in
                default = described(default, table, stand_in)
        fields[f.name] = (annotation, ... if default is dataclasses.MISSING else default)
    made = create_model(f"{kind.__name__}_{name}", __base__=Named, __doc__=kind.__doc__, **fields)
    TABLES[made] = constructor
    return made


def described(value: Any, table: Mapping[str, Callable[..., Any]], stand_in: Any) -> Any:
    """An object of a table as the section that describes it."""
    name = next((n for n, constructor in table.items() if constructor is type(value)), None)
    if name is None:
        return value
    chosen = next(s for s in sections_of(stand_in) if s.model_fields["name"].default == name)
    return chosen(**{f.name: getattr(value, f.name) for f in dataclasses.fields(value)})


def sections_of(chosen: Any) -> tuple[type[Named], ...]:
    """The section classes of a choice."""
    inner = get_args(chosen)[0] if get_args(chosen) else chosen
    return get_args(inner) or (inner,)
