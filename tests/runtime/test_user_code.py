"""Code of a user's own: what a spec names, what is said of one that names nothing, and what is recorded of a file."""

import pickle
import sys

import pytest

from mmrl.runtime.user_code import (
    UserCodeError,
    UserFileError,
    code_hash,
    code_hashes,
    is_spec,
    load_object,
    load_validated,
)
from tests.own_code import forget, own

CODE = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Box:
    size: int

def double(x):
    return 2 * x

LIMIT = 3
"""


@pytest.mark.parametrize("spec", ["a.py:f", "/x/y z/a.py:F_1", "C:\\x\\a.py:f"])
def test_a_spec_is_a_python_file_and_a_name(spec):
    assert is_spec(spec)


@pytest.mark.parametrize(
    "value", ["a.py", "a.py:", ":f", ".py:f", "a:f", "a.py:f g", "a.py:1", "frames:8", "", 3, None]
)
def test_other_values_are_no_specs(value):
    assert not is_spec(value)


def test_one_file_is_one_module(tmp_path, monkeypatch):
    path = own(tmp_path, "mine.py", CODE)
    monkeypatch.chdir(tmp_path)
    box = load_object("mine.py:Box", "thing")
    assert load_object(f"{path}:Box", "thing") is box
    assert load_object("mine.py:LIMIT", "thing") == 3
    assert sys.modules[box.__module__].double(2) == 4
    assert pickle.loads(pickle.dumps(box(3))) == box(3)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("mine.py", "thing 'mine.py': expected your own as path.py:name"),
        ("nowhere.py:f", r"thing 'nowhere.py:f': no file .*nowhere.py; paths are relative to the current directory, "),
        (
            "mine.py:duoble",
            "thing 'mine.py:duoble': mine.py has no 'duoble'; it has Box, double; did you mean 'double'",
        ),
        ("mine.txt:f", "thing 'mine.txt:f': expected a Python file ending in .py, found mine.txt"),
    ],
)
def test_a_spec_that_names_nothing_says_where_and_what_there_is(tmp_path, monkeypatch, spec, said):
    own(tmp_path, "mine.py", CODE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserCodeError, match=said):
        load_object(spec, "thing")


@pytest.mark.parametrize("failing", ["1 / 0", "raise ValueError('no')", "assert False", "def f(:"])
def test_an_error_of_the_file_passes_with_a_note_and_comes_again(tmp_path, failing):
    path = own(tmp_path, "broken.py", f"{failing}\n")
    for _ in range(2):
        with pytest.raises((ZeroDivisionError, ValueError, AssertionError, SyntaxError)) as caught:
            load_object(f"{path}:f", "thing")
        assert not isinstance(caught.value, UserCodeError)
        assert caught.value.__notes__ == [f"while broken.py was run, which thing '{path}:f' names"]


@pytest.mark.parametrize(
    ("failing", "kind"), [("raise ValueError('no')", "ValueError: no"), ("assert 0", "AssertionError: ")]
)
def test_validation_does_not_take_an_error_of_the_file_for_one_of_the_config(tmp_path, failing, kind):
    path = own(tmp_path, "broken.py", failing)
    with pytest.raises(UserFileError, match=f"its file ended with {kind}"):
        load_validated(f"{path}:f", "thing")


def test_the_hash_is_of_the_code_that_was_run(tmp_path):
    spec = own(tmp_path, "mine.py", CODE) + ":double"
    before = code_hash(spec)  # not run yet
    assert load_object(spec, "thing")(2) == 4
    (tmp_path / "mine.py").write_text(CODE.replace("2 *", "3 *"))
    assert load_object(spec, "thing")(2) == 4
    assert code_hash(spec) == before
    forget()
    assert load_object(spec, "thing")(2) == 6
    assert code_hash(spec) != before


def test_codes_are_found_wherever_a_config_names_them(tmp_path):
    path = own(tmp_path, "mine.py", CODE)
    plain = {
        "out": "runs/nowhere.py:Box",
        "a": {"b": [{"name": f"{path}:Box"}, {"name": "tilt"}], "c": f"{path}:double"},
        "n": None,
    }
    assert code_hashes(plain) == dict.fromkeys(("a.b.0.name", "a.c"), code_hash(f"{path}:Box"))
