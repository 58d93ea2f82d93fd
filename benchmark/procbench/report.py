"""The commands' output: figures as JSON with their origin, and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmark.procbench import ceilings as bounds
from benchmark.procbench.ceilings import Ceilings
from benchmark.procbench.items import OCTET, Item, by_group, drawn, letters, of_root, whole_octets
from benchmark.tables import Cells, markdown, record, terminal
from mmrl.runtime.files import sha256_of
from mmrl.world.script import FAMILIES

Report = tuple[dict[str, Any], list[Table | str]]  # figures, what to print


def ceilings_drawn(octets: int, seed: int, as_markdown: bool) -> Report:
    """Ceilings of fresh octets of every family, and where they leak."""
    table = bounds.of_families([item for family in FAMILIES for item in drawn(family, octets, seed)])
    figures = record(
        f"world ceilings --octets {octets} --seed {seed}",
        seed=seed,
        octets=octets,
        families=families(table),
        means=bounds.means(table),
        leaks=bounds.all_leaks(table),
    )
    return figures, [table_of(bounds.cells(table), f"Ceilings in percent, {octets:,} octets a family", as_markdown)]


def ceilings_of_files(root: Path, as_markdown: bool) -> Report:
    """Ceilings of a rendered benchmark, level by level; its planted cues are counted apart."""
    levels, shown = {}, []
    for level, items in of_root(root).items():
        octets = whole_octets(items)
        if not octets:
            continue
        table, cue = bounds.of_families(octets), bounds.cue_right(octets)
        levels[level] = {"items_left_out": len(items) - len(octets), "cue_right": cue, "families": families(table)}
        pointing = "no cue" if cue is None else f"the cue is right in {cue:.1f} %"
        left_out = f"{len(items) - len(octets):,} other items left out"
        title = f"{level}: ceilings in percent, {len(octets):,} items in octets, {left_out}; {pointing}"
        shown.append(table_of(bounds.cells(table), title, as_markdown))
    if not levels:
        raise ValueError(
            f"{root}: expected octets with all eight members in annotations/validation_*.jsonl, found none"
        )
    return record(f"world ceilings --root {root.name}", levels=levels), shown


def families(table: Mapping[str, Ceilings]) -> dict[str, Any]:
    """Ceilings by family, with what is expected of the family."""
    return {
        name: {"ordered": FAMILIES[name].ordered, "held_out": FAMILIES[name].held_out, **asdict(found)}
        for name, found in table.items()
    }


def table_of(cells: Cells, title: str, as_markdown: bool) -> Table | str:
    """For the terminal, or as Markdown."""
    return markdown(cells) if as_markdown else terminal(cells, title)


def audit_drawn(octets: int, seed: int) -> Report:
    """Return what readers get from fresh octets of all families together."""
    from benchmark.procbench import audit

    items = [item for family in FAMILIES for item in drawn(family, octets, seed)]
    found = audit.findings(items, seed=seed)
    figures = record(
        f"world audit --octets {octets} --seed {seed}",
        seed=seed,
        **audited(items, found),
        leaks=audit.leaks(items, found),
    )
    return figures, [terminal(audit.cells(found), title(items), words=3)]


def audit_of_files(root: Path, seed: int) -> Report:
    """Audit a rendered benchmark, file by file; those with too few groups for the folds are left out."""
    from benchmark.procbench import audit

    levels, shown = {}, []
    for level, items in of_root(root).items():
        if sum(1 for _ in by_group(items)) < audit.FOLDS:
            continue
        found = audit.findings(items, (audit.nothing,), seed)
        levels[level] = audited(items, found)
        shown.append(terminal(audit.cells(found), f"{level}: {title(items)}", words=3))
    if not levels:
        raise ValueError(f"{root}: expected {audit.FOLDS} groups or more, found fewer on every level")
    return record(f"world audit --root {root.name} --seed {seed}", seed=seed, levels=levels), shown


def audited(items: Sequence[Item], found: Sequence) -> dict[str, Any]:
    """Learners and letters as JSON."""
    return {"letters": letters(items), "learners": [asdict(one) for one in found]}


def title(items: Sequence[Item]) -> str:
    """Return how many items, and how often each letter is right."""
    counts = ", ".join(f"{letter} {count:,}" for letter, count in letters(items).items())
    return f"{len(items):,} items; right letters: {counts}"


def baselines_drawn(octets: int, natural: int, taught: int, seed: int, as_markdown: bool) -> Report:
    """Baselines without a network on every level, stratum by stratum."""
    from benchmark.procbench.baselines import baselines, cells, natural_splits, splits

    found = baselines(splits(octets, taught, seed), seed)
    if natural:
        found += baselines(natural_splits(natural, 4 * taught, seed), seed)
    found = sorted(found, key=lambda one: (one.stratum != OCTET, one.level))
    command = f"world baselines --octets {octets} --natural {natural} --taught {taught} --seed {seed}"
    figures = record(command, seed=seed, baselines=[asdict(one) for one in found])
    title = "Accuracy in percent [95 % over groups; without, where the design leaves nothing to chance]"
    return figures, [table_of(cells(found), title, as_markdown)]


def pixels_of_files(root: Path, octets: int, counts: Sequence[int], as_markdown: bool) -> Report:
    """Return what the pixel oracle reads off the files of a rendered benchmark."""
    from benchmark.procbench import pixels
    from mmrl.runtime.console import progress

    with progress("pixel oracle", len(pixels.LEVELS) * len(pixels.readers()) * len(counts)) as bar:
        found = pixels.reached(root, octets, counts, bar)
    asked = f"world pixels --root {root.name} --octets {octets} --frames {','.join(map(str, counts))}"
    figures = record(asked, manifest=sha256_of(root / "manifest.json"), reached=pixels.as_json(found))
    title = f"Pixel oracle, percent [95 % over octets], {octets} octets a level, {pixels.dial_of(root).size} px"
    return figures, [table_of(pixels.cells(found), title, as_markdown)]
