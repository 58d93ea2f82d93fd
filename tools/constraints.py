"""Make constraints.txt anew: newest versions inside pyproject's bounds, a fresh environment, all tests, caps.

    .venv/bin/python tools/constraints.py [--no-tests]

A cap is the newest version with which all tests passed. It is no pin: where a registry or a site's own pip
configuration has less, the next older version serves, which is why every older torch that pyproject allows is resolved
under the caps, too: what only those require gets its cap from the newest of them.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from packaging.markers import Environment, default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints.txt"
EXTRAS = ("dev", "eval")
INSTALLERS = ("pip", "setuptools")  # pip itself, and what builds those that publish their source only
SYSTEMS = {
    "Linux": {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"},
    "Darwin": {"sys_platform": "darwin", "os_name": "posix", "platform_machine": "arm64"},
    "Windows": {"sys_platform": "win32", "os_name": "nt", "platform_machine": "AMD64"},
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
HEAD = """\
# The newest versions with which all tests passed ({day}, Python {python}), of all that `make quickstart` and `make test`
# install. Caps, not pins: an older version serves where a registry has no newer one. Made by tools/constraints.py.
"""


@dataclass(frozen=True)
class Package:
    """A distribution as pip resolved it, or as it is installed."""

    name: str
    version: str
    requires: tuple[str, ...]


Packages = dict[str, Package]  # by canonical name
RequirementsOf = Callable[[str], Iterable[str] | None]  # of a canonical name; None where the distribution is unknown


def main() -> int:
    """Resolve, write, test; where a test fails, put back what was there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-constraints", help="made anew")
    parser.add_argument("--no-tests", action="store_true", help="print the file; write and install nothing")
    asked = parser.parse_args()
    packages = with_older_torch(with_other_systems(resolve([f"{ROOT}[{','.join(EXTRAS)}]", *roots()])))
    text = HEAD.format(day=datetime.now(UTC).date(), python=sys.version.split()[0]) + lines(packages)
    if asked.no_tests:
        print(text, end="")
        return 0
    before = FILE.read_text() if FILE.exists() else ""
    FILE.write_text(text)
    status = 1
    try:
        status = tested(asked.environment)
    finally:
        if status:
            FILE.write_text(before)
    return status


def tested(environment: Path) -> int:
    """Install under the caps into a fresh environment and run the default tests; the first status that is not 0."""
    shutil.rmtree(environment, ignore_errors=True)
    python = environment / "bin" / "python"
    for command in (
        (sys.executable, ROOT / "tools" / "environment.py", environment),
        (python, ROOT / "tools" / "install.py", *EXTRAS, "--constraints", FILE),
        (python, "-m", "pytest"),
    ):
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status:
            return status
    return 0


def resolve(requirements: Iterable[str], *options: str) -> Packages:
    """What pip would install of these into an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    report = json.loads(subprocess.run([*command, *options, *requirements], check=True, stdout=subprocess.PIPE).stdout)
    told = [item["metadata"] for item in report["install"]]
    packages = [
        Package(canonicalize_name(one["name"]), one["version"], tuple(one.get("requires_dist", ()))) for one in told
    ]
    return {package.name: package for package in packages}


def with_other_systems(packages: Packages) -> Packages:
    """Add what another system or another Python needs beyond this one, as the newest that pip finds here."""
    while missing := sorted(set(systems(packages)) - set(packages)):
        packages = resolve(missing) | packages
    return packages


def with_older_torch(packages: Packages) -> Packages:
    """Add what only an older torch requires; pip must find a solution under the caps for every one in pyproject's bounds."""
    bounds = next(r.specifier for r in map(Requirement, project()["dependencies"]) if r.name == "torch")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(lines(packages))
        file.flush()
        for version in older("torch", packages["torch"].version, bounds):
            packages = joined(packages, resolve([str(ROOT), f"torch=={version}"], "-c", file.name))
    return packages


def joined(newer: Packages, older: Packages) -> Packages:
    """The newer versions and what only the older need; a distribution requires what any version of it does."""
    both = {name: (*newer[name].requires, *older[name].requires) for name in newer.keys() & older.keys()}
    return older | newer | {name: replace(newer[name], requires=requires) for name, requires in both.items()}


def older(name: str, version: str, bounds: SpecifierSet) -> list[str]:
    """The published final versions within bounds that are older than a version, newest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", name, "--json"]
    published = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["versions"]
    return [one for one in published if one in bounds and Version(one) < Version(version) and not Version(one).local]


def lines(packages: Packages) -> str:
    """A cap a line, by name; with the system where not all of them need it."""
    needed = systems(packages)
    return "".join(
        f"{name}<={Version(packages[name].version).public}{marker(needed.get(name, set(SYSTEMS)))}\n"
        for name in sorted(packages)
        if name != "mmrl"
    )


def marker(names: set[str]) -> str:
    """The systems that need a distribution, as a marker; nothing where all do."""
    if names == set(SYSTEMS):
        return ""
    return " ; " + " or ".join(f"platform_system == '{name}'" for name in sorted(names))


def systems(packages: Mapping[str, Package]) -> dict[str, set[str]]:
    """The systems on which each distribution is needed, by any supported Python, as far as the packages' metadata say."""
    requirements = {name: package.requires for name, package in packages.items()}
    needed: dict[str, set[str]] = {}
    for system, values in SYSTEMS.items():
        for python in PYTHONS:
            environment = default_environment() | values
            environment |= {"platform_system": system, "python_version": python, "python_full_version": f"{python}.0"}
            for name in closure([f"mmrl[{','.join(EXTRAS)}]", *roots()], requirements.get, environment):
                needed.setdefault(name, set()).add(system)
    return needed


def closure(roots: Iterable[str], requirements_of: RequirementsOf, environment: Environment) -> set[str]:
    """Names of all distributions that requirements lead to in an environment, their own names included."""
    waiting, seen = [Requirement(root) for root in roots], set()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            name = canonicalize_name(requirement.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            below = map(Requirement, requirements_of(name) or ())
            waiting += [one for one in below if wanted(one, environment, extra)]
    return {name for name, _ in seen}


def wanted(requirement: Requirement, environment: Environment, extra: str) -> bool:
    """Tell if a requirement holds in an environment for those who ask for an extra; the empty one is for everybody."""
    return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra})


def roots() -> list[str]:
    """Requirements beside mmrl's own: what installs and builds."""
    return [*INSTALLERS, *tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]]


def project() -> dict:
    """The table ``project`` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def installed() -> set[str]:
    """Names of what mmrl needs in the running environment and what is installed there."""
    here = {canonicalize_name(one.name) for one in metadata.distributions()}
    needed = closure([f"mmrl[{','.join(EXTRAS)}]", *roots()], requirements_here, default_environment())
    return needed & here - {"mmrl"}


def requirements_here(name: str) -> list[str] | None:
    """What an installed distribution requires; None where it is not installed."""
    try:
        return metadata.requires(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
