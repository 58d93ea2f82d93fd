"""Training curves as SVG text that takes its colours and its font from the page around it."""

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
    """A panel as it stands in the page."""

    title: str
    unit: str
    svg: str


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl; a last line that is still being written is left out."""
    return read(path) if path.exists() else []


def compared(runs: Mapping[str, Rows]) -> Iterator[Curve]:
    """Yield the panels of runs: a panel a key, a line a run, which has the same colour in all panels."""
    logged = by_key(runs)
    found = {key: panel for key in sorted(logged) if (panel := panel_of(key)) is not None}
    for key, (_, title, unit) in sorted(found.items(), key=lambda item: item[1][0]):
        yield Curve(title, unit, draw(logged[key], key, colors_of(runs)))


def others_compared(runs: Mapping[str, Rows]) -> Iterator[Curve]:
    """Yield a panel for everything else that runs logged."""
    logged = by_key(runs)
    for key in sorted(key for key in logged if panel_of(key) is None):
        yield Curve(key, "", draw(logged[key], key, colors_of(runs)))


def colors_of(runs: Mapping[str, Rows]) -> dict[str, str]:
    """Return the colour of each run, as long as there are any."""
    return dict(zip(runs, COLORS, strict=False))


def panel_of(key: str) -> tuple[int, str, str] | None:
    """Return the place, the title and the unit of the panel of a key; None if it has none."""
    for place, (pattern, title, unit) in enumerate(PANELS):
        if match := re.fullmatch(pattern, key):
            return place, title.format(*match.groups()), unit
    return None


def by_key(runs: Mapping[str, Rows]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return (step, value) by key and run, for what is a finite number."""
    logged: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, rows in runs.items():
        for row in rows:
            for key, value in row.items():
                if key != "step" and is_number(value) and is_number(row.get("step")):
                    logged.setdefault(key, {}).setdefault(name, []).append((row["step"], value))
    return logged


def is_number(value: object) -> bool:
    """Return True for a value that can be plotted."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def draw(series: Mapping[str, list[tuple[float, float]]], salt: str, colors: Mapping[str, str]) -> str:
    """Return one panel, a line a run: every value faint, the mean over a window of steps bold."""
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
    """Draw a series; few points are shown as points."""
    steps, values = zip(*points, strict=True)
    if len(points) < 12:
        axes.plot(steps, values, color=color, label=label, linewidth=1.6, marker="o", markersize=3)
        return
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(steps, running_mean(values, max(3, len(values) // 15)), color=color, label=label, linewidth=1.8)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Return the mean of the last values up to each; no value after it."""
    return [sum(values[max(0, i + 1 - window) : i + 1]) / min(window, i + 1) for i in range(len(values))]


def plain(axes: Axes) -> None:
    """Leave only the lines that help reading."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set(color=INK, alpha=0.3)
    axes.grid(axis="y", color=INK, alpha=0.1, linewidth=0.8)
    axes.tick_params(colors=INK, length=0, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.01)
