"""The protocol of a benchmark: how it makes numbers of scored answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mmrl.evaluation import Item

Division = Callable[[Item], str]  # an item's group


@dataclass(frozen=True)
class Protocol:
    """How a benchmark divides its items and averages over them."""

    title: str
    loader: str  # whose division this is: repository, file, commit
    divisions: Mapping[str, Division]  # by name, the most important first
    weights: Mapping[str, float] | None = (
        None  # of the first division's groups in the published average; None: all items alike
    )
    order: tuple[str, ...] = ()  # of the first division's groups, where there are no weights
    columns: Mapping[str, str] = field(
        default_factory=lambda: {"official": "official", "lenient": "ours"}
    )  # metric: title
    differs: str = ""  # from the paper's own protocol, in a sentence
    published: Mapping[str, float] = field(default_factory=dict)  # percent, by model, as reported


def field_of(item: Item, name: str, groups: Mapping[str, str] | None = None) -> str:
    """Return a field of the row, or what it stands for. Raises ValueError for one that the release does not have."""
    value = str(item.fields.get(name, "no such field"))
    if groups is not None and value not in groups:
        raise ValueError(f"item {item.id}: {name}: expected one of {', '.join(groups)}, found {value}")
    if name not in item.fields:
        raise ValueError(f"item {item.id}: expected the field {name}, found {', '.join(item.fields)}")
    return value if groups is None else groups[value]


def place(item: Item, block: int, names: tuple[str, ...], field_name: str = "problem_id") -> str:
    """Return the name of the block of ids from 1 on that an item's id lies in."""
    number = int(item.fields[field_name]) - 1
    if not 0 <= number < block * len(names):
        raise ValueError(f"item {item.id}: {field_name}: expected 1 to {block * len(names)}, found {number + 1}")
    return names[number // block]


def equal(groups: tuple[str, ...]) -> Mapping[str, float]:
    """Return the weights of a plain mean over groups."""
    return {group: 1 / len(groups) for group in groups}
