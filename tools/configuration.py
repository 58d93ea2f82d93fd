"""Write docs/configuration.md, the reference of all keys, from the schemas of the configs: python tools/configuration.py"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmrl.config.json_schema import schema_of
from mmrl.config.schema import Config, EvalConfig

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
Node = Mapping[str, Any]
OWN = "or your own as path.py:Class ([extending.md](extending.md))"
INTRODUCTION = """# Configuration

Every key of a config, from the same descriptions that editors show (`configs/schema/`) and that error messages end with. This page is written by
`python tools/configuration.py`; do not edit it.

A config is one YAML 1.2 file, complete and readable alone: `1e-6` is a number, `on` is text. Unknown keys are refused with the nearest known one, an older
key with its new name ([glossary.md](glossary.md)). A key on the command line replaces that of the file: `mmrl train CONFIG steps=10
algorithm.beta=0.01 data.sets.0.limit=100 'algorithm.reference={name: ema, decay: 0.99}'`. A key without a default is required. Line 3 of each
shipped config tells editors where its schema is.

- [Training: `mmrl train`](#training-mmrl-train)
- [Evaluation: `mmrl eval run`](#evaluation-mmrl-eval-run)
- [Parts](#parts): what the keys of both refer to
"""


def page() -> str:
    """Return the whole page."""
    training, evaluation = schema_of(Config), schema_of(EvalConfig)
    parts = dict(training["$defs"]) | evaluation["$defs"]
    named = {name for name in parts if name not in ("Config", "EvalConfig")}
    sections = [
        section("Training: `mmrl train`", training, 2),
        section("Evaluation: `mmrl eval run`", evaluation, 2),
        "## Parts\n",
        *(section(heading(parts[name], name), parts[name], 3) for name in in_order(training, evaluation, named)),
    ]
    return INTRODUCTION + "\n" + "\n".join(sections)


def in_order(*roots: Any) -> Iterator[str]:
    """Yield the names of all parts in the order in which the roots, the first arguments, come to them."""
    *schemas, named = roots
    seen: list[str] = []

    def visit(node: Any, defs: Node) -> None:
        if isinstance(node, Mapping):
            if (name := reference(node)) and name not in seen:
                seen.append(name)
                visit(defs[name], defs)
            for key, value in node.items():
                if key not in ("$defs", "discriminator", "default"):
                    visit(value, defs)
        elif isinstance(node, list):
            for value in node:
                visit(value, defs)

    for schema in schemas:
        visit(schema, schema["$defs"])
    yield from (name for name in seen if name in named)


def reference(node: Node) -> str | None:
    """Return the name of the part that a node refers to, if it does."""
    return node["$ref"].rsplit("/", 1)[-1] if "$ref" in node else None


def heading(part: Node, name: str) -> str:
    """Return the heading of a part: the name by which a config chooses it, else that of its section."""
    choice = part.get("properties", {}).get("name", {})
    chosen = [choice["const"]] if "const" in choice else choice.get("enum", [])
    return " or ".join(f"`{each}`" for each in chosen) or name.removesuffix("Section")


def section(title: str, part: Node, level: int) -> str:
    """Return a part as a heading, what it is, and a table of its keys."""
    lines = [f"{'#' * level} {title}\n"]
    if summary := part.get("description", "").split("\n\n")[0]:
        lines.append(" ".join(summary.split()) + "\n")
    rows = [
        row(key, value, key in part.get("required", ()))
        for key, value in part.get("properties", {}).items()
        if not (key == "name" and ("const" in value or "enum" in value))
    ]
    if rows:
        lines += ["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def row(key: str, value: Node, required: bool) -> str:
    """Return a key as a row of a table."""
    default = "required" if required else f"`{shown(value.get('default'))}`"
    cells = [f"`{key}`", kind(value), default, " ".join(value.get("description", "").split())]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def shown(default: Any) -> str:
    """Return a default as it would stand in YAML; a mapping by its name alone, if it has one."""
    if isinstance(default, Mapping):
        return f"{{name: {default['name']}}}" if "name" in default else "{...}" if default else "{}"
    return "''" if default == "" else json.dumps(default).replace('"', "")


def kind(node: Node) -> str:
    """Return in words which values a key takes."""
    if "anyOf" in node or "oneOf" in node:
        options = node.get("anyOf") or node["oneOf"]
        named = [kind(each) for each in options if each.get("type") != "null" and is_named(each)]
        own = [OWN] if any(not is_named(each) for each in options) else []
        null = ["or null"] if any(each.get("type") == "null" for each in options) else []
        return ", ".join([*named, *own, *null])
    if name := reference(node):
        return link(name)
    if "const" in node or "enum" in node:
        return ", ".join(f"`{each}`" for each in node.get("enum", [node.get("const")]))
    if node.get("type") == "array":
        several = node.get("prefixItems", [])
        return f"list of {len(several)}: {kind(several[0])}" if several else f"list of {kind(node['items'])}"
    if node.get("type") == "object":
        return f"mapping of names to {kind(node['additionalProperties'])}"
    if "pattern" in node:
        return OWN
    return {"integer": "integer", "number": "number", "string": "text", "boolean": "`true`, `false`"}[
        node["type"]
    ] + bounds(node)


def is_named(node: Node) -> bool:
    """Return whether an option is not a class of a user's own."""
    return not (node.get("type") == "object" and "properties" in node and "$ref" not in node)


def bounds(node: Node) -> str:
    """Return the bounds of a number."""
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {node[key]:.15g}" for key, word in words.items() if key in node]
    return f" ({', '.join(found)})" if found else ""


def link(name: str) -> str:
    """Return a link to a part."""
    part = schema_of(Config)["$defs"].get(name) or schema_of(EvalConfig)["$defs"][name]
    title = heading(part, name)
    anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
    return f"[{title}](#{anchor})"


def main() -> None:
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
