"""docs/architecture.md draws the rooms and the arrows of tests/test_arrows.py; where it does not, the failure shows the lines to paste."""

import re
from collections.abc import Mapping

from tests.test_arrows import ARROWS
from tests.test_docs import ROOT, unlike_the_trainer

PAGE = (ROOT / "docs" / "architecture.md").read_text()
GRAPH = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
ROW = re.compile(r"^\| `([\w/]+)` \| (\d+) \| ([^|]*) \|$", re.MULTILINE)
TABLE: Mapping[str, frozenset[str]] = {room: frozenset(below.split()) for room, below in ARROWS.items()}


def reachable(room: str) -> frozenset[str]:
    """Return all rooms that a room imports, directly or through others."""
    return TABLE[room].union(*map(reachable, TABLE[room]))


def necessary(room: str) -> frozenset[str]:
    """Return the rooms that a room imports and that no other room which it imports leads to."""
    return TABLE[room] - frozenset().union(*map(reachable, TABLE[room]))


def floor(room: str) -> int:
    """Return 0 for a room that imports none, else one more than the highest floor of what it imports."""
    return 1 + max(map(floor, TABLE[room]), default=-1)


def graph() -> str:
    """Return the drawing: an arrow from each room to what it imports, without those that follow from others."""
    arrows = [f"  {name(room)} --> {name(below)}" for room in TABLE for below in sorted(necessary(room))]
    labels = [f'  {name(room)}["{room}"]' for room in TABLE if name(room) != room]
    return "\n".join(["graph TD", *labels, *arrows, ""])


def name(room: str) -> str:
    """Return a room's name as mermaid takes it."""
    return room.strip("_").replace("/", "_")


def rows() -> list[tuple[str, str, str]]:
    """Return the table's rows, the highest floor first: room, floor, and all that it imports."""
    ordered = sorted(TABLE, key=lambda room: (-floor(room), room))
    return [(room, str(floor(room)), ", ".join(sorted(TABLE[room])) or "nothing") for room in ordered]


def test_the_drawing_is_the_table_of_arrows():
    assert GRAPH.findall(PAGE) == [graph()]


def test_the_table_of_imports_is_the_table_of_arrows():
    expected = "\n".join(f"| `{room}` | {level} | {below} |" for room, level, below in rows())
    assert "\n".join(match[0] for match in ROW.finditer(PAGE)) == expected


def test_an_arrow_that_follows_from_others_is_not_drawn():
    """models imports data, and data imports runtime: so models to runtime is in the table and not in the drawing."""
    assert "runtime" in TABLE["models"]
    assert "runtime" not in necessary("models")
    assert reachable("models") == necessary("models").union(*map(reachable, necessary("models")))


def test_the_page_shows_the_step_as_it_is():
    assert unlike_the_trainer(PAGE.split("## The step")[1].split("\n## ")[0]) == []
