"""Sample, grade, record, resume, summarise: one mechanism for validation inside training and for every benchmark.

The model and the graders are callables. What was measured lies in a folder:

- ``plan.json``: what is to be measured (examples, samples, batch, settings). It must fit when a run is resumed.
- ``records.jsonl``: one line per (item, sample), in the order of the plan, written batch by batch. A run that is
  killed and started again continues behind its last whole batch, and the file ends up byte by byte as if nothing
  had happened.
"""

from mmrl.evaluate.plan import PlanError
from mmrl.evaluate.records import Completion, IncompleteError, Record, read_records
from mmrl.evaluate.run import evaluate
from mmrl.evaluate.summary import Mean, Summary, compare, summarise

__all__ = [
    "Completion",
    "IncompleteError",
    "Mean",
    "PlanError",
    "Record",
    "Summary",
    "compare",
    "evaluate",
    "read_records",
    "summarise",
]
