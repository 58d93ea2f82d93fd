"""Tables of levels for the terminal."""

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmrl.evaluation.statistics import Difference
from mmrl.evaluation.summary import Mean, Summary
from mmrl.evaluation.tables.arms import ModelComparison, lines
from mmrl.evaluation.tables.levels import Levels, limits, percent, percents, points, rows, verdict
from mmrl.runtime.console import console

WIDE = 200  # columns: a table is never cut
LEVEL = ("", "metric")  # the first columns of a table of levels
STYLES = {"better": "green", "worse": "red", "unclear": "bright_black", "differs": "bold"}


def show(table: Table) -> None:
    """Print a table whole; a narrow terminal wraps its lines."""
    Console(width=max(console.width, WIDE)).print(table)


def plain_table(title: str | None, words: Sequence[str], numbers: Sequence[str] = (), gap: int = 2) -> Table:
    """Return an empty table. Its columns are never cut; words beside numbers may wrap."""
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, gap, 0, 0)
    )
    for column in words:
        table.add_column(column, no_wrap=not numbers)
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def levels_table(levels: Levels, title: str | None = None) -> Table:
    """Return a table of level, metric, before, after, difference in points with its 95 % interval, n. Print it with rich."""
    table = plain_table(title, LEVEL, ("before", "after", "points", "95 % interval", "n"))
    for row in rows(levels):
        if row.opens and table.row_count:
            table.add_section()
        difference, style = row.source, STYLES[verdict(row.source)]
        shown = (
            percent(difference.before),
            percent(difference.after),
            Text(points(difference.mean), style),
            Text(limits(difference), style),
        )
        table.add_row(Text(row.level if row.opens else "", "bold"), Text(row.metric), *shown, f"{difference.n:,}")
    return table


def comparison_table(comparison: ModelComparison, title: str | None = None) -> Table:
    """Return a table of level, metric, each model's mean and each pair's difference in points, with 95 % intervals; it fits 80 columns."""
    pairs = [f"{of}\n\u2212 {minus}" for of, minus in comparison.pairs]
    table = plain_table(title, LEVEL, [*comparison.models, *pairs], gap=1)
    for line in lines(comparison):
        if line.opens and table.row_count:
            table.add_section()
        means = [share(mean) for mean in line.means]
        gaps = [change(gap, line.undirected) for gap in line.gaps]
        table.add_row(Text(line.level if line.opens else "", "bold"), Text(line.metric), *means, *gaps)
    return table


def share(mean: Mean | None) -> Text:
    """Return a mean with its interval: 42.0 30-55 for 42 % of 30 to 55 %."""
    if mean is None:
        return Text("\u2013", "bright_black")
    interval = f"{100 * mean.low:.0f}\u2013{100 * mean.high:.0f}"
    return Text(f"{100 * mean.mean:.1f}") + Text(f"{interval:>7}", "bright_black")


def change(difference: Difference | None, undirected: bool) -> Text:
    """Return a difference in points."""
    if difference is None:
        return Text("\u2013", "bright_black")
    return Text(
        f"{points(difference.mean)} {whole_points(difference.low)} to {whole_points(difference.high)}",
        STYLES[verdict(difference, undirected)],
    )


def whole_points(fraction: float) -> str:
    """Return a difference in whole points, with its sign."""
    return points(round(fraction, 2) if math.isfinite(fraction) else fraction).removesuffix(".0")


def summaries_table(levels: Mapping[str, Summary], title: str | None = None) -> Table:
    """Return a table of level, metric, mean with its 95 % interval, items scored of those expected, and statuses of completions."""
    table = plain_table(title, LEVEL, ("mean", "95 % interval", "scored", "completions"))
    for name, summary in levels.items():
        if table.row_count:
            table.add_section()
        for number, (metric, mean) in enumerate(summary.metrics.items()):
            first = number == 0
            counts = f"{summary.scored:,} of {summary.expected:,}" if first else ""
            statuses = ", ".join(f"{n:,} {status}" for status, n in summary.statuses.items()) if first else ""
            level = Text(name if first else "", "bold")
            table.add_row(level, Text(metric), percent(mean.mean), percents(mean.low, mean.high), counts, statuses)
    return table
