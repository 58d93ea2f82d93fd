"""`import mmrl`: what it offers, lazily, and that documentation, places and type checkers have the same names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mmrl

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "mmrl" / "__init__.py"


def test_the_import_waits_for_nothing():
    """In a process of its own: what mmrl imports when it is imported."""
    code = "import sys, mmrl; dir(mmrl); print(*sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'pydantic', 'numpy'}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", mmrl.__all__)
def test_each_name_is_there_with_words(name):
    assert getattr(mmrl, name) is getattr(mmrl, name)
    assert (getattr(mmrl, name).__doc__ or "").strip()


def test_no_other_name_is():
    assert dir(mmrl) == sorted(mmrl.__all__)
    assert sorted([*mmrl._PLACES, "__version__"]) == dir(mmrl)
    with pytest.raises(AttributeError, match=r"no public name 'trian'; did you mean 'train'\? It has EMA, "):
        mmrl.trian  # noqa: B018


def test_type_checkers_see_each_name_where_it_is():
    """The imports for type checkers lead where the lazy ones lead."""
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    places = {name: place.partition(":") for name, place in mmrl._PLACES.items()}
    assert seen == {name: (f"mmrl.{module}", inner or name) for name, (module, _, inner) in places.items()}


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "mmrl" / "py.typed").read_text() == ""
