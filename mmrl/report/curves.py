"""Draw training curves as SVG text that inherits its colours and its font from the page."""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmrl.runtime.json_lines import read

INK = "#010203"  # replaced by currentColor, so that text is readable on light and dark pages
COLORS = ("#3f7fd6", "#dd7a3c", "#3a9f68", "#a862c4", "#c9505f", "#b8961f", "#4aa8b0", "#8b8f98")
STYLE = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 10.5}

Rows = Sequence[Mapping[str, Any]]

PANELS = (  # a key of metrics.jsonl, the title of its panel, its unit; the first pattern that matches takes a key
    (r"validation/(.+)", "Validation: {}", ""),
    (r"care/(.+)", "Consistency bonus: {}", ""),
    (r"reward", "Reward: weighted sum", ""),
    (r"rewards/(.+)/mean", "Reward: {}", ""),
    (r"groups/frac_without_signal", "Groups without signal", "share"),
    (r"completions/distinct", "Distinct completions", "share"),
    (r"completions/clipped_ratio", "Truncated completions", "share"),
    (r"entropy", "Entropy", "nats"),
    (r"kl", "KL to the reference", "nats"),
    (r"completions/mean_length", "Completion length", "tokens"),
    (r"grad_norm", "Gradient norm", ""),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A panel of the page."""

    title: str
    unit: str
    svg: str


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl without an unfinished last line; empty if there is no file."""
    return read(path) if path.exists() else []


def compared(runs: Mapping[str, Rows]) -> Iterator[Curve]:
    """Yield one panel for each key of PANELS that runs logged, with one line per run, of the same colour in all panels."""
    logged = by_key(runs)
    panels = {key: panel for key in sorted(logged) if (panel := panel_of(key)) is not None}
    for key, (_, title, unit) in sorted(panels.items(), key=lambda item: item[1][0]):
        yield Curve(title, unit, draw(logged[key], key, colors_of(runs)))


def others_compared(runs: Mapping[str, Rows]) -> Iterator[Curve]:
    """Yield one panel for each other key that runs logged."""
    logged = by_key(runs)
    for key in sorted(key for key in logged if panel_of(key) is None):
        yield Curve(key, "", draw(logged[key], key, colors_of(runs)))


def colors_of(runs: Mapping[str, Rows]) -> dict[str, str]:
    """Return the colour of each run; runs beyond the number of colours have none."""
    return dict(zip(runs, COLORS, strict=False))


def panel_of(key: str) -> tuple[int, str, str] | None:
    """Return the index, the title and the unit of a key's panel; None if PANELS has none."""
    for place, (pattern, title, unit) in enumerate(PANELS):
        if match := re.fullmatch(pattern, key):
            return place, title.format(*match.groups()), unit
    return None


def by_key(runs: Mapping[str, Rows]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return the points (step, value) by key and run; values that are not finite numbers are left out."""
    logged: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, rows in runs.items():
        for row in rows:
            for key, value in row.items():
                if key != "step" and is_number(value) and is_number(row.get("step")):
                    logged.setdefault(key, {}).setdefault(name, []).append((row["step"], value))
    return logged


def is_number(value: object) -> bool:
    """Return True if a value is a finite number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def draw(series: Mapping[str, list[tuple[float, float]]], salt: str, colors: Mapping[str, str]) -> str:
    """Return the SVG of one panel with one line per run: values faint, their mean over a window of steps bold."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(4.6, 2.6), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for name, points in series.items():
            line(axes, points, name, colors[name])
        plain(axes)
        if len(series) > 1:
            figure.legend(
                loc="outside upper left", ncols=4, frameon=False, labelcolor=INK, handlelength=1.1, columnspacing=1.2
            )
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def line(axes: Axes, points: Sequence[tuple[float, float]], label: str, color: str) -> None:
    """Draw a series; fewer than 12 points get markers and no mean."""
    steps, values = zip(*points, strict=True)
    if len(points) < 12:
        axes.plot(steps, values, color=color, label=label, linewidth=1.6, marker="o", markersize=3)
        return
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(steps, running_mean(values, max(3, len(values) // 15)), color=color, label=label, linewidth=1.8)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Return, for each value, the mean of the last ``window`` values up to it."""
    return [sum(values[max(0, i + 1 - window) : i + 1]) / min(window, i + 1) for i in range(len(values))]


def plain(axes: Axes) -> None:
    """Remove all lines of the axes but the bottom one and a faint grid."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set(color=INK, alpha=0.3)
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.8)
    axes.tick_params(colors=INK, length=0, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.01)
