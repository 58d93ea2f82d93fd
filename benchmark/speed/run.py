"""Points, contender by contender, each in a process; a contender whose figures are there is not run again.

OUT/NAME.json      one point: what every contender measured, useful arithmetic, ratios
OUT/work/          models, clips and logs; cleared when a point is done
OUT/table.json, table.md, speed.png    of all points (page.py)
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmark.paths import ROOT, told
from benchmark.speed.case import Case
from benchmark.speed.ratios import CLOCKS, Found, flops, ratios, targets, utilisation
from benchmark.speed.worker import CONTENDERS
from benchmark.tables import Cells, record
from mmrl.cli.quickstart.train_arms import end_process, log_tail, stopped_in_order
from mmrl.runtime.files import write_json

TABLE = "table.json"
START = 12.0  # seconds of a process before it measures
SPEED = 2e10  # useful operations a second and thread, until a point has been measured
TRIES = {"mmrl": 0, "floor": 0, "trl": 0, "plain": 3}  # trainings besides steps: micro-batches


@dataclass(frozen=True, slots=True)
class Plan:
    """Says how everything is measured."""

    out: Path
    contenders: tuple[str, ...] = ("mmrl", "plain", "floor")
    repetitions: int = 3
    threads: int = os.cpu_count() or 1
    gpu: bool = False
    clock: str = "wall"  # or "processor", for a machine that others use, too

    def __post_init__(self) -> None:
        unknown = [name for name in self.contenders if name not in CONTENDERS]
        if unknown:
            raise ValueError(f"--contenders: expected some of {', '.join(CONTENDERS)}; found {', '.join(unknown)}")
        if self.repetitions < 1 or self.threads < 1:
            raise ValueError(f"speed: expected 1 or more repetitions and threads, found {self}")
        if self.clock not in CLOCKS:
            raise ValueError(f"--clock: expected one of {', '.join(CLOCKS)}; found {self.clock!r}")
        if self.clock == "processor" and (self.threads > 1 or self.gpu):
            raise ValueError("--clock processor: needs --threads 1, as threads that wait for one another count, too")
        if "trl" in self.contenders and find_spec("trl") is None:
            raise ValueError("--contenders: TRL is not installed: pip install -e '.[bench]', or leave trl out")

    def path(self, case: Case) -> Path:
        """A point's file."""
        return self.out / f"{case.name}.json"


def available() -> tuple[str, ...]:
    """All contenders that can be run here."""
    return tuple(name for name in CONTENDERS if name != "trl" or find_spec("trl") is not None)


def read(path: Path) -> dict[str, Any]:
    """A point's file, or the beginning of one."""
    return json.loads(path.read_text()) if path.exists() else {"contenders": {}}


def missing(case: Case, plan: Plan) -> list[str]:
    """Contenders that were not measured yet. Raises ValueError where the file is of another number of threads."""
    done = read(plan.path(case))["contenders"]
    other = {found["threads"] for found in done.values()} - {plan.threads}
    if other and not plan.gpu:
        raise ValueError(
            f"{plan.path(case)}: expected figures of {plan.threads} threads, found {other}; give another folder"
        )
    return [name for name in plan.contenders if name not in done]


def run(cases: Sequence[Case], plan: Plan, tell: Callable[[str], None]) -> list[str]:
    """Measure what is missing; the names of what failed, which leaves the rest alone."""
    failed = []
    with stopped_in_order():
        for case in cases:
            for name in missing(case, plan):
                try:
                    found = measured(name, case, plan)
                except RuntimeError as error:
                    tell(str(error))
                    failed.append(f"{case.name} {name}")
                else:
                    keep(case, name, found, plan)
                    tell(f"{case.name} {name}: {found['seconds_in_all']:.0f} s")
            shutil.rmtree(folder_of(case, plan), ignore_errors=True)
    return failed


def folder_of(case: Case, plan: Plan) -> Path:
    """Names the folder of a point's models, clips and logs while it is measured."""
    return (plan.out / "work" / case.name).resolve()


def measured(name: str, case: Case, plan: Plan) -> dict[str, Any]:
    """Measures one contender in its own process. Raises RuntimeError with the end of its log if it failed."""
    folder = folder_of(case, plan)
    shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (plan.out / "work" / ".gitignore").write_text("*\n")
    job, out, log = (folder / f"{name}.{ending}" for ending in ("job", "json", "log"))
    out.unlink(missing_ok=True)
    asked = {"contender": name, "case": case.as_dict(), "repetitions": plan.repetitions, "threads": plan.threads}
    job.write_text(json.dumps(asked | {"folder": str(folder), "out": str(out)}))
    begun, status = perf_counter(), waited(job, log, plan)
    if status or not out.exists():
        raise RuntimeError(f"{case.name} {name}: ended with status {status}. The end of {log}:\n{log_tail(log)}")
    return json.loads(out.read_text()) | {"seconds_in_all": round(perf_counter() - begun, 1)}


