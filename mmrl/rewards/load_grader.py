"""A grader by its name in the YAML: one of mmrl's, or yours as path.py:function."""

import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from mmrl.rewards.grader_forms import judges_whole_group
from mmrl.rewards.graders import GRADERS, Grader


def load_grader(spec: str) -> Grader:
    """Return the grader that a spec names.

    A path is relative to the current directory. Loading runs that file: it is code.
    """
    if spec in GRADERS:
        return GRADERS[spec]
    path, separator, name = spec.rpartition(":")
    if not separator or not path or not name:
        raise ValueError(f"grader {spec!r}: expected one of {', '.join(GRADERS)}, or your own as path.py:function")
    module = run_file(Path(path), spec)
    grader = getattr(module, name, None)
    if grader is None:
        here = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ValueError(f"grader {spec!r}: {path} has no {name!r}; it has {', '.join(here) or 'no functions'}")
    if not callable(grader):
        raise ValueError(f"grader {spec!r}: expected a function, found {type(grader).__name__}")
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in inspect.signature(grader).parameters.values()):
        raise ValueError(f"grader {spec!r}: add **fields to its parameters: it is given every field of the example")
    try:
        judges_whole_group(grader)
    except ValueError as error:
        raise ValueError(f"grader {spec!r}: {error}") from None
    return grader


def run_file(path: Path, spec: str) -> ModuleType:
    """Run a file and return its module; the same one for the same file."""
    path = path.resolve()
    if not path.is_file():
        raise ValueError(f"grader {spec!r}: no file {path}; paths are relative to the current directory, {Path.cwd()}")
    name = f"mmrl_grader_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ValueError(f"grader {spec!r}: expected a Python file ending in .py, found {path.name}")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look a module up by its name
    try:
        found.loader.exec_module(module)
    except BaseException:  # whatever ended it: a module that was run in part must not be found the next time
        del sys.modules[name]
        raise
    return module
