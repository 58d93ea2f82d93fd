"""The table and the curves of all learners in a folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark.experiments.learners.inputs import INPUTS
from benchmark.tables import Cells
from mmrl.report.curves import COLORS

ACROSS = 4  # panels in a row
TITLE = "Accuracy in percent, its 95 % interval over octets, and the ceiling in brackets"
ALL = {"all families, sampled": "sampled", "all families, greedy": "greedy"}


def read(out: Path) -> list[Mapping[str, Any]]:
    """Return the learners of a folder, input by input. Raises ValueError where there is none."""
    found = [json.loads(path.read_text()) for path in sorted(out.glob("*-s*.json"))]
    if not found:
        raise ValueError(f"{out}: expected learners, found none")
    return sorted(found, key=lambda one: (list(INPUTS).index(one["input"]), one["seed"]))


def cells(learners: Sequence[Mapping[str, Any]]) -> Cells:
    """Return a line a learner; accuracies in percent with their intervals over octets, ceilings in brackets.

    The last column says after how many steps sampled accuracy was above 90 % for the first time.
    """
    header = ["input", "seed", "steps", "sampled", "greedy", "greedy, ordered", "greedy, unordered", "above 90 % after"]
    lines = []
    for one in learners:
        greedy, ceiling = one["final"]["greedy"], one["ceiling"]
        whole = [told(one["final"][name]["accuracy"], ceiling["all"]) for name in ("sampled", "greedy")]
        kinds = [told(greedy.get(kind), ceiling[kind]) for kind in ("ordered", "unordered")]
        solved = "never" if one["exceeds_90_at"] is None else str(one["exceeds_90_at"])
        steps = str(one["course"]["steps"])
        lines.append([one["input"], str(one["seed"]), steps, *whole, *kinds, solved])
    return header, lines


def told(figure: Mapping[str, Any] | None, ceiling: float) -> str:
    """Return a mean, its interval and its ceiling; a dash where no family of the kind was asked."""
    if figure is None:
        return "-"
    low, high = ("?" if each is None else f"{100 * each:.0f}" for each in (figure["low"], figure["high"]))
    return f"{100 * figure['mean']:.1f} ({low} to {high}) [{ceiling:g}]"


def draw(learners: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes the PNG: panels for all families together and one for each, a colour an input, a line a seed."""
    panels = [*ALL, *learners[0]["curve"][0]["families"]["sampled"]]
    down = -(-len(panels) // ACROSS)
    figure = Figure(figsize=(3.2 * ACROSS, 2.6 * down + 0.5), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    places = figure.subplots(down, ACROSS, squeeze=False, sharey=True).ravel()
    for axes, name in zip(places, panels, strict=False):
        panel(axes, name, learners)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    handles, names = places[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=len(names), frameon=False)
    figure.supylabel("accuracy, percent", fontsize=9)
    figure.savefig(path, metadata={"Software": None})


def panel(axes: Axes, name: str, learners: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy over steps, sampled in one family, or either way in all."""
    named: set[str] = set()
    for one in learners:
        shade = COLORS[list(INPUTS).index(one["input"])]
        steps = [point["step"] for point in one["curve"]]
        values = [point[ALL[name]] if name in ALL else point["families"]["sampled"][name] for point in one["curve"]]
        label = None if one["input"] in named else one["input"].replace("_", " ")
        axes.plot(steps, [100 * value for value in values], color=shade, label=label, linewidth=1.6)
        named.add(one["input"])
    for level in (25, 50, 100):
        axes.axhline(level, color="black", alpha=0.15, linewidth=0.8)
    axes.set_title(name, loc="left", fontsize=10)
    axes.set_ylim(0, 103)
    axes.set_yticks((0, 25, 50, 75, 100))
    axes.set_xlabel("steps", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
