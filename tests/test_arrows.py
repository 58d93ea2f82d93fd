"""Which room may import which. A new arrow is a decision: add it here and argue it in the commit."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mmrl"

ARROWS = {  # room -> the rooms that it imports: all of them and no others
    "types": "",
    "runtime": "",
    "functional": "runtime types",  # a config may choose a user's divergence or factor
    "algorithms": "functional types",
    "data": "runtime types",
    "rewards": "runtime types",
    "models": "data runtime types",
    "rollout": "models types",
    "world": "data rewards runtime",
    "config": "algorithms data models rewards runtime types world",
    "training/step": "algorithms functional runtime types",  # blind to algorithms' names, to models and to files
    "evaluation/core": "runtime types",  # usable without torch and without a model
    "evaluation": "config data evaluation/core models rewards rollout runtime types world",
    "training": "algorithms config data evaluation evaluation/core models rewards rollout runtime training/step types",
    "report": "evaluation evaluation/core rewards runtime types",
    "cli": "config data evaluation evaluation/core models report rewards runtime training types world",
    "__main__": "cli",
    "__init__": "algorithms config data evaluation evaluation/core functional models runtime training types",
}
INNER = {  # part of a room -> its modules and folders
    "training/step": ("step",),
    "evaluation/core": ("records", "store", "plan", "runner", "scoring", "summary", "run_folder", "statistics", "__init__"),
}  # fmt: skip
NEVER_AT_ONCE = {
    "flash_attn",
    "vllm",
    "peft",
    "wandb",
    "datasets",
    "openai",
    "pysubs2",
}  # extras: imported where they are used
FACES = {"statistics", "targets"}  # folders whose __init__ shows their names to others
MOST_ENTRIES = 16  # in the package's folder: among so many a newcomer finds a thing


def room_of(*inner: str) -> str:
    """The room of a module, by the names that lead to it from the package."""
    for part, names in INNER.items():
        room = part.partition("/")[0]
        if inner[0] == room and (inner[1] if len(inner) > 1 else "__init__") in names:
            return part
    return inner[0]


def modules(room: str) -> list[Path]:
    """The modules of a room."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if room_of(*names_of(path)) == room]


def names_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(PACKAGE).with_suffix("").parts


def imported(tree: ast.AST) -> Iterator[str]:
    """The full names of all that is imported anywhere in some code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_once(tree: ast.Module) -> Iterator[str]:
    """The same for what is imported when the module is: not in functions."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from imported(node)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_of(name: str) -> tuple[str, ...]:
    """The names that lead from the package to the module that a name is, or is in."""
    inner = tuple(name.split(".")[1:])
    while inner and not (PACKAGE.joinpath(*inner).is_dir() or PACKAGE.joinpath(*inner).with_suffix(".py").is_file()):
        inner = inner[:-1]
    return inner or ("__init__",)


def rooms_imported(path: Path) -> set[str]:
    """The rooms of mmrl that a module imports; the version is everybody's."""
    return {room_of(*module_of(name)) for name in imported(parsed(path)) if name.split(".")[0] == "mmrl"} - {"__init__"}


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_what_it_may(room):
    found = set().union(*map(rooms_imported, modules(room)))
    assert found - {room} == set(ARROWS[room].split())


def test_every_module_is_in_a_room_and_a_newcomer_finds_it():
    assert {room_of(*names_of(path)) for path in PACKAGE.rglob("*.py")} == set(ARROWS)
    entries = [
        path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")
    ]  # which marks the package as typed
    assert len(entries) <= MOST_ENTRIES


def test_the_arrows_make_no_circle():
    below: set[str] = set()
    waiting = {room: set(allowed.split()) for room, allowed in ARROWS.items()}
    while ready := [room for room, allowed in waiting.items() if allowed <= below]:
        below |= set(ready)
        waiting = {room: allowed for room, allowed in waiting.items() if room not in ready}
    assert not waiting


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_extras_are_imported_where_they_are_used(path):
    tree = parsed(path)
    assert "fcntl" not in {name.split(".")[0] for name in imported(tree)}  # Unix alone has it; filelock is for all
    assert not NEVER_AT_ONCE & {name.split(".")[0] for name in at_once(tree)}
    if path.parent != PACKAGE / "data" / "media":
        assert "decord" not in {name.split(".")[0] for name in imported(tree)}


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_asking_for_help_does_not_wait_for_torch(path):
    if path.stem in ("app", "evaluation", "world", "__init__"):
        found = {each for each in at_once(parsed(path)) if not each.startswith("mmrl.cli.")}
        assert not {"torch", "transformers", "accelerate", "mmrl"} & {each.split(".")[0] for each in found}


def public(path: Path) -> Iterator[tuple[str, bool]]:
    """The functions and classes that a module defines, and whether each is a class."""
    for node in parsed(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, isinstance(node, ast.ClassDef)


def test_a_name_says_where_a_thing_is():
    """There is one class of a name in all of mmrl, and one function in a room or in a folder that shows its names to others."""
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, is_class in public(path):
            room = "" if is_class else path.parent.name if path.parent.name in FACES else names_of(path)[0]
            places[room, name].append(path.relative_to(PACKAGE).as_posix())
    assert {key: paths for key, paths in places.items() if len(paths) > 1} == {}
