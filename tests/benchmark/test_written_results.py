"""Results that lie in the repository are what the code measures today, and the README quotes them."""

import json
from pathlib import Path

import pytest

import benchmark
from benchmark.procbench.baselines import Baseline
from benchmark.procbench.baselines import cells as baseline_cells
from benchmark.procbench.ceilings import EXACT, ROWS, Ceilings, all_leaks, cells, of_families
from benchmark.procbench.items import drawn
from benchmark.tables import markdown
from mmrl.world.script import FAMILIES

HERE = Path(benchmark.__file__).parent
README = (HERE / "README.md").read_text()


def written(name):
    return json.loads((HERE / "results" / name).read_text())


@pytest.fixture(scope="module")
def table():
    kept = ("groups", "items", "letters", "rows", "events")
    families = written("ceilings.json")["families"]
    return {name: Ceilings(**{key: found[key] for key in kept}) for name, found in families.items()}


def test_the_ceilings_do_not_leak(table):
    found = written("ceilings.json")
    assert found["octets"] == 1500
    assert found["leaks"] == all_leaks(table) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_the_ceilings_are_those_of_todays_octets(table, family):
    rows, kept = of_families(drawn(family, 150, seed=0))[family].rows, table[family].rows
    for row in ROWS:
        # 150 octets, which are among the 1,500: an octet's ceiling varies by 25 points at most
        assert rows[row] == pytest.approx(kept[row], abs=0 if row in EXACT else 4 * 25 / 150**0.5), row


@pytest.mark.slow("1,500 octets a family; today's octets are counted above")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_ceilings_are_reproduced_to_the_digit(table, family):
    assert of_families(drawn(family, 1500, seed=0))[family] == table[family]


def test_the_readme_quotes_the_ceilings(table):
    found = written("ceilings.json")
    assert markdown(cells(table)) in README
    assert found["command"] in README
    assert found["commit"] in README


def test_the_readme_quotes_the_baselines():
    found = written("baselines_symbolic.json")
    assert markdown(baseline_cells([Baseline(**one) for one in found["baselines"]])) in README
    assert found["command"] in README
    assert found["commit"] in README


@pytest.mark.parametrize("name", ["ceilings.json", "audit.json", "baselines_symbolic.json"])
def test_figures_are_of_a_commit_as_it_stands(name):
    found = written(name)
    assert len(found["commit"]) == 12, "with a plus sign: files differed from it"
    assert found["machine"]
    assert f"{found['command']} --out benchmark/results/{name}" in README


def test_readers_of_text_were_at_chance_in_every_octet():
    found = written("audit.json")
    assert found["leaks"] == []
    assert all(one["accuracy"] == one["low"] == one["high"] == 0.25 for one in found["learners"])


def test_every_result_is_named_in_the_readme():
    assert [path.name for path in (HERE / "results").glob("*.json") if f"results/{path.name}" not in README] == []
