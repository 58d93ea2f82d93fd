"""Sample, grade, record: batch by batch, continuing where a killed run stopped."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmrl.evaluate.plan import Plan, resume
from mmrl.evaluate.records import RECORDS, Completion, IncompleteError, Record, line, read_records
from mmrl.evaluate.summary import Summary, summarise
from mmrl.types import Example

Sample = Callable[[Sequence[Example], Sequence[int]], Sequence[Completion]]  # examples and their sample ids, pairwise
Grade = Callable[[str, Example], Mapping[str, float]]
Parse = Callable[[str, Example], Mapping[str, Any]]  # its "rung" is "unparsed" where no answer was found


def evaluate(
    name: str,
    examples: Sequence[Example],
    sample: Sample,
    grade: Grade,
    out: Path,
    samples: int = 1,
    batch: int = 8,
    expected: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    parse: Parse | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Summary:
    """Measure what is not yet on record in the folder, then summarise all of it.

    batch: (example, sample) pairs given to `sample` at once. expected: how many examples there must be (a truncated
    download is an error). progress: called with the number of finished pairs and of all. settings: whatever decides the
    texts (weights, decoding, frames); a folder with other settings is refused with a PlanError.
    """
    plan = Plan(name, examples, samples, batch, settings or {})
    if expected is not None and len(examples) != expected:
        raise IncompleteError(f"evaluation {name!r}: expected {expected} examples, found {len(examples)}")
    pairs = plan.pairs
    done = resume(plan, out)
    if progress is not None and done:
        progress(done, len(pairs))
    with (out / RECORDS).open("ab") as file:
        for start in range(done, len(pairs), batch):
            part = pairs[start : start + batch]
            completions = sample([example for example, _ in part], [index for _, index in part])
            if len(completions) != len(part):
                raise ValueError(f"evaluation {name!r}: {len(part)} completions asked for, {len(completions)} returned")
            records = [record(*asked, made, grade, parse) for asked, made in zip(part, completions, strict=True)]
            file.write("".join(line(each) for each in records).encode())
            file.flush()
            if progress is not None:
                progress(start + len(part), len(pairs))
    return summarise(name, read_records(out), len(examples), samples)


def record(example: Example, sample: int, completion: Completion, grade: Grade, parse: Parse | None) -> Record:
    """The line for one completion. What could not be seen is not graded; what cannot be parsed is, and named."""
    seen = completion.status != "media_error"
    read = dict(parse(completion.text, example)) if parse is not None and seen else {}
    unparsable = completion.status == "ok" and read.get("rung") == "unparsed"
    scores = {name: float(score) for name, score in grade(completion.text, example).items()} if seen else {}
    for name, score in scores.items():
        if not math.isfinite(score):
            raise ValueError(f"example {example.id!r}, metric {name!r}: expected a finite number, found {score}")
    return Record(
        item=example.id,
        sample=sample,
        cluster=example.cluster or example.id,
        text=completion.text,
        status="unparsable" if unparsable else completion.status,
        error=completion.error,
        tokens=completion.tokens,
        finished=completion.finished,
        parse=read,
        scores=scores,
        frames=completion.frames,
    )
