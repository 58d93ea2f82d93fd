"""Code of a user's own that a YAML names as path.py:name. Whoever loads it runs the file.

A path is relative to the current directory. A file is run once in a process, so that all of its names that a config gives are of
one module, and what is recorded of the code is what was run, even where the file has changed since.
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

PATTERN = r".+\.py:[A-Za-z_]\w*"  # how a value of a YAML looks that names code of one's own
SOURCE = "__mmrl_source__"  # in a module: the bytes of the file that were run


class UserCodeError(ValueError):
    """A spec that names nothing, or a thing of the wrong sort: the key, expected, found, what to do."""


class UserFileError(RuntimeError):
    """A user's file ended with an error that the validation of a config would take for a problem of the config."""


def is_spec(value: Any) -> bool:
    """Return whether a value names code of a user's own, as path.py:name."""
    return isinstance(value, str) and re.fullmatch(PATTERN, value) is not None


def load_object(spec: str, what: str) -> Any:
    """Return what a spec names: a function, a class, a value.

    ``what`` says in messages which key the spec is of. Raises UserCodeError for a spec of another form, and for a file or a name
    that is not there. An error of the file itself passes, with a note that names the spec.
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
    """Return what a spec names while a config is validated. Raises as ``load_object`` does.

    Validation takes a ValueError and an AssertionError for problems of the config: those of the file become a UserFileError.
    """
    try:
        return load_object(spec, what)
    except UserCodeError:
        raise
    except (ValueError, AssertionError) as error:
        raise UserFileError(f"{what} {spec!r}: its file ended with {type(error).__name__}: {error}") from error


def run_file(path: Path, spec: str, what: str) -> ModuleType:
    """Run a file and return its module; the same one for the same file."""
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
    """Return the name under which a resolved file's module stands in sys.modules."""
    return f"mmrl_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()}"


def code_hash(spec: str) -> str:
    """Return a short hash of a spec's file as it was run; where it was not run yet, as it is. Of that file alone."""
    path = Path(spec.rpartition(":")[0])
    module = sys.modules.get(module_name(path.resolve()))
    source = path.read_bytes() if module is None else getattr(module, SOURCE)
    return short_hash(path.name.encode() + source)


def code_hashes(values: Mapping[str, Any]) -> dict[str, str]:
    """Return ``code_hash`` each value of a plain config that names a user's code, by its dotted key.

    A value that only looks like it, as a folder may be called so, has no file and is left out.
    """
    return {key: code_hash(value) for key, value in leaves(values) if is_spec(value) and has_code(value)}


def has_code(spec: str) -> bool:
    """Return whether a spec's file was run, or is there to be run."""
    path = Path(spec.rpartition(":")[0]).resolve()
    return module_name(path) in sys.modules or path.is_file()


def leaves(values: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested plain data that hold no others, each with its dotted key; items of lists count from 0."""
    if isinstance(values, Mapping):
        inner = values.items()
    elif isinstance(values, list | tuple):
        inner = enumerate(values)
    else:
        yield place, values
        return
    for key, value in inner:
        yield from leaves(value, f"{place}.{key}" if place else str(key))
