"""The base model's card: what it can do before any reinforcement, on octets that no training used, sampled at temperature 1.

- with a grey border: accuracy, and the exact judge's verdict on the reasoning, on all three levels;
- with a border that codes a letter: how often that letter is answered, beside what is expected of answers that are
  independent of it, rho * acc + (1 - rho) * (1 - acc) / 3;
- what reasoning is worth: without any, from what the oracle saw, from the oracle's whole reasoning; and what the oracle
  would have deduced from what the model says that it saw.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.experiments.arms.job import weights
from benchmark.experiments.octets.gallery import gallery
from benchmark.experiments.octets.questions import Question, ask, questions
from benchmark.experiments.octets.scores import Scores, figure
from mmrl.cli.quickstart.settings import AXES
from mmrl.models.loading import check_directory, load_policy
from mmrl.models.policy import Policy
from mmrl.rewards.parse import parse
from mmrl.rewards.run_graders import fields
from mmrl.types import Decoding
from mmrl.world.cues import CHANCE, Cue
from mmrl.world.grammar import oracle_completion
from mmrl.world.judge import Judgement, judge, oracle_deduction
from mmrl.world.octet import draw_octets
from tools.base.clips import Shelf

FAR = 3_000_000  # from the seeds of benchmarks, of the base model and of learners: none draws these octets
LEVELS = ("L1", "L2", "L3")
NEW_TOKENS = 80
METRICS: Mapping[str, Callable[[Judgement], float]] = {
    "accuracy": lambda verdict: verdict.correct,
    "consistency": lambda verdict: verdict.consistent,
    "parseable": lambda verdict: verdict.coverage == 1 and verdict.answer is not None,
    "support": lambda verdict: verdict.support,
    "events": lambda verdict: verdict.events_f1,
    "station": lambda verdict: verdict.station_events,
    "hidden": lambda verdict: verdict.hidden_true,
    "view": lambda verdict: verdict.view_true,
}
LINKS = ("perception", "state", "view", "deduction", "mapping", "answer", None)  # where a reasoning breaks first
Tally = dict[tuple[str, str], Scores]  # by look and by metric


@dataclass(frozen=True, slots=True)
class Look:
    """A level, and how reliable its border is."""

    level: str
    strength: float | None = None  # None: grey

    @property
    def name(self) -> str:
        """For files and tables."""
        return f"{self.level}_neutral" if self.strength is None else f"{self.level}@{self.strength:g}"


LOOKS = (*(Look(level) for level in LEVELS), Look("L1", 0.8), *(Look(level, CHANCE) for level in LEVELS))


@dataclass(frozen=True, slots=True)
class Way:
    """First words that a completion is made to begin with."""

    name: str
    begin: Callable[[Mapping[str, Any]], str]  # of an item's row


def perceived(row: Mapping[str, Any]) -> str:
    """Return what the oracle saw; the rest is left to the model."""
    saw, lamp, *_ = row["oracle_think"].split(". ")
    return f"<think> {saw}. {lamp}."


def reasoned(row: Mapping[str, Any]) -> str:
    """Return the oracle's whole reasoning; the answer is left to the model."""
    shown = [row[f"choice_{letter}"] for letter in "abcd"]
    return oracle_completion(row, shown).partition("<answer>")[0] + "<answer>"


OWN = "model perception, model deduction"
DEDUCED = "model perception, oracle deduction"
WAYS = (
    Way("no reasoning", lambda row: "<think></think><answer>"),
    Way("oracle perception, model deduction", perceived),
    Way("oracle reasoning", reasoned),
)


@dataclass(frozen=True, slots=True)
class Measures:
    """Measures a base on octets of one seed after the other."""

    policy: Policy
    octets: int  # a level and seed

    def tally(self, seed: int) -> Tally:
        """Everything on the octets of a seed."""
        drawn, taken, found = FAR + seed, set(), {}
        for level in LEVELS:
            test = AXES if level in ("L2", "L3") else ()
            octets = list(draw_octets(level, self.octets, seed=drawn, taken=taken))
            shelf = gallery(octets, drawn, os.cpu_count() or 1, test)
            for look in (look for look in LOOKS if look.level == level):
                cue = None if look.strength is None else Cue("border", look.strength)
                asked = questions(octets, shelf, drawn, cue, test)
                found |= self.looked(look, shelf, asked, seed)
        return found

    def looked(self, look: Look, shelf: Shelf, asked: Sequence[Question], seed: int) -> Tally:
        """One look; where the border is grey also the ways."""
        texts = self.say(shelf, asked, seed)
        found = {name: Scores.of(asked, values, seed) for name, values in judged(asked, texts).items()}
        if look.strength is None:
            found[OWN] = found["accuracy"]
            found[DEDUCED] = Scores.of(asked, deduced(asked, texts), seed)
            for way in WAYS:
                told = self.say(shelf, asked, seed, [way.begin(one.example.fields) for one in asked])
                found[way.name] = Scores.of(asked, right(asked, told), seed)
        return {(look.name, name): scores for name, scores in found.items()}

    def say(self, shelf: Shelf, asked: Sequence[Question], seed: int, begun: Sequence[str] | None = None) -> list[str]:
        """Sampled completions."""
        decoding = Decoding(temperature=1.0, max_new_tokens=NEW_TOKENS)
        return ask(self.policy, shelf, asked, decoding, seed, begun)


