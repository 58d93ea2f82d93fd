"""Learners that read only text: what question and options give away (the test-set stress test of arXiv 2511.04655).

Two classifiers, logistic regression and a random forest, on two views of the text: all slots at once, whose label is the
letter, and option by option, whose label is whether it is right. No group is in both parts of a fold.

On octets their accuracy is known beforehand: the eight members of a group share every word, so that one answer is given
eight times, and each option is right twice: 2 of 8, whatever was learned. The audit checks that this is so, group by group.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from benchmark.procbench.items import Item, letters
from mmrl.evaluation.statistics import mean_interval
from mmrl.world.octet import LETTERS

FOLDS = 5
TREES = 100
LEAF = 4  # documents at least, so that a forest does not learn single items by heart
Shown = Callable[[Item], str]  # what a learner sees besides the text, as one word


def nothing(item: Item) -> str:
    """Text alone."""
    return ""


def last_event(item: Item) -> str:
    """Return the last event's label, as one word; on octets the closing lids."""
    return "".join(f"{event.verb}_{event.thing}_{event.place}" for event in item.events[-1:])


def slots(item: Item, shown: Shown) -> list[str]:
    """One document an item: every word with the slot that it stands in."""
    marked = [marked_words(letter, option) for letter, option in zip(LETTERS, item.options, strict=True)]
    return [" ".join([marked_words("Q", item.question), *marked, marked_words("seen", shown(item))])]


def one_by_one(item: Item, shown: Shown) -> list[str]:
    """One document an option: its words, those of the others, its length, its letter, what was seen beside it."""
    asked, seen = marked_words("Q", item.question), shown(item)
    documents = []
    for index, option in enumerate(item.options):
        others = " ".join(words for i, words in enumerate(item.options) if i != index)
        marked = [marked_words("own", option), marked_words("others", others), marked_words(f"{seen}&own", option)]
        documents.append(" ".join([asked, *marked, f"letter={LETTERS[index]}", f"characters={len(option)}"]))
    return documents


def marked_words(mark: str, text: str) -> str:
    """Return every word with a mark before it."""
    return " ".join(f"{mark}={word}" for word in text.split())


VIEWS: Mapping[str, Callable[[Item, Shown], list[str]]] = {"slots": slots, "options": one_by_one}
LEARNERS: Mapping[str, Callable[[int], Any]] = {
    "logistic regression": lambda seed: LogisticRegression(max_iter=2000),
    "random forest": lambda seed: RandomForestClassifier(TREES, min_samples_leaf=LEAF, random_state=seed),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The shares that one learner reached."""

    learner: str
    view: str
    shown: str
    accuracy: float
    low: float
    high: float
    items: int
    groups: int


def learner(name: str, seed: int) -> Pipeline:
    """Return a classifier of bags of words."""
    words = CountVectorizer(lowercase=False, token_pattern=r"\S+", binary=True)
    return make_pipeline(words, FunctionTransformer(dense), LEARNERS[name](seed))


def dense(counts: csr_matrix) -> NDArray[np.float32]:
    """Return a plain array: a hundred words are few, and forests grow eight times as fast on it."""
    return counts.toarray().astype(np.float32)


def fit(items: Sequence[Item], name: str, view: str, shown: Shown = nothing, seed: int = 0) -> Pipeline:
    """Return a learner taught on items."""
    documents, labels = [], []
    for item in items:
        found = VIEWS[view](item, shown)
        documents += found
        labels += [item.gold] if len(found) == 1 else [index == item.gold for index in range(len(found))]
    return learner(name, seed).fit(documents, labels)


def answers(model: Pipeline, items: Sequence[Item], view: str, shown: Shown = nothing) -> NDArray[np.int64]:
    """Return the option that a taught learner takes on each item; the first of several equally likely ones."""
    documents = [VIEWS[view](item, shown) for item in items]
    chances = model.predict_proba([text for several in documents for text in several])
    if view == "slots":
        return np.asarray(model.classes_)[chances.argmax(1)]
    return chances[:, list(model.classes_).index(True)].reshape(len(items), -1).argmax(1)


def held_out_scores(
    items: Sequence[Item], name: str, view: str, shown: Shown = nothing, seed: int = 0
) -> NDArray[np.float64]:
    """Right or not on every item, by a learner that was taught on other groups."""
    groups = [item.group for item in items]
    gold = np.array([item.gold for item in items])
    scores = np.zeros(len(items))
    for taught, asked in GroupKFold(FOLDS, shuffle=True, random_state=seed).split(gold, groups=groups):
        model = fit([items[i] for i in taught], name, view, shown, seed)
        scores[asked] = answers(model, [items[i] for i in asked], view, shown) == gold[asked]
    return scores


def finding(items: Sequence[Item], name: str, view: str, shown: Shown = nothing, seed: int = 0) -> Finding:
    """Return what a learner reaches on items, with the interval over groups."""
    scores, groups = held_out_scores(items, name, view, shown, seed), [item.group for item in items]
    low, high = interval(scores, groups)
    label = "text" if shown is nothing else f"text + {shown.__name__.replace('_', ' ')}"
    return Finding(name, view, label, float(scores.mean()), low, high, len(items), len(set(groups)))


def interval(scores: NDArray[np.float64], groups: Sequence[str]) -> tuple[float, float]:
    """95 % over groups. A point where every group has the same share strictly between 0 and 1: nothing is left to chance.

    Octets part their eight items 2 to 6 for any reader of text: that is the design, not luck.
    """
    if 0 < scores.mean() < 1 and np.ptp(group_means(scores, groups)) == 0:
        return float(scores.mean()), float(scores.mean())
    return mean_interval(scores, groups)


def group_means(scores: NDArray[np.float64], groups: Sequence[str]) -> NDArray[np.float64]:
    """Mean score of every group."""
    _, index = np.unique(groups, return_inverse=True)
    return np.bincount(index, weights=scores) / np.bincount(index)


def findings(items: Sequence[Item], shown: Sequence[Shown] = (nothing, last_event), seed: int = 0) -> list[Finding]:
    """Return every learner on every view."""
    return [finding(items, name, view, what, seed) for what in shown for view in VIEWS for name in LEARNERS]


def leaks(items: Sequence[Item], found: Sequence[Finding]) -> list[str]:
    """Return what is not exactly as on sound octets, one line each.

    Sound are chance in every group, and letters in equal numbers.
    """
    lines = [
        f"{one.learner} on {one.view}, {one.shown}: expected 25 in every group, found {100 * one.accuracy:.2f} "
        f"[{100 * one.low:.2f}, {100 * one.high:.2f}]"
        for one in found
        if not one.accuracy == one.low == one.high == 0.25
    ]
    counts = letters(items)
    if len(set(counts.values())) > 1:
        lines.append(f"letters: expected each right equally often, found {counts}")
    return lines


def cells(found: Sequence[Finding]) -> tuple[list[str], list[list[str]]]:
    """Return the table: a line a learner, in percent."""
    header = ["sees", "as", "learner", "accuracy", "95 % interval", "items", "groups"]
    lines = [
        [
            one.shown,
            one.view,
            one.learner,
            f"{100 * one.accuracy:.2f}",
            f"{100 * one.low:.2f} to {100 * one.high:.2f}",
            str(one.items),
            str(one.groups),
        ]
        for one in found
    ]
    return header, lines
