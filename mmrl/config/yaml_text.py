"""YAML 1.2 to plain data and back: ``1e-6`` is a number, ``on`` and dates are text, a key stands once.

Written so that readers of YAML 1.1 (PyYAML), which take other words for numbers and truth values, read the same.
"""

from io import StringIO
from typing import Any

from ruamel.yaml import YAML, Node, ScalarNode
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import implicit_resolvers

TAG = "tag:yaml.org,2002:"
UNKNOWN = ("binary", "set", "omap", "pairs")  # no config needs them, and JSON has no such thing


class Constructor(SafeConstructor):
    """Builds text, numbers, truth values, null, lists and mappings from text to these."""

    def construct_mapping(self, node: Node, deep: bool = False) -> Any:
        """A mapping. Raises ConstructorError where a key is a list or a mapping."""
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise ConstructorError(None, None, f"expected text as a key, found a {key.id}", key.start_mark)
        return super().construct_mapping(node, deep)


Constructor.add_constructor(f"{TAG}timestamp", Constructor.construct_yaml_str)
for kind in UNKNOWN:
    Constructor.add_constructor(TAG + kind, Constructor.construct_undefined)


class Representer(SafeRepresenter):
    """Writes scalars that mean the same in YAML 1.1 and 1.2."""

    def represent_str(self, data: str) -> Node:
        """Text, in quotes where one of the two takes it for something else."""
        ambiguous = any(pattern.match(data) for _, _, pattern, _ in implicit_resolvers)
        return self.represent_scalar(f"{TAG}str", data, style="'" if ambiguous else None)

    def represent_float(self, data: float) -> Node:
        """A number; 1.1 asks for a point before the exponent."""
        node = super().represent_float(data)
        if "e" in node.value and "." not in node.value:
            node.value = node.value.replace("e", ".0e")
        return node


Representer.add_representer(str, Representer.represent_str)
Representer.add_representer(float, Representer.represent_float)


def read(text: str, where: str) -> Any:
    """The plain data of one YAML document. Raises ValueError that says where it is no YAML, or has a key twice."""
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = Constructor
    try:
        return reader.load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = where if mark is None else f"{where}, line {mark.line + 1}"
        raise ValueError(f"{place}: {getattr(error, 'problem', None) or error}") from error


def write(data: Any) -> str:
    """Plain data as YAML, keys in their order."""
    writer, out = YAML(typ="safe", pure=True), StringIO()
    writer.Representer = Representer
    writer.default_flow_style, writer.sort_base_mapping_type_on_output = False, False
    writer.width, writer.allow_unicode = 120, True
    writer.dump(data, out)
    return out.getvalue()
