"""Sample, record, score: batch by batch, continuing where a killed run stopped."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from mmrl.evaluation.plan import SAMPLES, Pair, Plan, alone, in_order, open_plan, recorded
from mmrl.evaluation.records import Completion, IncompleteError, Sample
from mmrl.evaluation.scoring import Scorer, score
from mmrl.evaluation.store import line
from mmrl.evaluation.summary import Summary, summarise
from mmrl.runtime.json_lines import append, append_lines, cut_torn_end, read
from mmrl.types import Example

COSTS = "costs.jsonl"  # seconds and tokens of each batch, apart from the samples, which are the same on each run

Sampler = Callable[[Sequence[Example], Sequence[int]], Sequence[Completion]]  # examples and sample ids, pairwise


def evaluate(
    name: str,
    examples: Sequence[Example],
    sample: Sampler,
    scorer: Scorer,
    out: Path,
    samples: int = 1,
    batch: int = 8,
    expected: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    settings: Mapping[str, Any] | None = None,
    retry: bool = False,
) -> Summary:
    """Generate what is not yet on record in the folder, score, and summarise all of it.

    batch: (example, sample) pairs given to `sample` at once; a batch that was not finished is generated again, whole.
    expected: how many examples there must be (a truncated download is an error). progress: called with the number of
    finished pairs and of all. settings: whatever decides the texts (weights, decoding, frames); a folder with other
    settings is refused with a PlanError. retry: generate again the batches in which something failed.
    """
    plan = Plan(name, examples, samples, batch, settings or {})
    if expected is not None and len(examples) != expected:
        raise IncompleteError(f"evaluation {name!r}: expected {expected} examples, found {len(examples)}")
    with alone(out):
        open_plan(plan, out)
        generate(plan, sample, out, recorded(plan, out, retry), progress, lambda: score(out, scorer))
        return summarise(name, score(out, scorer), len(examples), samples)


def generate(
    plan: Plan,
    sample: Sampler,
    out: Path,
    done: dict[Pair, Sample],
    progress: Callable[[int, int], None] | None,
    tried: Callable[[], Any],
) -> None:
    """Write the samples of all batches that are not done. ``tried`` is called after the first: a grader that fails does so early."""
    total = len(plan.pairs)
    if progress is not None and done:
        progress(len(done), total)
    cut_torn_end(out / COSTS)
    (out / SAMPLES).touch()
    left = [batch for batch in plan.batches if (batch[0][0].id, batch[0][1]) not in done]
    for number, part in enumerate(left):
        began = perf_counter()
        made = generated(plan.name, part, sample)
        append_lines(out / SAMPLES, map(line, made))
        done |= {(one.item, one.sample): one for one in made}
        seconds, tokens = round(perf_counter() - began, 3), sum(one.response.tokens for one in made)
        append(out / COSTS, [{"samples": len(made), "tokens": tokens, "seconds": seconds}])
        if progress is not None:
            progress(len(done), total)
        if number == 0:
            tried()
    in_order(plan, done, out)


def generated(name: str, part: Sequence[tuple[Example, int]], sample: Sampler) -> list[Sample]:
    """The samples of one batch."""
    completions = sample([example for example, _ in part], [index for _, index in part])
    if len(completions) != len(part):
        raise ValueError(f"evaluation {name!r}: {len(part)} completions asked for, {len(completions)} returned")
    return [
        Sample(example.id, index, made.request, made.response)
        for (example, index), made in zip(part, completions, strict=True)
    ]


def cost(out: Path) -> dict[str, float]:
    """Seconds and tokens that a folder's samples took, over all its sessions; 0 where nothing is written down."""
    total = {"seconds": 0.0, "tokens": 0.0}
    path = out / COSTS
    for row in read(path) if path.exists() else ():
        total = {key: total[key] + value for key, value in row.items() if key in total}
    return total
