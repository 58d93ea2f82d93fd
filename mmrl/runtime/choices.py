"""Choices that a YAML makes by name: ``{name: NAME, key: value}``, where NAME is one of mmrl's or a class of a user's own.

    AnyDivergence = Annotated[Divergence, Choice("divergence", (Alpha, TotalVariation))]

The literal of the field ``name`` distinguishes mmrl's classes. A user's class, path.py:Class, has none; so mmrl makes a subclass
of it whose ``name`` is the spec, and validates, dumps and compares objects of that subclass as those of its own classes.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PydanticUserError,
    SerializationInfo,
    TypeAdapter,
    create_model,
)
from pydantic_core import CoreSchema, core_schema

from mmrl.runtime.user_code import PATTERN, UserCodeError, is_spec, load_validated

Base = TypeVar("Base")

BUILT_IN, OWN = "built-in", "own"  # the two alternatives, as the locations of validation problems name them
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # as a config's sections are
OR_YOUR_OWN = "or your own as path.py:Class"
SCHEMAS: dict[str, dict[str, Any]] = {}  # the JSON schema of each user's class that was chosen, by its spec


@dataclass(frozen=True)
class Choice:
    """Metadata of an annotated base class: a value is an object of one of ``classes``, or of a user's subclass of the base."""

    what: str  # the key, for messages
    classes: tuple[type, ...]  # each a dataclass with a literal ``name``

    def __get_pydantic_core_schema__(self, base: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        built_in = handler.generate_schema(Annotated[Union[self.classes], Discriminator("name")])  # noqa: UP007
        own = core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, base) else chosen(value, base, self.what),
            serialization=core_schema.plain_serializer_function_ser_schema(dumped, info_arg=True),
        )
        return core_schema.tagged_union_schema({BUILT_IN: built_in, OWN: own}, discriminator=alternative)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        plain = handler(schema["choices"][BUILT_IN])
        name = {"type": "string", "pattern": f"^{PATTERN}$"}
        own = {
            "description": "A class of your own, and its fields.",
            "type": "object",
            "properties": {"name": name},
            "required": ["name"],
        }
        return {**plain, "oneOf": [*plain["oneOf"], own]}


def alternative(value: Any) -> str:
    """Return the alternative to which a value belongs."""
    name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
    return OWN if is_spec(name) else BUILT_IN


def chosen(data: Mapping[str, Any], base: type, what: str) -> Any:
    """Return the object of a user's class that plain data describe. Raises ValidationError, at the spec and the key."""
    spec = data["name"]
    kind = named(user_class(spec, base, what), spec)
    try:
        SCHEMAS[spec] = adapter(kind).json_schema()
        wrapper = create_model("Chosen", __config__=STRICT, value=(kind, Field(alias=spec)))
    except PydanticUserError as error:
        first = str(error).partition("\n")[0]
        raise UserCodeError(
            f"{what} {spec!r}: expected fields that a YAML can state, found another: {first}"
        ) from error
    return wrapper.model_validate_json(json.dumps({spec: dict(data)})).value


def dumped(value: Any, info: SerializationInfo) -> dict[str, Any]:
    """Return an object of a user's class as plain data."""
    return {"name": value.name, **adapter(type(value)).dump_python(value, mode=info.mode, exclude={"name"})}


@cache
def adapter(kind: type) -> TypeAdapter:
    """Return the pydantic adapter that validates and dumps objects of a class."""
    return TypeAdapter(kind)


@cache
def named(kind: type, spec: str) -> type:
    """Return a subclass of a user's class whose ``name`` is always the spec; the same subclass each time."""
    name = ("name", Literal[spec], field(default=spec, kw_only=True))
    space = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return make_dataclass(kind.__name__, [name], bases=(kind,), namespace=space, frozen=True, eq=False, repr=False)


def user_class(spec: str, base: type[Base], what: str) -> type[Base]:
    """Return the class that a spec names: a frozen dataclass that inherits ``base`` and leaves none of its methods abstract.

    Raises UserCodeError for anything else. An error of the file passes as from ``load_validated``.
    """
    kind = load_validated(spec, what)
    expected = f"a frozen dataclass that inherits {base.__module__}.{base.__qualname__}"
    if problem := why_not(kind, base):
        raise UserCodeError(f"{what} {spec!r}: expected {expected}, found {problem}")
    return kind


def why_not(kind: Any, base: type) -> str:
    """Return why a value is no user's class of this base; an empty text if it is one."""
    if not isinstance(kind, type):
        return f"no class, but {type(kind).__name__}"
    if not issubclass(kind, base):
        return f"a class {kind.__name__} that does not"
    if "__dataclass_params__" not in vars(kind):
        return f"{kind.__name__}, which is no dataclass; put @dataclass(frozen=True, kw_only=True) above it"
    if not vars(kind)["__dataclass_params__"].frozen:
        return f"{kind.__name__}, which can be changed; write @dataclass(frozen=True, kw_only=True)"
    lacking = [*sorted(getattr(kind, "__abstractmethods__", ())), *undefined(kind, base)]
    return f"{kind.__name__} without {', '.join(lacking)}; define what is missing" if lacking else ""


def undefined(kind: type, base: type) -> list[str]:
    """Return the attributes that a base class annotates without a value, and to which a user's class gives none either."""
    stated = {each.name for each in fields(kind)}
    announced = [name for name in inspect.get_annotations(base) if name != "_"]  # which is the mark before keywords
    return [name for name in announced if name not in stated and not hasattr(kind, name)]


def required(kind: type) -> list[str]:
    """Return the fields of a dataclass that have no default."""
    return [each.name for each in fields(kind) if each.init and each.default is each.default_factory is MISSING]
