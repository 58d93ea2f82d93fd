"""Load a grader by its name in the YAML: one of mmrl's, or your own as path.py:function."""

import inspect

from mmrl.rewards.grader_forms import judges_whole_group
from mmrl.rewards.graders import GRADERS, Grader
from mmrl.runtime.user_code import load_object


def load_grader(spec: str) -> Grader:
    """Return the grader that a spec names.

    A path is relative to the current directory. Loading runs the file. Raises ValueError if the spec names no valid grader.
    """
    if spec in GRADERS:
        return GRADERS[spec]
    path, separator, name = spec.rpartition(":")
    if not separator or not path or not name:
        raise ValueError(f"grader {spec!r}: expected one of {', '.join(GRADERS)}, or your own as path.py:function")
    grader = load_object(spec, "grader")
    if not callable(grader):
        raise ValueError(f"grader {spec!r}: expected a function, found {type(grader).__name__}")
    if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in inspect.signature(grader).parameters.values()):
        raise ValueError(f"grader {spec!r}: add **fields to its parameters: it is given every field of the example")
    try:
        judges_whole_group(grader)
    except ValueError as error:
        raise ValueError(f"grader {spec!r}: {error}") from None
    return grader
