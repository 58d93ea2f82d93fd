"""What a config's validation says, in our words: where, expected, found."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from mmrl.config import renamed
from mmrl.runtime.choices import BUILT_IN, OR_YOUR_OWN, OWN, SCHEMAS


def explain(problem: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A validation problem in our words: where, expected, found."""
    found, (path, node) = problem.get("input"), walk(problem["loc"], schema)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        if path in renamed.KEYS:
            return f"no key {path!r} any more; it is now {renamed.KEYS[path]}"
        known = sorted(walk(problem["loc"][:-1], schema)[1].get("properties", {}))
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"no key {path!r}{hint} (known: {', '.join(known)})"
    if problem["type"] == "missing":
        return f"{path}: expected a value, found none"
    if problem["type"] == "value_error":
        said = problem["msg"].removeprefix("Value error, ")
        return placed_own(said, path, node) if problem["loc"][-2:-1] == (OWN,) else placed(said, path)
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        found = repr(problem["ctx"]["tag"]) if "tag" in problem["ctx"] else "none"
        now = renamed.CHOICES.get((path, problem["ctx"].get("tag")))
        hint = f"; it is now {now}" if now else ""
        own = f", {OR_YOUR_OWN}" if is_open(node) else ""
        return f"{path}.name: expected one of {', '.join(node['discriminator']['mapping'])}{own}, found {found}{hint}"
    if problem["type"] == "too_short":
        return f"{path}: expected at least {problem['ctx']['min_length']}, found {problem['ctx']['actual_length']}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    now = renamed.VALUES.get((path, found)) if isinstance(found, str | bool) else None
    hint = f"; it is now {now}" if now else ""
    return f"{path}: {message.replace('input should be', 'expected')}, found {found!r}{hint}"


def placed(message: str, path: str) -> str:
    """Places what a dataclass says of its fields: it knows the name of its own key, but not where in the file that stands."""
    parent, _, name = path.rpartition(".")
    if name.isdigit():  # one of several
        return f"{path}: {message}"
    return f"{parent}.{message}" if parent and message.startswith((f"{name}.", f"{name}:")) else message


def placed_own(message: str, path: str, node: Mapping[str, Any]) -> str:
    """Places what a user's class says of its fields; it need not know the name of its own key either."""
    if message.partition(":")[0] in node.get("properties", {}):
        return f"{path}.{message}"
    known = placed(message, path)
    return known if known.startswith(path) else f"{path}: {message}"


def is_open(node: Mapping[str, Any]) -> bool:
    """Whether a choice takes a class of a user's own, too."""
    return any("$ref" not in one for one in node["oneOf"])


def first_causes(problems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Problems without those that say that a list is too short because an item of it is a problem."""
    places = [problem["loc"] for problem in problems]
    return [
        p for p in problems if p["type"] != "too_short" or not any(q[: len(p["loc"])] == p["loc"] != q for q in places)
    ]


def walk(place: Sequence[Any], schema: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """A location as the dotted path of the file's keys, and the schema of what stands there.

    A location also names the section that was chosen in a union, which is no key of the file. Below a user's class the schema is
    that of the class.
    """
    path, node, chosen = [], resolve(schema, schema), None
    for part in place:
        if "discriminator" in node and part in (BUILT_IN, OWN):
            chosen = part
            continue
        if chosen == OWN:
            node = schema = SCHEMAS[part]
        elif "discriminator" in node and part in node["discriminator"]["mapping"]:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        else:
            path.append(str(part))
            inside = "items" if isinstance(part, int) else "additionalProperties"
            node = node.get("properties", {}).get(part) or node.get(inside) or {}
        node, chosen = resolve(node, schema), None
    return ".".join(path), node


def resolve(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references; of something that may also be null, the something."""
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        else:
            node = next(option for option in node["anyOf"] if option.get("type") != "null")
    return node
