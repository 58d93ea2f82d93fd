"""Choices by name in a YAML, ``{name: NAME, key: value}``: NAME is the name of one of mmrl's classes, or your own path.py:Class.

    AnyDivergence = Annotated[Divergence, Choice("divergence", (Alpha, TotalVariation))]

The literals of the field ``name`` distinguish mmrl's classes. A user's class has no such literal; so mmrl derives a subclass whose
``name`` is the path, and validates, dumps and compares it as it does its own classes.
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
    """Metadata for an annotated base class: values are objects of one of ``classes``, or of a user's subclass of the base."""

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
            "description": "Your own class and its fields.",
            "type": "object",
            "properties": {"name": name},
            "required": ["name"],
        }
        return {**plain, "oneOf": [*plain["oneOf"], own]}


def alternative(value: Any) -> str:
    """Return the alternative that a value belongs to, BUILT_IN or OWN."""
    name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
    return OWN if is_spec(name) else BUILT_IN


def chosen(data: Mapping[str, Any], base: type, what: str) -> Any:
    """Return an object of a user's class from plain data. Raises ValidationError with the spec and the key as location."""
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
    """Return pydantic's adapter, which validates and dumps objects of a class."""
    return TypeAdapter(kind)


@cache
def named(kind: type, spec: str) -> type:
    """Return a subclass of a user's class whose ``name`` is always the spec; the same subclass each time."""
    name = ("name", Literal[spec], field(default=spec, kw_only=True))
    space = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return make_dataclass(kind.__name__, [name], bases=(kind,), namespace=space, frozen=True, eq=False, repr=False)


def user_class(spec: str, base: type[Base], what: str) -> type[Base]:
    """Return the class that a spec names: a frozen dataclass that inherits ``base`` and defines all its abstract methods.

    Raises UserCodeError for anything else. An error of the file passes as from ``load_validated``.
    """
    kind = load_validated(spec, what)
    expected = f"a frozen dataclass that inherits {base.__module__}.{base.__qualname__}"
    if problem := class_problem(kind, base):
        raise UserCodeError(f"{what} {spec!r}: expected {expected}, found {problem}")
    return kind


def class_problem(kind: Any, base: type) -> str:
    """Return why an object is no valid user's class, or an empty string if it is one."""
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
    """Return the annotations of a base class for which a user's class defines neither a field nor a value."""
    stated = {each.name for each in fields(kind)}
    announced = [name for name in inspect.get_annotations(base) if name != "_"]  # "_" marks keyword-only fields
    return [name for name in announced if name not in stated and not hasattr(kind, name)]


def required(kind: type) -> list[str]:
    """Return the fields of a dataclass that have no default."""
    return [each.name for each in fields(kind) if each.init and each.default is each.default_factory is MISSING]
