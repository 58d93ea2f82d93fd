"""``mmrl eval audit``: finds records that were changed or are missing, and answers that questions give away.

Problems (a changed file, a missing record, a changed medium, a question that was trained on) are listed, and the exit status
is 1. Notes for a reader (how often each letter is right, the score of rules that read the options alone, questions that occur
twice) are a table.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrl.evaluation.audits.contamination import Trained, shared
from mmrl.evaluation.audits.media import remade
from mmrl.evaluation.audits.shortcuts import guesses
from mmrl.evaluation.plan import HASH, ITEMS, SAMPLES, read_plan
from mmrl.evaluation.records import FAILED, Item, Sample, Verdict
from mmrl.evaluation.run_folder import RUN, progress_of, read_run, sets_of
from mmrl.evaluation.scoring import DEFAULT, answers, read_records, scorers_of, verdicts_path
from mmrl.evaluation.store import read_lines
from mmrl.evaluation.tables.terminal import plain_table, show
from mmrl.runtime.console import console
from mmrl.runtime.files import sha256_of
from mmrl.runtime.json_lines import split


@dataclass(frozen=True, slots=True)
class SetAudit:
    """The problems of one set, and notes for its reader."""

    name: str
    broken: Sequence[str]
    notes: Sequence[str]


def audit(folder: Path, trained: Trained | None, media: bool) -> int:
    """Print the findings; return the exit status."""
    sets = sets_of(folder)
    audits = [audited(name, out, folder, trained, media) for name, out in sets.items()]
    audits.append(SetAudit("run", list(run_problems(folder, sets)), [] if (folder / RUN).exists() else [f"no {RUN}"]))
    table = plain_table("Audit", ("set", "what"))
    for each in audits:
        for number, note in enumerate(each.notes):
            table.add_row(each.name if number == 0 else "", note)
    show(table)
    for each in audits:
        for problem in each.broken:
            console.print(f"[red]BROKEN[/] {each.name}: {problem}", highlight=False)
    count = sum(len(each.broken) for each in audits)
    console.print(f"{count} broken" if count else "Nothing broken.")
    return 1 if count else 0


def audited(name: str, out: Path, run: Path, trained: Trained | None, media: bool) -> SetAudit:
    """Return the audit of one set."""
    broken = list(file_problems(out))
    if broken:
        return SetAudit(name, broken, [])
    items, samples = read_lines(Item, out / ITEMS), read_lines(Sample, out / SAMPLES)
    broken += record_problems(out, items, samples)
    if trained is not None:
        broken += shared(items, trained)
    if media:
        broken += remade(samples, items, run, out)
    return SetAudit(name, broken, [*notes(items, samples), *letters(out, items), *guesses(items)])


def file_problems(out: Path) -> Iterator[str]:
    """Yield the problems of the files: missing, not whole, or not those of the plan."""
    plan = read_plan(out)
    for path in (out / ITEMS, out / SAMPLES):
        if not path.exists():
            yield f"{path} is missing"
            return
    if sha256_of(out / ITEMS) != plan[HASH]:
        yield f"{out / ITEMS} is not the file that was planned: its hash differs from {HASH} in the plan"
    done, planned = progress_of(out)
    if done != planned:
        yield f"{done} of {planned} samples are on record; run the evaluation again to resume it"
    if split((out / SAMPLES).read_bytes())[1]:
        yield f"{out / SAMPLES}: the last line was cut off in writing"


def record_problems(out: Path, items: Sequence[Item], samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the problems of the records: pairs that are missing, double or unknown, and verdicts that do not fit."""
    count = read_plan(out)["samples"]
    wanted = {(item.id, number) for item in items for number in range(count)}
    pairs = [(sample.item, sample.sample) for sample in samples]
    for what, wrong in (("missing", wanted - set(pairs)), ("not planned", set(pairs) - wanted)):
        if wrong:
            yield f"{len(wrong)} pairs are {what}, such as {min(wrong)}"
    if len(set(pairs)) < len(pairs):
        yield f"{len(pairs) - len(set(pairs))} pairs occur twice"
    for name in scorers_of(out):
        verdicts = read_lines(Verdict, verdicts_path(out, name))
        if [(one.item, one.sample) for one in verdicts] != pairs:
            yield f"the verdicts of {name!r} are not those of these samples; mmrl eval score {out} --name {name}"


def run_problems(folder: Path, sets: dict[str, Path]) -> Iterator[str]:
    """Yield the differences between run.json and the folders."""
    if not (folder / RUN).exists():
        return
    run = read_run(folder)
    if run.finished is None:
        yield "it did not end; run the same command again"
    for name, sha in run.sha256.items():
        if name not in sets:
            yield f"the set {name} is missing"
        elif sha256_of(sets[name] / SAMPLES) != sha:
            yield f"{sets[name] / SAMPLES} was changed since the run ended"
    for name, expected in run.expected.items():
        if expected is not None and run.scored.get(name) != expected:
            yield f"{name}: {run.scored.get(name)} of {expected} questions"


def notes(items: Sequence[Item], samples: Sequence[Sample]) -> Iterator[str]:
    """Yield notes for a reader, such as questions that failed, were truncated or occur twice."""
    failed = [sample for sample in samples if sample.response.status in FAILED]
    if failed:
        yield f"{len(failed)} of {len(samples)} could not be asked and count as wrong, such as {failed[0].item!r}"
    cut = sum(sample.response.status == "truncated" for sample in samples)
    if cut:
        yield f"{cut} of {len(samples)} were cut off by the token limit"
    texts = [json.dumps([item.question, sorted(item.choices), [file.path for file in item.media]]) for item in items]
    if len(set(texts)) < len(texts):
        yield f"{len(texts) - len(set(texts))} questions occur again with the same options and media"
    seen = {file.path for item in items for file in item.media}
    yield f"{len(items)} questions, {len({item.cluster for item in items})} clusters, {len(seen)} files"
    bare = sum(not item.media for item in items)
    if bare:
        yield f"{bare} questions have no media"


def letters(out: Path, items: Sequence[Item]) -> Iterator[str]:
    """Yield how often each letter is right and how often it was answered, by the run's own scorer; nothing without letters."""
    if DEFAULT not in scorers_of(out) or not all(len(item.choices) > 1 for item in items):
        return
    said = Counter(answer or "none" for answer in answers(read_records(out)))
    for what, counts in (("right", Counter((item.answer or "none").strip() for item in items)), ("answered", said)):
        total = sum(counts.values())
        yield f"{what}: " + ", ".join(f"{name} {100 * counts[name] / total:.0f} %" for name in sorted(counts))
