"""Compares a point's figures with one another and with targets."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.speed.case import Case
from benchmark.speed.flops import reading, sampling, training

Found = Mapping[str, Mapping[str, Any]]  # contender -> what its process measured
CLOCKS = {"wall": "min", "processor": "cpu_min"}  # which figure of a lap ratios go by
WALL = "min"
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}  # dense bfloat16, per second


def ratios(case: Case, found: Found, clock: str = WALL) -> dict[str, float]:
    """By the least of repetitions, which other processes disturbed least."""
    out: dict[str, float] = {}
    if "mmrl" in found:
        out["flops_ratio"] = flops_ratio(case, found["mmrl"]["prompt_tokens"])
    for other in ("plain", "trl"):
        if "mmrl" in found and other in found:
            for lap in ("train", "sample", "step"):
                out[f"{lap}_ratio_{other}"] = of(found, other, lap, clock) / of(found, "mmrl", lap, clock)
            above = [found[name]["peak_bytes_above"] for name in ("mmrl", other)]
            out[f"memory_share_{other}"] = above[0] / above[1]
    if "mmrl" in found and "floor" in found:
        out["floor_ratio"] = of(found, "mmrl", "step", clock) / found["floor"]["floor"][clock]
    return {name: round(value, 4) for name, value in out.items()}


def of(found: Found, contender: str, lap: str, clock: str) -> float:
    """Seconds of one part of a contender's step."""
    return found[contender]["laps"][lap][clock]


def flops_ratio(case: Case, prompt: int) -> float:
    """Useful arithmetic of the training part: rows by themselves over the shared prompt."""
    return training(case, prompt, shared=False).total / training(case, prompt, shared=True).total


def flops(case: Case, prompt: int) -> dict[str, Any]:
    """Counts the operations of both paths."""
    both = {name: training(case, prompt, shared) for name, shared in (("shared", True), ("rows", False))}
    parts = {
        name: {part: getattr(f, part) for part in ("body", "attention", "head", "tower", "total")}
        for name, f in both.items()
    }
    return {"train": parts, "sample": sampling(case, prompt), "reference": reading(case, prompt)}


def utilisation(case: Case, found: Found, device: str) -> dict[str, float]:
    """Useful arithmetic over what the device can do, by phase of mmrl's step; nothing for a device that is not known."""
    peak = next((rate for name, rate in PEAKS.items() if name in device), None)
    if peak is None or "mmrl" not in found:
        return {}
    needed = flops(case, found["mmrl"]["prompt_tokens"])
    useful = {"train": needed["train"]["shared"]["total"], "sample": needed["sample"], "reference": needed["reference"]}
    laps = found["mmrl"]["laps"]
    return {name: useful[name] / laps[name][WALL] / peak for name in useful if name in laps and laps[name][WALL] > 0}


Target = tuple[str, float, str, float]  # what, found, at least or at most, how much


def targets(case: Case, figures: Mapping[str, float]) -> list[Target]:
    """Issue 4's, as far as this point speaks of them."""
    centre = Case(tower=case.tower, checkpointing=case.checkpointing)
    rules = [("sample_ratio_plain", "at least", 1.7), ("floor_ratio", "at most", 1.3)] if case == centre else []
    if case == centre:
        rules += [("train_ratio_plain", "at least", 5.2), ("step_ratio_trl", "at least", 5.0)]
        rules += [("memory_share_trl", "at most", 0.25)]
    if case.prompt >= 1000 and "flops_ratio" in figures:
        rules.append(("train_ratio_plain", "at least", round(0.8 * figures["flops_ratio"], 2)))
    return [(name, figures[name], how, limit) for name, how, limit in rules if name in figures]


def met(target: Target) -> bool:
    """True if the target is reached."""
    _, found, how, limit = target
    return found >= limit if how == "at least" else found <= limit


def growth(points: Sequence[tuple[Case, float]]) -> list[Target]:
    """Measures how a step of mmrl grows from a group of 8 to one of 16, and with twice the frames."""
    steps, out = dict(points), []
    for case, seconds in steps.items():
        kin = {name: getattr(case, name) for name in case.__slots__}
        wider, longer = Case(**kin | {"group": 16}), Case(**kin | {"prompt": 2100})
        if case.group == 8 and wider in steps:
            out.append((f"G 8 to 16, {case.name}", round(steps[wider] / seconds, 3), "at most", 1.4))
        if case.prompt == 1100 and longer in steps:
            out.append((f"frames doubled, {case.name}", round(steps[longer] / seconds, 3), "at most", 2.2))
    return out
