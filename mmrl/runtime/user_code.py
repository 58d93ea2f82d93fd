"""Your own code, which a YAML names as path.py:name. Loading it runs the file.

A path is relative to the current directory. A file runs once per process, so that all its names in a config belong to one module,
and the recorded hash is that of the code that ran, even if the file has changed since.
"""

import difflib
import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mmrl.runtime.files import short_hash

PATTERN = r".+\.py:[A-Za-z_]\w*"  # the form of a YAML value that names your own code
SOURCE = "__mmrl_source__"  # the attribute of a module that holds the bytes of the file that ran


class UserCodeError(ValueError):
    """A spec names nothing, or an object of the wrong kind. The message has the key, expected, found, what to do."""


class UserFileError(RuntimeError):
    """A user's file ended with an error that the validation of a config would take for a problem of the config."""


def is_spec(value: Any) -> bool:
    """Return True if a value names a user's code, as path.py:name."""
    return isinstance(value, str) and re.fullmatch(PATTERN, value) is not None


def load_object(spec: str, what: str) -> Any:
    """Return the object that a spec names: a function, a class or a value.

    ``what`` is the spec's key, for messages. Raises UserCodeError for a spec of another form, and for a missing file or name. An
    error of the file itself passes, with a note that names the spec.
    """
    path, sign, name = spec.rpartition(":")
    if not sign or not path or not name:
        raise UserCodeError(f"{what} {spec!r}: expected your own as path.py:name, found no path or no name")
    module = run_file(Path(path), spec, what)
    if not hasattr(module, name):
        here = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        near = difflib.get_close_matches(name, here, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserCodeError(
            f"{what} {spec!r}: {path} has no {name!r}; it has {', '.join(here) or 'no functions and classes'}{hint}"
        )
    return getattr(module, name)


def load_validated(spec: str, what: str) -> Any:
    """Return the object that a spec names, during the validation of a config. Raises as ``load_object`` does.

    Validation interprets ValueError and AssertionError as problems of the config; those of the file become a UserFileError.
    """
    try:
        return load_object(spec, what)
    except UserCodeError:
        raise
    except (ValueError, AssertionError) as error:
        raise UserFileError(f"{what} {spec!r}: its file ended with {type(error).__name__}: {error}") from error


def run_file(path: Path, spec: str, what: str) -> ModuleType:
    """Run a file and return its module; a file that has already run is not run again."""
    path = path.resolve()
    if path.suffix != ".py":
        raise UserCodeError(f"{what} {spec!r}: expected a Python file ending in .py, found {path.name}")
    name = module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        found = f"no file {path}; paths are relative to the current directory, {Path.cwd()}"
        raise UserCodeError(f"{what} {spec!r}: {found}")
    module = ModuleType(name)
    module.__file__ = str(path)
    source = path.read_bytes()
    setattr(module, SOURCE, source)
    sys.modules[name] = module  # dataclasses and pickle look a module up by its name
    try:
        exec(compile(source, str(path), "exec"), vars(module))  # not importlib: its byte code may be of an older source
    except BaseException as error:  # whatever ended it: a module that was run in part must not be found the next time
        del sys.modules[name]
        error.add_note(f"while {path.name} was run, which {what} {spec!r} names")
        raise
    return module


def module_name(path: Path) -> str:
    """Return the key of a resolved file's module in sys.modules."""
    return f"mmrl_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()}"


def code_hash(spec: str) -> str:
    """Return a short hash of a spec's file, as it ran, or as it is if it has not run; modules that it imports are not included."""
    path = Path(spec.rpartition(":")[0])
    module = sys.modules.get(module_name(path.resolve()))
    source = path.read_bytes() if module is None else getattr(module, SOURCE)
    return short_hash(path.name.encode() + source)


def code_hashes(values: Mapping[str, Any]) -> dict[str, str]:
    """Return ``code_hash`` of each value of a plain config that names a user's code, by the value's dotted key.

    A value of this form without a file, such as the name of a folder, is left out.
    """
    return {key: code_hash(value) for key, value in leaves(values) if is_spec(value) and has_code(value)}


def has_code(spec: str) -> bool:
    """Return True if a spec's file has run or exists."""
    path = Path(spec.rpartition(":")[0]).resolve()
    return module_name(path) in sys.modules or path.is_file()


def leaves(values: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the scalar values of nested plain data, each with its dotted key; items of lists count from 0."""
    if isinstance(values, Mapping):
        inner = values.items()
    elif isinstance(values, list | tuple):
        inner = enumerate(values)
    else:
        yield place, values
        return
    for key, value in inner:
        yield from leaves(value, f"{place}.{key}" if place else str(key))
