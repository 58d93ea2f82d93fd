"""The contents of tables and reports of evaluations as plain data: whoever has them fills this in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mmrl.evaluation.statistics import Difference
from mmrl.evaluation.summary import Summary

Levels = Mapping[str, Mapping[str, Difference]]  # level, metric; fractions


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Several models on the same levels, and which differences between them are shown."""

    models: Mapping[str, Mapping[str, Summary]]  # by name and level; not every model need have seen every level
    pairs: Sequence[tuple[str, str]]  # (of whom, minus whom): names of models; the last pair is drawn, too
    undirected: Collection[str] = ()  # metrics of which neither more nor less is better
