"""Write report.html: one file without scripts or external files, in which all text of models is escaped."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup, escape
from PIL import Image

from mmrl.evaluation.statistics import Difference
from mmrl.evaluation.tables.arms import lines
from mmrl.evaluation.tables.levels import limits, p_value, percent, points, rows, verdict
from mmrl.report.curves import compared, others_compared
from mmrl.report.data import ReportData, RolloutCompletion
from mmrl.report.templates import render
from mmrl.runtime.files import write_whole

TEMPLATE = "report.html.j2"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def write_report(run: Path, data: ReportData) -> Path:
    """Write the run's report.html atomically and return its path."""
    table, compared_lines = list(rows(data.levels)), list(lines(data.comparison)) if data.comparison else []
    page = render(
        TEMPLATE,
        FILTERS,
        data=data,
        rows=table,
        reach=reach([row.source for row in table]),
        lines=compared_lines,
        lines_reach=reach([line.gaps[-1] for line in compared_lines if line.gaps and line.gaps[-1]]),
        curves=list(compared(data.runs)),
        others=list(others_compared(data.runs)),
    )
    path = run / "report.html"
    write_whole(path, page)
    return path


def parts(completion: RolloutCompletion) -> tuple[str, str, str]:
    """Return the text before the graded answer, the answer without surrounding space, and the text after it."""
    start, end = completion.answer_span or (len(completion.text),) * 2
    answer = completion.text[start:end]
    start += len(answer) - len(answer.lstrip())
    end = start + len(answer.strip())
    return completion.text[:start], completion.text[start:end], completion.text[end:]


def tags(text: str) -> Markup:
    """Escape a text and mark the tags of the answer's format."""
    escaped = escape(text)
    for tag in TAGS:
        escaped = escaped.replace(escape(tag), Markup("<i>{}</i>").format(tag))
    return escaped


def picture(strip: np.ndarray) -> str:
    """Encode a strip of frames, uint8 [h w 3], as the data URI of a PNG. Raises ValueError for other arrays."""
    if strip.dtype != np.uint8 or strip.ndim != 3 or strip.shape[-1] != 3:
        raise ValueError(f"rollout strip: expected uint8 [h w 3], found {strip.dtype} {strip.shape}")
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def number(value: float) -> str:
    """Format a reward with three significant digits: 1, 0.5, 2.25."""
    return f"{value:.3g}".replace("-", "\u2212")


def reach(differences: Sequence[Difference]) -> float:
    """Return half the width of the axis of differences: the largest absolute limit, rounded up to ten points."""
    limits = [abs(limit) for each in differences for limit in (each.low, each.high) if math.isfinite(limit)]
    return max(0.1, math.ceil(10 * max(limits, default=0.1) - 1e-9) / 10)


def forest(difference: Difference, half: float) -> dict[str, str]:
    """Return the positions of a line's dot and whisker, in percent of the axis."""
    at = [min(1.0, max(0.0, (value / half + 1) / 2)) for value in (difference.low, difference.mean, difference.high)]
    return {"left": f"{100 * at[0]:.2f}", "dot": f"{100 * at[1]:.2f}", "width": f"{100 * (at[2] - at[0]):.2f}"}


FILTERS = {
    each.__name__: each for each in (picture, parts, tags, number, percent, points, limits, p_value, verdict, forest)
}
