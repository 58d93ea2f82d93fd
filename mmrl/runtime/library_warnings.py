"""A warning of a library is shown once a run, however often a step provokes it."""

import sys
import warnings
from collections.abc import Callable
from typing import Any


def show_once() -> None:
    """Show each warning once in this process; nothing changes where Python was given ``-W``.

    Python's own rule, once a line of code, begins anew whenever anybody leaves ``warnings.catch_warnings``, and libraries
    do so many times a step. The same befalls its filter ``once``.
    """
    if not sys.warnoptions:
        warnings.showwarning = each_once(warnings.showwarning)


def each_once(show: Callable[..., None]) -> Callable[..., None]:
    """Pass on to ``show``, which is called as ``warnings.showwarning`` is, what has other words or another category."""
    shown: set[tuple[str, type[Warning]]] = set()

    def show_new(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if (str(message), category) not in shown:
            shown.add((str(message), category))
            show(message, category, *place, **more)

    return show_new
