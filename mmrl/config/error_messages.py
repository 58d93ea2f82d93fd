"""Convert pydantic's validation problems to messages with where, expected, found."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmrl.config import renamed
from mmrl.runtime.choices import BUILT_IN, OR_YOUR_OWN, OWN, SCHEMAS


def explain(problem: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the message of a validation problem: where, expected, found."""
    found, (path, node) = problem.get("input"), walk(problem["loc"], schema)
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        if path in renamed.KEYS:
            return f"no key {path!r} any more; it is now {renamed.KEYS[path]}"
        known = sorted(walk(problem["loc"][:-1], schema)[1].get("properties", {}))
        return f"no key {path!r}{nearest(str(problem['loc'][-1]), known)} (known: {', '.join(known)})"
    meaning = described(problem["loc"], schema)
    if problem["type"] == "missing":
        return f"{path}: expected a value, found none{meaning}"
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return placed_own(message, path, node) if problem["loc"][-2:-1] == (OWN,) else placed(message, path)
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        found = repr(problem["ctx"]["tag"]) if "tag" in problem["ctx"] else "none"
        now = renamed.CHOICES.get((path, problem["ctx"].get("tag")))
        hint = f"; it is now {now}" if now else ""
        own = f", {OR_YOUR_OWN}" if is_open(node) else ""
        return f"{path}.name: expected one of {', '.join(node['discriminator']['mapping'])}{own}, found {found}{hint}"
    if problem["type"] == "too_short":
        least = f"{path}: expected at least {problem['ctx']['min_length']}"
        return f"{least}, found {problem['ctx']['actual_length']}{meaning}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    now = renamed.VALUES.get((path, found)) if isinstance(found, str | bool) else None
    hint = f"; it is now {now}" if now else ""
    return f"{path}: {message.replace('input should be', 'expected')}, found {found!r}{hint}{meaning}"


def nearest(key: str, known: Sequence[str]) -> str:
    """Return a hint at the key that was meant: the nearest known one, or what another library's key is called here."""
    near = difflib.get_close_matches(key, known, n=1)
    if key in renamed.ELSEWHERE and not near:
        return f"; it is {renamed.ELSEWHERE[key]} here"
    return f"; did you mean {near[0]!r}?" if near else ""


def described(place: Sequence[Any], schema: Mapping[str, Any]) -> str:
    """Return the first clause of a key's description in brackets, as the end of a message; nothing for an item of a list."""
    if not place:  # a problem of the whole config
        return ""
    properties = walk(place[:-1], schema)[1].get("properties", {})
    text = properties.get(place[-1], {}).get("description", "")
    clause = re.split(r"[;.] |\.$", text)[0]
    return f" ({clause})" if clause else ""


def placed(message: str, path: str) -> str:
    """Add the path to a dataclass's message, which begins with its own key but does not have the path to it."""
    parent, _, name = path.rpartition(".")
    if name.isdigit():  # an item of a list
        return f"{path}: {message}"
    return f"{parent}.{message}" if parent and message.startswith((f"{name}.", f"{name}:")) else message


def placed_own(message: str, path: str, node: Mapping[str, Any]) -> str:
    """Add the path to the message of a user's class, which may begin with a field or with any other word."""
    if message.partition(":")[0] in node.get("properties", {}):
        return f"{path}.{message}"
    known = placed(message, path)
    return known if known.startswith(path) else f"{path}: {message}"


def is_open(node: Mapping[str, Any]) -> bool:
    """Return True if a choice also accepts a user's class."""
    return any("$ref" not in option for option in node["oneOf"])


def first_causes(problems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the problems without those of a list that is too short only because an item of it has a problem."""
    places = [problem["loc"] for problem in problems]
    return [
        p for p in problems if p["type"] != "too_short" or not any(q[: len(p["loc"])] == p["loc"] != q for q in places)
    ]


def walk(place: Sequence[Any], schema: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return a location as the dotted path of the file's keys, and the schema at that path.

    A location also contains the chosen section of a union, which is not a key of the file. Below a user's class, the schema is
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
    """Follow a schema's references; for a value that may be null, return the schema of the other alternative."""
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        else:
            node = next(option for option in node["anyOf"] if option.get("type") != "null")
    return node