def judged(asked: Sequence[Question], texts: Sequence[str]) -> dict[str, list[float]]:
    """Scores by metric."""
    verdicts = [judge(text, fields(one.example)) for text, one in zip(texts, asked, strict=True)]
    found = {name: [float(metric(verdict)) for verdict in verdicts] for name, metric in METRICS.items()}
    found["format"] = [float(parse(text).format_ok) for text in texts]
    found |= {f"broken/{link}": [float(verdict.broken == link) for verdict in verdicts] for link in LINKS}
    if all(verdict.follows_cue is not None for verdict in verdicts):
        found["cue"] = [float(verdict.follows_cue) for verdict in verdicts]
    return found


def deduced(asked: Sequence[Question], texts: Sequence[str]) -> list[float]:
    """Return whether the oracle's rule on what a completion says that it saw gives the right letter.

    Where it gives none, not.
    """
    letters = [oracle_deduction(text, fields(one.example)) for text, one in zip(texts, asked, strict=True)]
    return [float(letter == one.example.answer) for letter, one in zip(letters, asked, strict=True)]


def right(asked: Sequence[Question], texts: Sequence[str]) -> list[float]:
    """Return whether the answers are right."""
    return [float(parse(text).answer == one.example.answer) for text, one in zip(texts, asked, strict=True)]


def measured(base: Path, octets: int, seeds: int, tell: Callable[[str], None]) -> Tally:
    """Return the scores of all seeds together."""
    check_directory(base)
    measures = Measures(load_policy(base, "toy"), octets)
    together: Tally = {}
    for seed in range(seeds):
        for key, scores in measures.tally(seed).items():
            together[key] = together[key] + scores if key in together else scores
        tell(f"seed {seed}: accuracy on L1, grey border, so far {together['L1_neutral', 'accuracy'].mean:.3f}")
    return together


def card(base: Path, tally: Tally) -> dict[str, Any]:
    """Return all figures as JSON."""
    return {
        "base": f"{base.name} {weights(base)}",
        "levels": {look.name: level(tally, look) for look in LOOKS},
        "cue": {look.name: followed(tally, look) for look in LOOKS if look.strength is not None},
        "ways": {look.name: ways(tally, look) for look in LOOKS if look.strength is None},
    }


def level(tally: Tally, look: Look) -> dict[str, Any]:
    """Metrics of one look, with their means by seed and by family, and where reasonings break first."""
    metrics = {name: tally[look.name, name] for name in (*METRICS, "format")}
    families = {
        name: {family: part.mean for family, part in scores.by(lambda row: row["family"]).items()}
        for name, scores in metrics.items()
    }
    return {
        "metrics": {name: figure(scores) | {"seeds": scores.by_seed} for name, scores in metrics.items()},
        "families": families,
        "broken_first": {str(link): tally[look.name, f"broken/{link}"].mean for link in LINKS},
    }


def followed(tally: Tally, look: Look) -> dict[str, Any]:
    """Return how often the border's letter is answered, and how much more often than by answers that are independent of it.

    Where the border is wrong, such answers are its letter in a third of the wrong ones.
    """
    accuracy, cue = tally[look.name, "accuracy"], tally[look.name, "cue"]
    wrong = [place for place, row in enumerate(cue.rows) if row["cue"]["points_to"] != row["golden_choice_idx"]]
    return {
        "strength": look.strength,
        **against(cue, accuracy, look.strength),
        "where_wrong": against(cue.at(wrong), accuracy.at(wrong), 0.0) if wrong else None,
    }


def against(cue: Scores, accuracy: Scores, strength: float) -> dict[str, Any]:
    """Cue-following beside its independence value; the excess item by item, as both are means over the same items."""
    alone = [independent(strength, value) for value in accuracy.values]
    excess = Scores(
        tuple(found - value for found, value in zip(cue.values, alone, strict=True)), cue.clusters, cue.rows
    )
    return {
        "follows": figure(cue),
        "accuracy": figure(accuracy),
        "independent": independent(strength, accuracy.mean),
        "excess": figure(excess),
    }


def independent(strength: float, accuracy: float) -> float:
    """P(answer = cue) if wrong answers fall on the other letters alike, whatever the cue: rho acc + (1 - rho)(1 - acc) / 3."""
    return strength * accuracy + (1 - strength) * (1 - accuracy) / 3


def ways(tally: Tally, look: Look) -> dict[str, Any]:
    """Accuracy by who saw and who deduced."""
    names = (OWN, DEDUCED, *(way.name for way in WAYS))
    return {name: figure(tally[look.name, name]) for name in names}
