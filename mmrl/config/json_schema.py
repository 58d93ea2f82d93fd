"""The JSON schema of a config, with a description of every key: the docstring that stands below the field.

pydantic reads the docstrings of a dataclass's own fields. Those of fields that it inherits are added here.
"""

import ast
import inspect
import textwrap
from dataclasses import is_dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

NAME = "The name by which a config chooses this."


class DescribedSchema(GenerateJsonSchema):
    """Generates JSON schemas in which inherited fields of dataclasses are described, too."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """Return the JSON schema of a dataclass."""
        plain = super().dataclass_schema(schema)
        texts = field_docstrings(schema["cls"])
        for key, value in plain.get("properties", {}).items():
            if "description" not in value and key in texts:
                value["description"] = texts[key]
        return plain


@cache
def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a kind of config; it takes a while to make."""
    return kind.model_json_schema(schema_generator=DescribedSchema)


def field_docstrings(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass and of those that it inherits from, by the field's name."""
    texts = {"name": NAME}
    for each in reversed(kind.__mro__):
        if is_dataclass(each):
            texts |= own_docstrings(each)
    return texts


@cache
def own_docstrings(kind: type) -> dict[str, str]:
    """Return the docstrings below the fields that a class itself states; none if its source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):  # made at run time, or in a notebook
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
