"""Warnings: ours are errors, a library's deprecation is listed, and a user sees it once a run.

``make test`` lists deprecations because they come with versions that nobody tested, on a day that nobody chose;
``make test-newest`` is there to find them, and fails.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from tests import run_fixtures

ROOT = Path(__file__).parents[1]
ROOMS = ("mmrl", "benchmark", "tools", "tests")

WARNING_TESTS = """
import warnings

import pytest

@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("category", [
    DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning, RuntimeWarning, ResourceWarning
])
def test_warns(category, level):
    warnings.warn("this is old", category, stacklevel=level)
"""

WARNING_GRADER = '''
"""A grader of a library that calls something old each time, and resets what Python remembers, as torch does."""

import warnings


def grade(completion, **fields):
    with warnings.catch_warnings():
        pass
    warnings.warn("this is old", FutureWarning)
    return float(len(completion) % 3)
'''


def outcomes(folder: Path, *options: str) -> dict[str, list[str]]:
    """Run tests that warn under this repository's settings: the categories that pass, fail and are listed."""
    path = folder / "test_warns.py"
    path.write_text(WARNING_TESTS)
    plugins = ["--disable-plugin-autoload", "-p", "xdist.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    settings = ["-c", ROOT / "pyproject.toml", "-n", "0", *plugins, "-rA"]
    command = [sys.executable, "-m", "pytest", *settings, path, *options]
    text = subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
    ended = {word: sorted(re.findall(rf"^{word} .*\[(\w+-\d)\]", text, re.M)) for word in ("PASSED", "FAILED")}
    return ended | {"listed": sorted(set(re.findall(r"^  .* (\w+): this is old", text, re.M)))}


DEPRECATIONS = ["DeprecationWarning", "FutureWarning", "PendingDeprecationWarning"]
OTHERS = ["ResourceWarning", "RuntimeWarning", "UserWarning"]


def at_both_levels(categories: list[str]) -> list[str]:
    return [f"{category}-{level}" for category in categories for level in (1, 2)]


def test_a_deprecation_is_listed_and_any_other_warning_is_an_error(tmp_path):
    passed, failed = at_both_levels(DEPRECATIONS), at_both_levels(OTHERS)
    assert outcomes(tmp_path) == {"PASSED": passed, "FAILED": failed, "listed": DEPRECATIONS}


def test_every_warning_is_an_error_with_the_newest_versions(tmp_path):
    failed = sorted(at_both_levels([*DEPRECATIONS, *OTHERS]))
    assert outcomes(tmp_path, "-W", "error") == {"PASSED": [], "FAILED": failed, "listed": []}


def test_make_test_newest_takes_every_warning_for_an_error():
    recipe = subprocess.run(["make", "--dry-run", "test-newest"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "pytest -W error" in recipe


def test_no_code_of_ours_deprecates():
    """A deprecation of ours would be listed only, as it has a library's category; so there is none."""
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    assert len(paths) > 100
    assert [f"{path}:{line}" for path in paths for line in warns(path.read_text())] == []


def warns(code: str) -> list[int]:
    """Lines that call ``warnings.warn`` or its kin."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if ast.unparse(call.func).split(".")[-1] in ("warn", "warn_explicit", "deprecated")
    ]


def test_a_run_shows_a_librarys_warning_once(root, tmp_path):
    (tmp_path / "old.py").write_text(WARNING_GRADER)
    rewards = {"accuracy": {"grader": f"{tmp_path}/old.py:grade"}}
    plain = run_fixtures.settings(root, tmp_path / "run", "grpo", steps=2, rewards=rewards)
    config = run_fixtures.write_config(tmp_path / "run.yaml", plain)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    command = [sys.executable, "-m", "mmrl", "train", config]
    run = subprocess.run(command, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("FutureWarning: this is old") == 1
