"""The table of levels for the terminal."""

from rich.table import Table
from rich.text import Text

from mmrl.report.data import Levels
from mmrl.report.levels import rows

STYLES = {"better": "green", "worse": "red", "unclear": "bright_black"}


def levels_table(levels: Levels, title: str | None = None) -> Table:
    """Level, metric, before, after, difference in points with its 95 % interval, n. Print it with rich."""
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in ("", "metric"):
        table.add_column(column)
    for column in ("before", "after", "points", "95 % interval", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows(levels):
        if row.opens and table.row_count:
            table.add_section()
        change, interval = Text(row.difference, STYLES[row.verdict]), Text(row.interval, STYLES[row.verdict])
        level = Text(row.level if row.opens else "", "bold")
        table.add_row(level, Text(row.metric), row.before, row.after, change, interval, f"{row.n:,}")
    return table
