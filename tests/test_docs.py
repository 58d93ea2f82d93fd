"""What documentation names is there: files, modules, commands, rooms; and it cites no file that is not in the repository."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from benchmark.cli import app as benchmark_app
from mmrl.cli.app import app as mmrl_app

ROOT = Path(__file__).parents[1]
FOLDERS = ("mmrl", "benchmark", "tests", "tools", "configs", "docs", "examples")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), ROOT / "benchmark" / "README.md"]
CONFIGS = sorted(ROOT.glob("configs/**/*.yaml"))
CODE = [path for folder in ("mmrl", "benchmark", "tools", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
APPS = {"mmrl": mmrl_app, "python -m mmrl": mmrl_app, "python -m benchmark": benchmark_app}

PATH = re.compile(rf"(?<![\w/.@-])(?:{'|'.join(FOLDERS)})/[\w./*-]*[\w*]")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")  # configs/eval/NAME.yaml
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
MODULE = re.compile(r"(?<![\w/.@-])(?:mmrl|benchmark|tools)(?:\.[A-Za-z_]\w*)+")
WORD = re.compile(r"\w+")
SPAN = re.compile(r"`([^`\n]+)`|^(?:    |\$ )?((?:mmrl|python -m) .*)$", re.MULTILINE)
COMMAND = re.compile(r"^(mmrl|python -m mmrl|python -m benchmark) ([a-z]\w*)(?: ([a-z]\w*))?")
CITATION = re.compile(
    r"(?<!docs/)(?<!\]\()facts/\w|\(facts: \w+[.,]|of facts \d|\b(?:care|divergences|evaluation|prototype)\.md \d"
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lacking(text: str, start: Path) -> Iterator[str]:
    """The paths that a text names or links to and that are not there."""
    for found in PATH.findall(text):
        if not any(ROOT.glob(found)) and not any(ROOT.glob(PLACEHOLDER.sub("*", found))):
            yield found
    for link in LINK.findall(text):
        if not (start / link).exists():
            yield link


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or one and a word of its text."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        module = ROOT.joinpath(*parts[:size])
        for file in (module.with_suffix(".py"), module / "__init__.py"):
            if file.is_file():
                return (
                    size == len(parts) or parts[size].startswith("__") or parts[size] in WORD.findall(file.read_text())
                )
    return False


def unknown_commands(text: str) -> Iterator[str]:
    """The commands that a text shows as code and that the command lines do not have."""
    for span in SPAN.finditer(text):
        found = COMMAND.match(span[1] or span[2])
        if found is not None and not has(APPS[found[1]], found[2], found[3]):
            yield found[0]


def has(app: typer.Typer, first: str, second: str | None) -> bool:
    """Whether an app has a command, or a group with a command in it."""
    if first in {command.name or command.callback.__name__ for command in app.registered_commands}:
        return True
    groups = [group.typer_instance for group in app.registered_groups if group.name == first]
    return bool(groups) and (second is None or has(groups[0], second, None))


@pytest.mark.parametrize("page", [*PAGES, *CONFIGS], ids=named)
def test_every_path_that_is_named_exists(page):
    assert sorted(set(lacking(page.read_text(), page.parent))) == []


@pytest.mark.parametrize("page", [*PAGES, *CONFIGS, *CODE], ids=named)
def test_every_module_that_is_named_exists(page):
    assert sorted({name for name in MODULE.findall(page.read_text()) if not is_there(name)}) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_is_shown_exists(page):
    assert sorted(set(unknown_commands(page.read_text()))) == []


def test_the_readme_draws_every_room():
    drawn = set(re.findall(r"^  (\w+(?:\.py|/)) ", (ROOT / "README.md").read_text(), re.MULTILINE))
    paths = [path for path in (ROOT / "mmrl").iterdir() if path.suffix != ".typed"]
    rooms = {f"{path.name}/" if path.is_dir() else path.name for path in paths}
    assert drawn == {name for name in rooms if not name.startswith("__")}


@pytest.mark.parametrize("page", [*PAGES, *CONFIGS, *CODE], ids=named)
def test_what_is_cited_is_in_the_repository(page):
    text = page.read_text()
    assert CITATION.findall(text) == []
    assert [name for name in re.findall(r"docs/facts/\w+\.md", text) if not (ROOT / name).is_file()] == []


def test_the_readme_shows_the_step_as_it_is():
    shown = (ROOT / "README.md").read_text().split("## The step")[1].split("That is `Trainer.step`")[0]
    assert unlike_the_trainer(shown) == []


def unlike_the_trainer(text: str) -> list[str]:
    """Return the lines of a text's Python blocks that the trainer does not have, comments left out."""
    trainer = code_lines((ROOT / "mmrl" / "training" / "step" / "trainer.py").read_text())
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    return [line for line in code_lines("\n".join(blocks)) if line not in trainer]


def code_lines(text: str) -> list[str]:
    """The lines of some code without indents and comments."""
    return [line.partition("  # ")[0].strip() for line in text.splitlines() if line.strip()]


def test_the_glossary_names_what_is_there():
    """Its first column holds names of the code, keys of configs and metrics."""
    text = "\n".join(path.read_text() for path in [*CODE, *CONFIGS, ROOT / "docs" / "metrics.md"])
    words, rows = set(WORD.findall(text)), (ROOT / "docs" / "glossary.md").read_text().split("\n")
    firsts = [row.split("|")[1] for row in rows if row.startswith("| ") and not row.startswith("| mmrl |")]
    spans = [span for first in firsts for span in re.findall(r"`([^`]+)`", first)]
    assert spans
    assert [word for span in spans for word in WORD.findall(span) if word not in words] == []