def waited(job: Path, log: Path, plan: Plan) -> int:
    """The exit status of a worker."""
    hidden = {} if plan.gpu else {"CUDA_VISIBLE_DEVICES": ""}
    around = os.environ | {"OMP_NUM_THREADS": str(plan.threads), "PYTHONPATH": search_path()} | hidden
    with log.open("w") as sink:
        command = [sys.executable, "-m", "benchmark.speed.worker", str(job)]
        process = subprocess.Popen(command, env=around, stdout=sink, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            return process.wait()
        finally:
            end_process(process)


def search_path() -> str:
    """This checkout first."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def keep(case: Case, name: str, found: dict[str, Any], plan: Plan) -> None:
    """One contender more in a point's file, and what follows from all."""
    everybody = read(plan.path(case))["contenders"] | {name: found}
    asked = f"speed {told(plan.out)} {words_of(case, plan)}"
    write_json(plan.path(case), record(asked, **point(case, everybody, plan)))


def words_of(case: Case, plan: Plan) -> str:
    """The options that name a point."""
    if plan.gpu:
        return "--gpu"
    marks = f"--prompts {case.prompt} --groups {case.group} --new-tokens {case.new_tokens} --vocabularies {case.words}"
    clock = "" if plan.clock == "wall" else f" --clock {plan.clock}"
    more = f"--repetitions {plan.repetitions} --threads {plan.threads}{clock}"
    return f"{marks} --towers {case.tower} --checkpointing {'on' if case.checkpointing else 'off'} {more}"


def point(case: Case, found: Found, plan: Plan) -> dict[str, Any]:
    """A point's file without where it comes from."""
    out: dict[str, Any] = {"case": case.as_dict(), "repetitions": plan.repetitions}
    if "mmrl" in found:
        out["flops"] = flops(case, found["mmrl"]["prompt_tokens"])
    out |= {"clock": plan.clock, "ratios": ratios(case, found, CLOCKS[plan.clock])}
    out["targets"] = targets(case, out["ratios"])
    if plan.gpu:
        from mmrl.runtime.provenance import machine

        out["utilisation"] = utilisation(case, found, machine())
    return out | {"contenders": dict(found)}


def listing(cases: Sequence[Case], plan: Plan) -> tuple[Cells, str]:
    """Lists what would be run, and about how long that takes."""
    lines, left, rates = [], 0.0, speeds(plan)
    for case in cases:
        for name in plan.contenders:
            seconds = estimate(case, name, plan, rates) if name in missing(case, plan) else 0.0
            left += seconds
            lines.append([case.name, name, f"{seconds / 60:.1f}" if seconds else "finished"])
    return (["point", "contender", "minutes"], lines), f"About {left / 60:.0f} minutes are left."


def operations(case: Case, name: str, repetitions: int) -> float:
    """Useful arithmetic of all that a contender is asked for."""
    needed = flops(case, case.view.tokens + 70)
    train = needed["train"]["shared" if name in ("mmrl", "floor") else "rows"]["total"] * (1 + case.checkpointing / 3)
    reference = needed["reference"] if name in ("mmrl", "floor") else train / 3
    return (1 + repetitions) * (train + needed["sample"] + reference) + TRIES[name] * train


def speeds(plan: Plan) -> dict[str, float]:
    """Operations a second of each contender, by the points that are finished."""
    known: dict[str, list[float]] = {}
    for path in plan.out.glob("*.json"):
        if path.name != TABLE:
            there = json.loads(path.read_text())
            case = Case(**there["case"])
            for name, found in there["contenders"].items():
                spent = max(1.0, found["seconds_in_all"] - START)
                known.setdefault(name, []).append(operations(case, name, there["repetitions"]) / spent)
    return {name: sum(rates) / len(rates) for name, rates in known.items()}


def estimate(case: Case, name: str, plan: Plan, rates: dict[str, float]) -> float:
    """Seconds that a contender's process will take."""
    return START + operations(case, name, plan.repetitions) / rates.get(name, SPEED * plan.threads)


def quick(plan: Plan, case: Case, tell: Callable[[str], None]) -> dict[str, Any]:
    """The central case, once; nothing is kept."""
    everybody = {}
    with stopped_in_order():
        try:
            for name in plan.contenders:
                everybody[name] = measured(name, case, plan)
                tell(f"{name}: {everybody[name]['seconds_in_all']:.0f} s")
        finally:
            shutil.rmtree(folder_of(case, plan), ignore_errors=True)
    return point(case, everybody, plan)


def last_line(case: Case, found: dict[str, Any]) -> dict[str, Any]:
    """The one line of ``--quick``."""
    ours, ratio = found["contenders"]["mmrl"], found["ratios"]
    return {
        "train_ratio": ratio["train_ratio_plain"],
        "sample_ratio": ratio["sample_ratio_plain"],
        "floor_ratio": ratio["floor_ratio"],
        "vision_passes_per_prompt": ours["work"]["vision_passes_per_prompt"],
        "logp_error_vs_plain": round(ours["logp_error"]["ratio"], 4),
        "mode": case.tower,
    }
