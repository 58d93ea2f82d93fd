"""A warning of a library is shown once a run, however often a step provokes it."""

import sys
import warnings
from typing import Any


def show_once() -> None:
    """Show each warning once in this process; nothing changes where Python was given ``-W``.

    Python's own rule, once a line of code, begins anew whenever anybody leaves ``warnings.catch_warnings``, and libraries
    do so many times a step. The same befalls its filter ``once``.
    """
    if sys.warnoptions:
        return
    show, shown = warnings.showwarning, set()

    def show_new(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if (str(message), category) not in shown:
            shown.add((str(message), category))
            show(message, category, *place, **more)

    warnings.showwarning = show_new
