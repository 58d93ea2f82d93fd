"""A machine that cannot do it is told so by make: one sentence and what helps."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """A folder with what make needs before anything is installed."""
    folder = tmp_path / "clone"
    (folder / "tools").mkdir(parents=True)
    for name in ("Makefile", "tools/environment.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "tools" / "install.py").write_text("import sys\nprint('installs', *sys.argv[1:])\nsys.exit(7)\n")
    return folder


def make(folder: Path, *arguments: str) -> list[str]:
    """The lines that make prints on stderr, less its own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "VENV", "MAKEFLAGS")}
    run = subprocess.run(
        ["make", "--no-print-directory", "test", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    if "installs" in run.stdout:
        return [run.stdout.splitlines()[0]]
    return [line for line in run.stderr.splitlines() if not line.startswith("make")]


def one_sentence(folder: Path, *arguments: str) -> str:
    (line,) = make(folder, *arguments)
    assert re.search(r"; (install|remove it)", line)
    return line


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python_that(folder: Path, module: str, text: str) -> str:
    """``PYTHON=``: this Python, that imports a module of this text before all others."""
    (folder / "changes").mkdir()
    (folder / "changes" / f"{module}.py").write_text(text)
    python = script(folder / "python", f'PYTHONPATH={folder}/changes exec {sys.executable} "$@"')
    return f"PYTHON={python}"


def environment(folder: Path, pip: bool = True) -> Path:
    """An environment without pip's files, which make do for the checks before anything is installed."""
    path = folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    if pip:
        (next(path.glob("lib/python*/site-packages")) / "pip.py").touch()
    return path


def test_a_python_that_is_not_there(clone):
    assert "PYTHON=python3.99 does not start" in one_sentence(clone, "PYTHON=python3.99")


def test_a_python_too_old(clone, tmp_path):
    old = python_that(tmp_path, "sitecustomize", "import sys\nsys.version_info = (3, 9, 18, 'final', 0)\n")
    line = one_sentence(clone, old)
    assert "mmrl needs Python 3.11 or newer" in line
    assert "3.9.18" in line
    assert not (clone / ".venv").exists()


def test_a_python_that_makes_no_environments(clone, tmp_path):
    bare = python_that(tmp_path, "ensurepip", "raise ImportError('No module named ensurepip')\n")
    line = one_sentence(clone, bare)
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in line
    assert not (clone / ".venv").exists()


def test_a_good_environment_is_used(clone):
    environment(clone)
    assert make(clone) == ["installs dev eval --constraints constraints.txt"]
    assert make(clone, "CONSTRAINTS=") == ["installs dev eval --constraints "]


def test_an_environment_whose_python_is_gone(clone):
    python = environment(clone) / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "its bin/python does not start" in one_sentence(clone)


def test_an_environment_whose_python_is_another_now(clone):
    config = environment(clone) / "pyvenv.cfg"
    config.write_text(re.sub(r"version = .*", "version = 3.8.1", config.read_text()))
    assert "was made by Python 3.8, and its bin/python is now" in one_sentence(clone)


def test_an_environment_of_another_python_than_the_one_asked_for(clone, tmp_path):
    environment(clone)
    other = python_that(tmp_path, "sitecustomize", "import sys\nsys.version_info = (3, 99, 0, 'final', 0)\n")
    assert "and Python 3.99 was asked for" in one_sentence(clone, other)


def test_an_environment_that_was_moved(clone):
    environment(clone)
    moved = clone.rename(clone.parent / "moved")
    line = one_sentence(moved)
    assert f"was made as {clone}/.venv and moved" in line


def test_an_environment_left_half_made(clone):
    environment(clone, pip=False)
    assert "it holds no pip" in one_sentence(clone)


def test_a_folder_that_is_no_environment(clone):
    (clone / ".venv").mkdir()
    assert "is no environment" in one_sentence(clone)


def test_the_check_needs_no_modern_python():
    """Old Pythons must parse what tells them that they are too old: no f-strings, no annotations."""
    text = (ROOT / "tools" / "environment.py").read_text()
    assert not re.search(r"""\bf["']|->|:=""", text)
