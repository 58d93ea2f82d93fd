"""The command line: exit statuses, JSON, what is imported when."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmark import cli
from benchmark.procbench import audit, items, report
from mmrl.world.cues import Cue, Cues
from mmrl.world.splits import Recipe, Sizes
from tests.benchmark.procbench.test_items import rendered
from tests.test_arrows import at_once, imported, parsed

ROOT = Path(cli.__file__).parent


def call(*words):
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def test_ceilings_as_json_say_where_they_come_from(tmp_path):
    done = call("world", "ceilings", "--octets", 60, "--seed", 2, "--json", "--out", tmp_path / "ceilings.json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "ceilings.json").read_text())
    assert found["command"] == "python -m benchmark world ceilings --octets 60 --seed 2"
    assert (found["seed"], found["octets"], found["leaks"]) == (2, 60, [])
    assert found["families"]["KEY"]["rows"]["unordered"] == 50
    assert {"commit", "machine"} <= found.keys()


def test_a_leak_is_named_and_ends_with_status_1(monkeypatch):
    def told(family, octets, seed):
        return [replace(one, lamp=f"{one.lamp} {one.gold}") for one in items.drawn(family, octets, seed)]

    monkeypatch.setattr(report, "drawn", told)
    done = call("world", "ceilings", "--octets", 20)
    assert done.exit_code == 1
    assert "LEAK STACK: observation only: expected exactly 50, found 100.00" in done.stderr
    done = call("world", "ceilings", "--octets", 20, "--json")
    assert done.exit_code == 1
    assert "STACK: observation only: expected exactly 50, found 100.00" in json.loads(done.stdout)["leaks"]


def test_ceilings_of_a_rendered_benchmark_are_reported_and_not_gated(tmp_path):
    recipe = Recipe(Sizes(L1=6, L3=4, nat_L3=4), seed=0, cues=Cues(L1=Cue("marker", 1.0)))
    done = call("world", "ceilings", "--root", rendered(tmp_path, recipe), "--json")
    assert done.exit_code == 0, done.output
    levels = json.loads(done.stdout)["levels"]
    assert list(levels) == ["L1", "L1_neutral", "L3"]
    assert levels["L1"]["cue_right"] == 100
    assert levels["L1"]["families"]["FILL"]["rows"]["blind"] == 100  # the cue stands in the text
    assert levels["L1_neutral"]["families"]["FILL"]["rows"]["blind"] == 25
    assert levels["L3"]["families"]["KEY"]["rows"]["everything"] == 100


def test_an_audit_of_a_rendered_benchmark_parts_the_strata(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "TREES", 5)
    root = rendered(tmp_path, Recipe(Sizes(L1=6, L2=3, nat_L1=8), seed=0))
    done = call("world", "audit", "--root", root, "--json")
    assert done.exit_code == 0, done.output
    levels = json.loads(done.stdout)["levels"]
    assert list(levels) == ["L1", "L1_nat"]  # three groups of L2 are too few for five folds
    assert all(one["accuracy"] == 0.25 for one in levels["L1"]["learners"])


def test_an_audit_ends_with_status_1_where_letters_are_not_balanced(monkeypatch):
    def uneven(family, octets, seed):
        return [replace(one, gold=max(one.gold, 1)) for one in items.drawn(family, octets, seed)]

    monkeypatch.setattr(report, "drawn", uneven)
    monkeypatch.setattr(audit, "TREES", 5)
    done = call("world", "audit", "--octets", 5)
    assert done.exit_code == 1
    assert "LEAK letters: expected each right equally often" in done.stderr


def test_tables_are_not_cut_on_narrow_terminals():
    done = call("world", "ceilings", "--octets", 60)
    assert "DELIVER" in done.stdout
    assert "observation + first half of the events" in done.stdout
    assert call("world", "ceilings", "--octets", 60, "--markdown").stdout.startswith("| information | FILL | STACK |")


def test_what_a_user_got_wrong_is_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "world", "ceilings", "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "benchmark: " in capsys.readouterr().err


def test_asking_for_help_waits_for_nothing_heavy():
    for name in ("__init__", "__main__", "cli"):
        first = {full.split(".")[0] for full in at_once(parsed(ROOT / f"{name}.py"))}
        assert first <= {"benchmark", "json", "shlex", "sys", "collections", "pathlib", "typing", "typer"}


def test_the_library_does_not_know_the_benchmark():
    for path in (ROOT.parent / "mmrl").rglob("*.py"):
        assert "benchmark" not in {name.split(".")[0] for name in imported(parsed(path))}, path
