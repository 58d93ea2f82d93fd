"""constraints.txt: a cap for whatever is installed, nothing else in it; the script that makes it; the lowest versions."""

import json
import re

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import constraints, install
from tools.constraints import Package

CAP = re.compile(r"([a-z0-9-]+)<=\d+(\.\d+)*(\.post\d+)?( ; platform_system == '\w+'( or platform_system == '\w+')?)?")


def caps() -> list[str]:
    return [line for line in constraints.FILE.read_text().splitlines() if not line.startswith("#")]


def direct() -> list[str]:
    """What pyproject.toml names for both commands."""
    extras = constraints.project()["optional-dependencies"]
    return [*constraints.project()["dependencies"], *extras["dev"], *extras["eval"]]


def test_whatever_is_installed_has_a_cap():
    if install.STAMP.exists() and json.loads(install.STAMP.read_text()).get("constraints") != str(constraints.FILE):
        # the environments of make test-oldest and make test-newest hold other versions on purpose
        pytest.skip("this environment was not installed under constraints.txt")
    capped = {re.split("[<=]", line)[0] for line in caps()}
    missing = sorted(constraints.installed() - capped)
    assert not missing, f"constraints.txt lacks {', '.join(missing)}: make it anew with tools/constraints.py"


def test_what_is_required_has_a_cap():
    capped = {re.split("[<=]", line)[0] for line in caps()}
    assert {canonicalize_name(Requirement(one).name) for one in [*direct(), *constraints.roots()]} <= capped


def test_the_file_holds_names_and_caps_alone():
    assert [line for line in caps() if not CAP.fullmatch(line)] == []


def test_every_name_stands_once_and_in_order():
    names = [re.split("[<=]", line)[0] for line in caps()]
    assert names == sorted(set(names))


def test_the_caps_leave_something_of_what_pyproject_allows():
    capped = {cap.name: next(iter(cap.specifier)).version for cap in map(Requirement, caps())}
    names = [(canonicalize_name(one.name), one.specifier) for one in map(Requirement, direct())]
    assert [name for name, bounds in names if not bounds.contains(capped[name])] == []


PACKAGES = {
    "mmrl": Package("mmrl", "1", ("a>=1", "b; platform_system == 'Linux'", "t; extra == 'dev'")),
    "a": Package("a", "1.2+cpu", ("c[fast]",)),
    "b": Package("b", "2.0", ()),
    "c": Package("c", "3", ("d; extra == 'fast'", "e; extra == 'slow'", "f; python_version >= '3.13'")),
    **{name: Package(name, "4", ()) for name in ("d", "f", "pip", "setuptools", "hatchling", "t")},
}


def test_extras_and_markers_are_followed():
    requires = {name: package.requires for name, package in PACKAGES.items()}
    here = default_environment() | {"platform_system": "Darwin", "python_version": "3.11"}
    assert constraints.closure(["mmrl"], requires.get, here) == {"mmrl", "a", "c", "d"}
    later = here | {"python_version": "3.14"}
    assert constraints.closure(["mmrl[dev]"], requires.get, later) == {"mmrl", "a", "c", "d", "f", "t"}


def test_a_cap_names_the_system_where_not_all_need_it():
    text = constraints.lines(PACKAGES)
    assert "a<=1.2\n" in text
    assert "b<=2.0 ; platform_system == 'Linux'\n" in text
    assert "mmrl" not in text


def test_what_no_system_is_known_to_need_is_capped_on_all():
    assert "only-old<=1\n" in constraints.lines(PACKAGES | {"only-old": Package("only-old", "1", ())})


@pytest.mark.parametrize(
    ("requirement", "pinned"),
    [
        ("torch>=2.11", "torch==2.11"),
        ("transformers>=5.17,<6", "transformers==5.17"),
        ("decord>=0.6; platform_system == 'Linux'", "decord==0.6; platform_system == 'Linux'"),
    ],
)
def test_the_lowest_version_that_a_requirement_allows(requirement, pinned):
    assert install.lowest(requirement) == pinned


def test_every_requirement_has_a_lower_bound():
    assert [one for one in direct() if "==" not in install.lowest(one)] == []
