"""docs/python_api.md: its examples run, it shows every public name, and no other; the examples run as scripts."""

import ast
import re
import runpy
import shutil
from pathlib import Path

import pytest

import mmrl
from mmrl.config.load import dump, parse
from mmrl.config.schema import EvalConfig
from tests import run_fixtures

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python_api.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
REWARDS = "def brevity(completion, **fields):\n    return 1.0 / (1 + len(completion))\n"


def shown(text):
    """The names of mmrl that some code uses."""
    return {
        node.attr for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mmrl"
    }  # fmt: skip


def test_every_public_name_has_an_example():
    assert set().union(*map(shown, BLOCKS)) == set(mmrl.__all__)


def test_every_public_name_is_in_the_table_but_the_ten_divergences():
    table = PAGE.split("| for | names |")[1].split("##")[0]
    kinds = {name for name in mmrl.__all__ if mmrl._PLACES.get(name) == "functional.divergences"} - {"Divergence"}
    assert set(re.findall(r"`(\w+)`", table)) == set(mmrl.__all__) - kinds
    assert len(kinds) == 10


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
    """The folder in which the page says that its examples stand."""
    plain = run_fixtures.settings(root, Path("trained"), "grpo", model=root / "answers")
    (tmp_path / "train.yaml").write_text(dump(mmrl.load_config(plain)))
    section = {
        "root": str(root), "sets": [{"name": "all", "format": "messages", "file": "d.jsonl", "limit": 2}], "template": "plain",
        "graders": {"accuracy": "accuracy"}, "decoding": {"temperature": 1.0, "max_new_tokens": 8}, "workers": 0,
    }  # fmt: skip
    evaluation = {"out": "evaluated", "model": {"path": "model"}, "evaluation": section}
    (tmp_path / "eval.yaml").write_text(dump(parse(EvalConfig, evaluation, "made")))
    shutil.copytree(root / "model", tmp_path / "model")
    shutil.copy(root / "v0.mp4", tmp_path / "clip.mp4")
    shutil.copy(root / "i0.png", tmp_path / "photo.png")
    (tmp_path / "my_rewards.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_page_run(folder):
    """As one script, whose lines are those of the page."""
    (folder / "page.py").write_text("\n".join(BLOCKS))
    runpy.run_path("page.py", run_name="__main__")
    assert sorted(path.name for path in (folder / "own" / "checkpoints").iterdir()) == ["step-000001", "step-000002"]
    assert "name: page.py:SignOfAdvantage" in (folder / "own" / "config.yaml").read_text()
