"""Sample, record, score: batch by batch, continuing where a killed run stopped."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from mmrl.evaluation.plan import SAMPLES, Pair, Plan, alone, open_plan, recorded
from mmrl.evaluation.records import Completion, IncompleteError, Sample
from mmrl.evaluation.scoring import Scorer, score
from mmrl.evaluation.store import line, write_lines
from mmrl.evaluation.summary import Summary, summarise
from mmrl.runtime.json_lines import append, append_lines, cut_torn_end, read
from mmrl.types import Example

COSTS = "costs.jsonl"  # seconds and tokens of each batch, apart from the samples, which are the same on each run

Sampler = Callable[[Sequence[Example], Sequence[int]], Sequence[Completion]]  # examples and sample ids, pairwise


@dataclass(frozen=True, slots=True)
class EvaluationJob(Plan):
    """One set to be measured: its examples, its sampler, its scorer and the folder of its records.

    Raises ValueError if it measures nothing.
    """

    sampler: Sampler
    scorer: Scorer
    out: Path
    _: KW_ONLY
    expected: int | None = None  # examples that there must be: a truncated download is an error
    retry: bool = False  # generate again the batches in which something failed
    progress: Callable[[int], Any] = lambda done: None  # receives the number of pairs that are done


def evaluate(job: EvaluationJob) -> Summary:
    """Generate the samples that are not yet on record in the job's folder, score them, and return a summary of all.

    Raises IncompleteError if there are not as many examples as expected, and PlanError if the folder holds records of
    another plan: other examples, or other settings.
    """
    if job.expected is not None and len(job.examples) != job.expected:
        raise IncompleteError(
            f"evaluation {job.name!r}: expected {job.expected} examples, found {len(job.examples)}; complete the file, or correct "
            "`expect` of this set"
        )
    with alone(job.out):
        open_plan(job, job.out)
        generate(job, recorded(job, job.out, job.retry))
        return summarise(job.name, score(job.out, job.scorer), len(job.examples), job.samples)


def generate(job: EvaluationJob, done: dict[Pair, Sample]) -> None:
    """Write the samples of all batches that are not done.

    The first batch is scored at once, so that a broken grader fails early.
    """
    if done:
        job.progress(len(done))
    cut_torn_end(job.out / COSTS)
    (job.out / SAMPLES).touch()
    left = [batch for batch in job.batches if (batch[0][0].id, batch[0][1]) not in done]
    for number, part in enumerate(left):
        began = perf_counter()
        new = generated(job.name, part, job.sampler)
        append_lines(job.out / SAMPLES, map(line, new))
        done |= {(one.item, one.sample): one for one in new}
        seconds, tokens = round(perf_counter() - began, 3), sum(one.response.tokens for one in new)
        append(job.out / COSTS, [{"samples": len(new), "tokens": tokens, "seconds": seconds}])
        job.progress(len(done))
        if number == 0:
            score(job.out, job.scorer)
    if list(done) != job.pairs:  # some batches were run again, out of order
        write_lines(job.out / SAMPLES, [done[pair] for pair in job.pairs])


def generated(name: str, part: Sequence[tuple[Example, int]], sampler: Sampler) -> list[Sample]:
    """Return the samples of one batch. Raises ValueError unless the sampler returns one completion for each."""
    completions = sampler([example for example, _ in part], [index for _, index in part])
    if len(completions) != len(part):
        raise ValueError(f"evaluation {name!r}: {len(part)} completions asked for, {len(completions)} returned")
    return [
        Sample(example.id, index, completion.request, completion.response)
        for (example, index), completion in zip(part, completions, strict=True)
    ]


def cost(out: Path) -> dict[str, float]:
    """Return the seconds and tokens that a folder's samples took, over all its sessions; 0 without a record of them."""
    rows = read(out / COSTS) if (out / COSTS).exists() else []
    return {key: sum((row.get(key, 0) for row in rows), 0.0) for key in ("seconds", "tokens")}
