"""Generate, record, score, summarise, compare: one mechanism for validation inside training and for every benchmark.

Each evaluated set has a folder of records; docs/evaluation.md describes its files: ``plan.json``,
``items.jsonl`` (an `Item` a line), ``samples.jsonl`` (a `Sample`), ``scores.NAME.jsonl`` (a `Verdict`; made from the two
before alone, any number of times), ``costs.jsonl``.

The model and the graders are callables::

    def sampler(examples, sample_ids) -> list[Completion]: ...        # mmrl.evaluation.media_sampler.MediaSampler is one
    scorer = Scorer(grade, parse, name="default", facts={...})        # mmrl.evaluation.scorers.scorer_of(graders) makes one
    job = EvaluationJob("L1", examples, sampler, scorer, out, samples=1, batch=8, expected=2432, settings={...})
    summary = evaluate(job)                                           # mmrl.evaluation.evaluator.evaluate_model: all sets of a config
    summary.metrics["accuracy"]                                       # Mean(mean, low, high, unscored, best)
    records = score(out, another_scorer)                              # score the records again: nothing is generated
    records = read_records(out, scorer="default")                     # Record: item, sample, cluster, text, status, parse, scores, ...
    compare(records_before, records_after)                            # by metric: a paired Difference

No pair ever leaves the denominator. Statuses: ok, truncated (token limit), empty, unparsable (all graded), media_error and
engine_error (nothing was generated: 0 in every metric). A grader may return None, "no verdict": see `mmrl.evaluation.summary`.
"""

from mmrl.evaluation.plan import PlanError
from mmrl.evaluation.records import (
    Completion,
    IncompleteError,
    Item,
    Record,
    Request,
    Response,
    Sample,
    Shown,
    Verdict,
)
from mmrl.evaluation.runner import EvaluationJob, cost, evaluate
from mmrl.evaluation.scoring import Scorer, read_items, read_records, score
from mmrl.evaluation.summary import Mean, Summary, compare, summarise

__all__ = [
    "Completion",
    "EvaluationJob",
    "IncompleteError",
    "Item",
    "Mean",
    "PlanError",
    "Record",
    "Request",
    "Response",
    "Sample",
    "Scorer",
    "Shown",
    "Summary",
    "Verdict",
    "compare",
    "cost",
    "evaluate",
    "read_items",
    "read_records",
    "score",
    "summarise",
]
