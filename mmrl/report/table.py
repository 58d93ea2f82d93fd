"""The table of levels for the terminal."""

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from mmrl.evaluate import Summary
from mmrl.report.data import Levels
from mmrl.report.levels import percent, rows

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


def summaries_table(levels: Mapping[str, Summary], title: str | None = None) -> Table:
    """Level, metric, mean with its 95 % interval, items scored of those expected, and what became of the completions."""
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in ("", "metric"):
        table.add_column(column)
    for column in ("mean", "95 % interval", "scored", "completions"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, summary in levels.items():
        if table.row_count:
            table.add_section()
        for number, (metric, found) in enumerate(summary.metrics.items()):
            first = number == 0
            counts = f"{summary.scored:,} of {summary.expected:,}" if first else ""
            statuses = ", ".join(f"{n:,} {status}" for status, n in summary.statuses.items()) if first else ""
            interval = f"{percent(found.low)} to {percent(found.high)}"
            level = Text(name if first else "", "bold")
            table.add_row(level, Text(metric), percent(found.mean), interval, counts, statuses)
    return table
