"""The picture of a table of arms: one panel a metric, one dot an arm and level with its interval over seeds."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.experiments.arms.tables import BEFORE, Spread
from mmrl.report.curves import COLORS

GREYS = ("#8b8f98", "#c3c6cc", "#5b5f68")  # of what there was before training
WIDTH = 0.7  # of a level's place, which its arms share
ACROSS = 3  # panels in a row
NAMES = 5  # in a row of the legend


def draw(means: Sequence[Spread], path: Path) -> None:
    """Writes the PNG. Small dots are single seeds; a large dot without a line has no interval."""
    metrics = list(dict.fromkeys(one.metric for one in means))
    arms = list(dict.fromkeys(one.arm for one in sorted(means, key=lambda one: not one.arm.startswith(BEFORE))))
    across = min(ACROSS, len(metrics))
    down = -(-len(metrics) // across)
    figure = Figure(figsize=(4.4 * across, 3.0 * down + 0.5), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, metric in zip(panels, metrics, strict=False):
        panel(axes, metric, [one for one in means if one.metric == metric], arms)
    for axes in panels[len(metrics) :]:
        axes.set_axis_off()
    handles = {text: line for axes in panels for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    ordered = [arm for arm in arms if arm in handles]
    figure.legend(
        [handles[arm] for arm in ordered],
        ordered,
        loc="outside upper left",
        ncols=min(NAMES, len(ordered)),
        frameon=False,
    )
    figure.savefig(path, metadata={"Software": None})


def panel(axes: Axes, metric: str, means: Sequence[Spread], arms: Sequence[str]) -> None:
    """One metric: levels from left to right, arms side by side."""
    levels = list(dict.fromkeys(one.level for one in means))
    labelled: set[str] = set()
    for one in means:
        place = arms.index(one.arm)
        at = levels.index(one.level) + WIDTH * ((place + 0.5) / len(arms) - 0.5)
        mark(axes, at, one, colour(one.arm, arms), None if one.arm in labelled else one.arm, WIDTH / len(arms) / 4)
        labelled.add(one.arm)
    axes.set_title(metric, loc="left", fontsize=10.5)
    axes.set_xticks(range(len(levels)), levels)
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", alpha=0.25, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def mark(axes: Axes, at: float, one: Spread, shade: str, label: str | None, aside: float) -> None:
    """A mean with its interval, and beside it the single seeds."""
    seeds = list(one.seeds.values())
    axes.plot([at + aside] * len(seeds), seeds, "o", color=shade, alpha=0.5, markersize=3.5, markeredgewidth=0)
    if one.low is not None and one.high is not None:
        axes.plot([at, at], [one.low, one.high], color=shade, linewidth=1.8, solid_capstyle="round")
    axes.plot([at], [one.mean], "o", color=shade, markersize=6.5, label=label)


def colour(arm: str, arms: Sequence[str]) -> str:
    """Return a grey for what was there before training, the report's colours for the arms."""
    trained = [name for name in arms if not name.startswith(BEFORE)]
    untrained = [name for name in arms if name.startswith(BEFORE)]
    return COLORS[trained.index(arm) % len(COLORS)] if arm in trained else GREYS[untrained.index(arm) % len(GREYS)]
