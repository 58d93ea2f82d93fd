"""All points as a table, as Markdown and as a picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmark.speed.case import Case, distance
from benchmark.speed.ratios import CLOCKS, Target, growth, met
from benchmark.speed.run import TABLE
from benchmark.tables import Cells
from mmrl.report.curves import COLORS

Point = Mapping[str, Any]
TITLE = "Seconds: the least of repetitions; x: how many times mmrl's; MiB above models, gradients and moments"
TITLE_TARGETS = "\nTargets"
SHOWN = {"plain": "transformers", "mmrl": "mmrl", "trl": "TRL", "floor": "floor"}
MIB = 2**20


def points(folder: Path) -> list[Point]:
    """All that are there, the central ones first."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.name != TABLE]
    if not found:
        raise ValueError(f"{folder}: expected points, one JSON file each, found none")
    return sorted(found, key=lambda point: (distance(case_of(point)), case_of(point).name))


def case_of(point: Point) -> Case:
    """Reads the case of a point."""
    return Case(**point["case"])


def cells(found: Sequence[Point]) -> Cells:
    """A line a point."""
    header = ["P", "G", "T", "V", "tower", "FLOPs", "train x", "train s", "sample x", "sample s", "step s"]
    header += ["step x plain", "step x TRL", "over floor", "MiB", "plain", "TRL", "passes", "logp error"]
    return header, [line(point) for point in found]


def line(point: Point) -> list[str]:
    """Blank where a contender was not measured."""
    case, ratio, ours = case_of(point), point["ratios"], point["contenders"].get("mmrl")
    marks = case.tower + " (recomputed)" * case.checkpointing
    laps, clock = {} if ours is None else ours["laps"], CLOCKS[point["clock"]]
    error = (ours or {}).get("logp_error")
    return [
        str(ours["prompt_tokens"] if ours else case.prompt),
        str(case.group),
        str(case.new_tokens),
        str(case.words),
        marks,
        number(ratio.get("flops_ratio")),
        number(ratio.get("train_ratio_plain")),
        number(laps.get("train", {}).get(clock), 3),
        number(ratio.get("sample_ratio_plain")),
        number(laps.get("sample", {}).get(clock), 3),
        number(laps.get("step", {}).get(clock), 3),
        number(ratio.get("step_ratio_plain")),
        number(ratio.get("step_ratio_trl")),
        number(ratio.get("floor_ratio")),
        *(number(mebibytes(point, name), 0) for name in ("mmrl", "plain", "trl")),
        number(ours["work"]["vision_passes_per_prompt"] if ours else None, 1),
        number(error["ratio"] if error else None),
    ]


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def goals(found: Sequence[Point]) -> Cells:
    """Every target that a point speaks of, and whether it is met."""
    lines = [[case_of(p).name, *told(tuple(t))] for p in found for t in p["targets"]]
    steps = [(case_of(p), seconds(p, "mmrl")) for p in found if "mmrl" in p["contenders"]]
    lines += [["mmrl's step", *told(target)] for target in growth(steps)]
    return ["point", "what", "found", "target", "met"], lines


def told(target: Target) -> list[str]:
    """A target's cells."""
    name, found, how, limit = target
    return [name, f"{found:.2f}", f"{how} {limit:g}", "yes" if met(target) else "NO"]


def as_json(found: Sequence[Point]) -> dict[str, Any]:
    """Collects what table and picture show, and where each point comes from."""
    kept = ("case", "command", "commit", "machine", "repetitions", "clock", "ratios", "targets")
    return {"points": [{name: point[name] for name in kept} for point in found]}


def draw(found: Sequence[Point], path: Path) -> None:
    """Writes the PNG: how much of the useful arithmetic's ratio is reached, whole steps, memory."""
    figure = Figure(figsize=(13.5, 4.2), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    reached(left, found)
    bars(middle, found, "seconds of a step", seconds)
    bars(right, found, "MiB above models, gradients, moments", mebibytes)
    right.set_yticklabels([])
    figure.savefig(path, metadata={"Software": None})


def seconds(point: Point, name: str) -> float | None:
    """Times a contender's whole step, or the floor, by the point's clock."""
    found, clock = point["contenders"].get(name), CLOCKS[point["clock"]]
    if found is None:
        return None
    return found["floor"][clock] if "floor" in found else found["laps"]["step"][clock]


def mebibytes(point: Point, name: str) -> float | None:
    """Gives the memory that a contender needs on top; the floor's is not measured."""
    found = point["contenders"].get(name, {})
    return found["peak_bytes_above"] / MIB if "peak_bytes_above" in found else None


def reached(axes: Axes, found: Sequence[Point]) -> None:
    """Training: the ratio of times over the ratio of useful arithmetic, one dot a point."""
    pairs = [
        (p["ratios"]["flops_ratio"], p["ratios"]["train_ratio_plain"])
        for p in found
        if "train_ratio_plain" in p["ratios"]
    ]
    most = max((x for x, _ in pairs), default=1) * 1.1
    axes.plot([1, most], [1, most], color="#8b8f98", linewidth=1, label="equal")
    axes.plot([1, most], [0.8, 0.8 * most], color="#8b8f98", linewidth=1, linestyle=":", label="0.8 of it")
    axes.plot([x for x, _ in pairs], [y for _, y in pairs], "o", color=COLORS[0])
    axes.set_xlabel("useful operations, rows apart / prompt shared")
    axes.set_title("training: seconds, transformers / mmrl", loc="left", fontsize=10.5)
    finish(axes)


def bars(axes: Axes, found: Sequence[Point], title: str, value) -> None:
    """A point a row, a bar a contender."""
    names = [name for name in SHOWN if any(name in p["contenders"] for p in found)]
    for row, point in enumerate(found):
        for place, name in enumerate(names):
            length = value(point, name)
            if length:
                at = row + 0.8 * ((place + 0.5) / len(names) - 0.5)
                label = (
                    SHOWN[name] if name not in axes.get_legend_handles_labels()[1] and first(found, row, name) else None
                )
                axes.barh(at, length, 0.8 / len(names), color=COLORS[place % len(COLORS)], label=label)
    axes.set_yticks(range(len(found)), [short(case_of(point)) for point in found], fontsize=7.5)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=10.5)
    finish(axes)


def first(found: Sequence[Point], row: int, name: str) -> bool:
    """True if no earlier point has this contender."""
    return all(name not in point["contenders"] for point in found[:row])


def short(case: Case) -> str:
    """A point's name on an axis."""
    marks = ", recomputed" * case.checkpointing + ", frozen tower" * (case.tower == "frozen")
    return f"P {case.prompt}, G {case.group}, T {case.new_tokens}, V {case.words}{marks}"


def finish(axes: Axes) -> None:
    """The house's looks."""
    axes.grid(alpha=0.25, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    axes.legend(frameon=False, fontsize=8)
