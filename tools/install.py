"""Install mmrl and what pyproject.toml names into the environment whose Python runs this; nothing where nothing changed.

.venv/bin/python tools/install.py [EXTRA ...] [--constraints FILE] [--newest | --oldest]
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAMP = Path(sys.prefix, "mmrl-installed.json")
PIP = (sys.executable, "-m", "pip")


def main() -> int:
    """Install, or see that it is done; the status of the first command that failed."""
    asked = arguments()
    constraints = lowest_file() if asked.oldest else asked.constraints and Path(asked.constraints).resolve()
    before = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    extras = sorted({*asked.extras, *before.get("extras", ())})
    wanted = {"inputs": digest(constraints), "extras": extras, "constraints": str(constraints)}
    if not asked.newest and before == wanted:
        return 0
    print(f"installing into {sys.prefix}: about 6 GB and a few minutes the first time", flush=True)
    STAMP.unlink(missing_ok=True)
    status = install(extras, constraints)
    if status == 0:
        STAMP.write_text(json.dumps(wanted) + "\n")
        if asked.newest or asked.oldest:
            subprocess.run([*PIP, "freeze", "--exclude-editable"], check=False)
    return status


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("extras", nargs="*", help="extras of pyproject.toml")
    parser.add_argument("--constraints", default="", help="caps, as a file for pip -c")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--newest", action="store_true", help="install whatever the registry has published since, too")
    kind.add_argument("--oldest", action="store_true", help="install the lowest direct versions that pyproject allows")
    return parser.parse_args()


def install(extras: list[str], constraints: Path | str) -> int:
    """Run pip: first for itself, then for mmrl in place, both to the newest version that the constraints leave."""
    capped = ["-c", str(constraints)] if constraints else []
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    environment = os.environ | ({"PIP_BUILD_CONSTRAINT": str(constraints)} if constraints else {})
    upgrade = [*PIP, "install", "--quiet", "--upgrade", *capped]
    for rest in (["pip"], ["--upgrade-strategy", "eager", "--editable", target]):
        status = subprocess.run([*upgrade, *rest], env=environment, check=False).returncode
        if status:
            whole = shlex.join([*upgrade, *rest]).replace(" --quiet", "")
            print(f"pip's whole account, if the above does not say why: {whole}", file=sys.stderr)
            return status
    return 0


def digest(constraints: Path | str) -> str:
    """A hash of all that decides what is installed: place, pyproject.toml, constraints, this Python."""
    texts = [str(ROOT), (ROOT / "pyproject.toml").read_text(), Path(constraints).read_text() if constraints else ""]
    return hashlib.sha256("\0".join([*texts, sys.version]).encode()).hexdigest()


def lowest_file() -> Path:
    """Write the lowest versions that pyproject allows of what it names as a file for pip -c."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    requirements = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *extras["eval"],
        *extras["dev"],
    ]
    path = Path(sys.prefix, "lowest.txt")
    path.write_text("".join(f"{lowest(requirement)}\n" for requirement in requirements))
    return path


def lowest(requirement: str) -> str:
    """Pin a requirement to its lower bound: ``torch>=2.11,<3; MARKER`` is ``torch==2.11; MARKER``."""
    name, bound, marker = re.fullmatch(r"([\w.-]+)>=([\w.]+)[^;]*(;.*)?", requirement).groups(default="")
    return f"{name}=={bound}{marker}"


if __name__ == "__main__":
    sys.exit(main())
