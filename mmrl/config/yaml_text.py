"""Convert YAML 1.2 to plain data and back: ``1e-6`` is a number, ``on`` and dates are text, keys are unique.

Parsers of YAML 1.1 (PyYAML), which interpret other words as numbers and truth values, get the same data from the output.
"""

from io import StringIO
from typing import Any

from ruamel.yaml import YAML, Node, ScalarNode
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import implicit_resolvers

TAG = "tag:yaml.org,2002:"
UNKNOWN = ("binary", "set", "omap", "pairs")  # no config needs these types, and JSON does not have them


class Constructor(SafeConstructor):
    """Construct text, numbers, truth values, null, lists, and mappings with text keys."""

    def construct_mapping(self, node: Node, deep: bool = False) -> Any:
        """Construct a mapping. Raises ConstructorError if a key is a list or a mapping."""
        for key, _ in node.value:
            if not isinstance(key, ScalarNode):
                raise ConstructorError(None, None, f"expected text as a key, found a {key.id}", key.start_mark)
        return super().construct_mapping(node, deep)


Constructor.add_constructor(f"{TAG}timestamp", Constructor.construct_yaml_str)
for kind in UNKNOWN:
    Constructor.add_constructor(TAG + kind, Constructor.construct_undefined)


class Representer(SafeRepresenter):
    """Represent scalars so that they mean the same in YAML 1.1 and 1.2."""

    def represent_str(self, data: str) -> Node:
        """Represent text, with quotes if one of the two versions would interpret it as another type."""
        ambiguous = any(pattern.match(data) for _, _, pattern, _ in implicit_resolvers)
        return self.represent_scalar(f"{TAG}str", data, style="'" if ambiguous else None)

    def represent_float(self, data: float) -> Node:
        """Represent a number; YAML 1.1 requires a point before the exponent."""
        node = super().represent_float(data)
        if "e" in node.value and "." not in node.value:
            node.value = node.value.replace("e", ".0e")
        return node


Representer.add_representer(str, Representer.represent_str)
Representer.add_representer(float, Representer.represent_float)


def read(text: str, where: str) -> Any:
    """Parse one YAML document to plain data. Raises ValueError with the line if it is not YAML or has a key twice."""
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = Constructor
    try:
        return reader.load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = where if mark is None else f"{where}, line {mark.line + 1}"
        raise ValueError(f"{place}: {getattr(error, 'problem', None) or error}") from error


def write(data: Any) -> str:
    """Return plain data as YAML, with keys in their order."""
    writer, out = YAML(typ="safe", pure=True), StringIO()
    writer.Representer = Representer
    writer.default_flow_style, writer.sort_base_mapping_type_on_output = False, False
    writer.width, writer.allow_unicode = 120, True
    writer.dump(data, out)
    return out.getvalue()
