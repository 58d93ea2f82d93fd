"""Tables of text, for the terminal and for Markdown, and records of where figures come from."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

WIDE = 240  # columns: a table is never cut; a narrow terminal wraps its lines
Cells = tuple[Sequence[str], Sequence[Sequence[str]]]  # header, lines


def terminal(cells: Cells, title: str | None = None, words: int = 1) -> Table:
    """Return a table to print with rich; the first ``words`` columns are text, the others numbers."""
    header, lines = cells
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for index, column in enumerate(header):
        table.add_column(column, justify="left" if index < words else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def markdown(cells: Cells, words: int = 1) -> str:
    """Return a table as Markdown, for a README."""
    header, lines = cells
    rule = ["---" if index < words else "--:" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))


def show(part: Table | str) -> None:
    """Prints a table."""
    if isinstance(part, str):
        print(part)
    else:
        Console(width=WIDE).print(part)


def record(command: str, **figures: Any) -> dict[str, Any]:
    """Figures with the command, the commit and the machine that made them."""
    from mmrl.runtime.provenance import commit, machine

    return {"command": f"python -m benchmark {command}", "commit": commit(), "machine": machine(), **figures}
