"""A script whose decoding processes would run it again is refused before a model is loaded; these are real scripts."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmrl.config.load import dump, parse
from mmrl.config.schema import Config, EvalConfig
from mmrl.runtime import main_guard
from tests import run_fixtures

ROOT = Path(__file__).parents[2]
TRAIN = """
import mmrl
config = mmrl.load_config("train.yaml")
{guard}
    mmrl.train(config, quiet=True)
    print("trained")
"""
EVALUATE = """
import mmrl
{guard}
    found = mmrl.evaluate(mmrl.load_eval_config("eval.yaml").model.path, mmrl.load_eval_config("eval.yaml"), quiet=True)
    print("evaluated", len(found.records["all"]))
"""
GUARD, NONE = 'if __name__ == "__main__":', "if True:"
BROKEN = """
import sys
import mmrl
if "mmrl.training.train" in sys.modules or __name__ != "__main__":
    raise OSError("cannot be imported twice")
mmrl.train(mmrl.load_config("train.yaml"), quiet=True)
"""

SLOW = pytest.mark.slow("two more processes that import torch; the same check in mmrl.train is tested by default")
SCRIPTS = [pytest.param(TRAIN, id="train"), pytest.param(EVALUATE, id="evaluate", marks=SLOW)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data, configs that decode in one process of its own, and no memory of files found good."""
    folder = tmp_path_factory.mktemp("scripts")
    run_fixtures.make_root(folder, count=4)
    plain = run_fixtures.settings(folder, folder / "run", steps=1)
    plain["data"]["workers"] = 1
    (folder / "train.yaml").write_text(dump(parse(Config, plain, "made")))
    section = {
        "root": str(folder), "sets": [{"name": "all", "format": "messages", "file": "d.jsonl"}], "template": "plain",
        "graders": {"accuracy": "accuracy"}, "decoding": {"temperature": 1.0, "max_new_tokens": 4}, "workers": 1,
    }  # fmt: skip
    evaluation = {"out": str(folder / "evaluated"), "model": {"path": str(folder / "model")}, "evaluation": section}
    (folder / "eval.yaml").write_text(dump(parse(EvalConfig, evaluation, "made")))
    return folder


def ended(folder, text, *command):
    """Run a script; what it printed, its errors and its exit status."""
    (folder / "script.py").write_text(text)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *(command or ["script.py"])], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )  # fmt: skip
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize("text", SCRIPTS)
def test_a_script_without_a_guard_is_one_error_before_anything_is_spent(folder, text):
    said, error, status = ended(folder, text.format(guard=NONE))
    assert (said, status) == ("", 1)
    assert error.count("Traceback") == 1
    assert "RuntimeError: " in error
    assert "script.py: expected the script to run under" in error
    assert '    if __name__ == "__main__":\n        main()' in error
    assert not (folder / "run").exists()
    assert not (folder / "evaluated").exists()
    assert not list(folder.glob(".mmrl_media*"))  # no file was looked at


@pytest.mark.slow("whole scripts in processes of their own; the script without a guard goes the same way by default")
@pytest.mark.parametrize("text", [TRAIN, EVALUATE], ids=["train", "evaluate"])
def test_a_script_with_a_guard_runs(folder, text):
    said, error, status = ended(folder, text.format(guard=GUARD))
    assert status == 0, error
    assert said.split()[0] in ("trained", "evaluated")


@pytest.mark.slow("two processes that import torch; test_a_process_that_does_not_start_is_told covers the message")
def test_a_script_that_no_process_can_import_is_told_so(folder):
    _, error, status = ended(folder, BROKEN)
    assert status == 1
    assert "cannot be imported twice" in error
    assert "can import this script, found exit status 1" in error


def test_a_script_without_processes_needs_no_guard(monkeypatch):
    monkeypatch.setattr(main_guard, "script_of_children", lambda: "script.py")
    monkeypatch.setattr(main_guard, "status_of_probe", lambda: main_guard.UNGUARDED)
    main_guard.check_main_guard(workers=0)
    with pytest.raises(RuntimeError, match=r"script\.py: expected the script to run under"):
        main_guard.check_main_guard(workers=1)


def test_a_script_that_was_found_good_is_imported_once(monkeypatch):
    asked = []
    monkeypatch.setattr(main_guard, "found_good", set())
    monkeypatch.setattr(main_guard, "script_of_children", lambda: "script.py")
    monkeypatch.setattr(main_guard, "status_of_probe", lambda: asked.append(1) or 0)
    main_guard.check_main_guard(workers=1)
    main_guard.check_main_guard(workers=2)
    assert asked == [1]


@pytest.mark.parametrize(("status", "found"), [(None, "no end of it after 300 s"), (1, "exit status 1")])
def test_a_process_that_does_not_start_is_told(monkeypatch, status, found):
    monkeypatch.setattr(main_guard, "found_good", set())
    monkeypatch.setattr(main_guard, "script_of_children", lambda: "script.py")
    monkeypatch.setattr(main_guard, "status_of_probe", lambda: status)
    with pytest.raises(RuntimeError, match=f"found {found}"):
        main_guard.check_main_guard(workers=1)


@pytest.mark.parametrize(
    ("spec", "file", "script"),
    [("pytest.__main__", "x.py", None), ("package.module", "x.py", "package.module"), (None, "x.py", "x.py"), (None, None, None)],
)  # fmt: skip
def test_the_script_is_the_one_that_a_spawned_process_imports(monkeypatch, spec, file, script):
    main = type(sys)("__main__")
    main.__spec__ = None if spec is None else type("Spec", (), {"name": spec})
    if file is not None:
        main.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.delitem(sys.modules, "__mp_main__", raising=False)
    assert main_guard.script_of_children() == script


def test_the_command_line_spares_the_check(monkeypatch):
    monkeypatch.setattr(main_guard, "found_good", set())
    monkeypatch.setattr(main_guard, "script_of_children", lambda: "bin/mmrl")
    monkeypatch.setattr(main_guard, "status_of_probe", lambda: pytest.fail("a process was started"))
    main_guard.trust_script()
    main_guard.check_main_guard(workers=2)


def test_a_process_that_is_being_started_trains_nothing(monkeypatch):
    """In the probe it ends without a word, as the parent says what is wrong; in any other process that is the error."""
    process = SimpleNamespace(_inheriting=True, name=main_guard.PROBE)
    monkeypatch.setattr(main_guard.multiprocessing, "current_process", lambda: process)
    with pytest.raises(SystemExit) as end:
        main_guard.check_main_guard(workers=0)
    assert end.value.code == main_guard.UNGUARDED
    process.name = "SpawnProcess-1"
    with pytest.raises(RuntimeError, match="imports the script first"):
        main_guard.check_main_guard(workers=0)
