"""Which room may import which. A new arrow is a decision: add it here and argue it in the commit."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mmrl"

ARROWS = {  # room -> the rooms that it may import; DESIGN.md's table, and what has come since
    "types": "",
    "ops": "types",  # the denominators of a step
    "divergences": "",
    "targets": "",
    "algorithms": "ops types divergences targets",
    "data": "types",
    "rewards": "types",
    "world": "data rewards types",
    "shard": "",  # plain tensors or parts of them; what cuts weights, and what must know that they are cut
    "models": "data ops shard types",
    "rollout": "models ops types",
    "statistics": "",
    "evaluate": "statistics types ops",
    "report": "statistics evaluate types",
    "meter": "",
    "ranks": "",
    "fit": "",
    "costs": "data feeder meter models ranks",
    "observe": "algorithms ops plan types meter",
    "plan": "types",
    "finite": "",
    "collect": "algorithms finite meter types",
    "reading": "algorithms fit meter plan types",
    "trainer": "algorithms collect finite meter observe plan reading shard types",
    "checkpoint": "ops shard types",
    "best": "checkpoint",
    "journal": "ops types",
    "progress": "",
    "named": "",
    "explain": "",
    "coherence": "algorithms",
    "config": "named algorithms coherence data divergences explain targets types",  # the dataclasses of every room
    "prepared": "config",  # the settings that a table was made with
    "doctor": "data progress",
    "stopping": "progress",
    "origin": "",
    "optimizer": "config models",
    "feeder": "data fit models ranks types",
}
ROOTS = {
    "build",
    "run",
    "sources",
    "examine",
    "answering",
    "generated",
    "scorers",
    "evaluations",
    "cli_eval",
    "check",
    "prepare",
    "quickstart",
    "cli",
    "__main__",
}  # may import everything, but not the command line
NEVER_AT_ONCE = {"flash_attn", "vllm", "peft", "wandb", "datasets", "openai"}  # extras: imported where they are used
ROOMS = sorted(
    {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if not path.name.startswith("__py")}
)


def files(room: str) -> list[Path]:
    """The modules of a room."""
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


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


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "__init__"])
def test_a_room_imports_what_it_may(room):
    assert room in ARROWS or room in ROOTS, f"{room}: a new room; say in this file what it may import"
    found = {name.split(".")[1] for path in files(room) for name in imported(parsed(path)) if name.startswith("mmrl.")}
    allowed = set(ARROWS[room].split()) if room in ARROWS else (set(ARROWS) | ROOTS) - {"cli", "cli_eval"}
    if room == "cli":
        allowed |= {"cli_eval"}
    if room == "__main__":
        allowed = {"cli"}
    assert found - {room} <= allowed


def test_the_arrows_make_no_circle():
    below: dict[str, set[str]] = {}
    waiting = {room: set(allowed.split()) for room, allowed in ARROWS.items()}
    while ready := [room for room, allowed in waiting.items() if allowed <= below.keys()]:
        for room in ready:
            below[room] = waiting.pop(room)
    assert not waiting


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_extras_are_imported_where_they_are_used(path):
    tree = parsed(path)
    assert not NEVER_AT_ONCE & {name.split(".")[0] for name in at_once(tree)}
    if path.parent.name != "data":
        assert "decord" not in {name.split(".")[0] for name in imported(tree)}


@pytest.mark.parametrize("name", ["cli.py", "cli_eval.py"])
def test_asking_for_help_does_not_wait_for_torch(name):
    found = {each for each in at_once(parsed(PACKAGE / name)) if not each.startswith("mmrl.cli.evaluation")}
    assert not {"torch", "transformers", "accelerate", "mmrl"} & {each.split(".")[0] for each in found}
