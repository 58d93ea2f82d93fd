"""Make a virtual environment, or check the one that is there; where this machine cannot, say why and what helps.

    python3 tools/environment.py .venv [--asked]

``--asked``: the Python that runs this was asked for by name, so an environment of another one will not do.
Whatever Python a machine has parses this file, 2.7 too: neither f-strings nor annotations stand in it.
"""

import json
import os
import re
import subprocess
import sys

LOWEST = (3, 11)
PROBE = (
    "import importlib.util as u, json, sys; print(json.dumps([list(sys.version_info[:2]), bool(u.find_spec('pip'))]))"
)


def main():
    """Check this Python and make an environment, or check the environment."""
    folder = os.path.realpath(sys.argv[1])
    if os.path.lexists(folder):
        asked = sys.version_info[:2] if "--asked" in sys.argv[2:] else None
        trouble = broken(folder, asked)
        remedy = "; remove it (rm -rf {0}) and run make again".format(sys.argv[1])
    else:
        trouble = unfit()
        remedy = ", or name another Python: make PYTHON=/path/to/python3.12 ..."
    if trouble:
        sys.exit(trouble + remedy)
    if not os.path.exists(folder):
        sys.exit(subprocess.call([sys.executable, "-m", "venv", folder]))


def unfit():
    """Why the Python that runs this can make no environment for mmrl; None where it can."""
    name = "{0} (Python {1})".format(sys.executable, text(sys.version_info[:3]))
    if sys.version_info[:2] < LOWEST:
        return "mmrl needs Python {0} or newer, and {1} is older; install one".format(text(LOWEST), name)
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        package = "python{0}-venv".format(text(sys.version_info[:2]))
        return "{0} cannot make environments ({1}); install {2} (Debian, Ubuntu: apt-get install {2})".format(
            name, error, package
        )
    return None


def broken(folder, asked):
    """Why an environment cannot be used; None where it can. ``asked``: the version that it must have, if any."""
    answer = probe(os.path.join(folder, "bin", "python"))
    if answer is None:
        return "{0} is no environment, or its Python is gone: its bin/python does not start".format(folder)
    version, has_pip = tuple(answer[0]), answer[1]
    origin, place = (
        read_from(folder, "pyvenv.cfg", r"version(?:_info)? *= *(\d+\.\d+)"),
        read_from(folder, "bin/activate", PLACE),
    )
    if origin and origin != text(version):
        return "{0} was made by Python {1}, and its bin/python is now {2}".format(folder, origin, text(version))
    if asked and asked != version:
        return "{0} was made by Python {1}, and Python {2} was asked for".format(folder, text(version), text(asked))
    if version < LOWEST:
        return "mmrl needs Python {0} or newer, and {1} holds {2}".format(text(LOWEST), folder, text(version))
    if place and os.path.realpath(place) != folder:
        return "{0} was made as {1} and moved, which environments do not survive".format(folder, place)
    return None if has_pip else "{0} was left half made: it holds no pip".format(folder)


PLACE = r"VIRTUAL_ENV=[\"']?(/[^\"'\n]*)"


def probe(python):
    """[version, whether pip is there] as an environment's Python says it; None where it does not start."""
    try:
        return json.loads(subprocess.check_output([python, "-I", "-c", PROBE]).decode())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def read_from(folder, name, pattern):
    """The first group of a pattern in a file of an environment; None where the file or the pattern is not there."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path) as file:
        match = re.search(pattern, file.read())
    return match and match.group(1)


def text(version):
    """A version as people write it."""
    return ".".join(str(number) for number in version)


if __name__ == "__main__":
    main()
