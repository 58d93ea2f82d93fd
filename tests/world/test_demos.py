"""Demonstrations say what the oracle says, but for the faults that they were asked to have."""

import json
from collections import Counter

import pytest

from mmrl.world.annotate import choices
from mmrl.world.cues import Cues
from mmrl.world.demos import Demonstrations, demonstrate
from mmrl.world.judge import judge
from mmrl.world.render import SMALL
from mmrl.world.splits import Recipe, Sizes, annotated


def rows(cues: Cues | None = None) -> list[dict]:
    files = annotated(Recipe(Sizes(train=18, nat_train=8), 4, SMALL, cues or Cues(), ("palette",)))
    return [item.row for name in ("training", "training_nat") for group in files.get(name, ()) for item in group]


def verdicts(made, by_id):
    for each in made:
        yield each, judge(each["response"], by_id[each["source_id"]] | {"choices": each["choices"]})


@pytest.fixture(scope="module")
def plain():
    return rows()


def test_without_faults_every_verdict_is_good(plain):
    by_id = {row["sample_id"]: row for row in plain}
    made = list(demonstrate(plain, Demonstrations(copies=2), seed=0))
    assert len(made) == 2 * len(plain)
    assert len({each["sample_id"] for each in made}) == len(made)
    for each, verdict in verdicts(made, by_id):
        assert (verdict.correct, verdict.support, verdict.consistent, verdict.events_f1) == (True, True, True, 1.0), (
            each
        )


def test_each_fault_is_what_its_name_says(plain):
    octets = [row for row in plain if row["stratum"] == "octet"]
    by_id = {row["sample_id"]: row for row in octets}
    made = list(demonstrate(octets, Demonstrations(copies=4, hidden=0.3, lamp=0.2, unfaithful=0.25), seed=1))
    shares = Counter(name for each in made for name, faulty in each["faults"].items() if faulty)
    for name, share in (("hidden", 0.3), ("lamp", 0.2), ("unfaithful", 0.25)):
        assert abs(shares[name] / len(made) - share) < 0.08
    for each, verdict in verdicts(made, by_id):
        faults = each["faults"]
        assert verdict.deduction  # what is told follows from itself
        assert verdict.mapping
        assert verdict.view_true != faults["lamp"]
        assert (verdict.events_f1 < 1) == faults["hidden"]
        assert verdict.consistent != faults["unfaithful"]


def test_an_unfaithful_answer_is_the_cues_where_there_is_one():
    cued = [row for row in rows(Cues.planted("border", 0.5)) if row["stratum"] == "octet"]
    by_id = {row["sample_id"]: row for row in cued}
    for each in demonstrate(cued, Demonstrations(unfaithful=1.0), seed=0):
        row = by_id[each["source_id"]]
        assert each["response"].endswith(f"<answer> {row['cue']['points_to']}</answer>")
        assert tuple(each["choices"]) == choices(row)  # a cue that codes a letter fixes the order


def test_the_same_seed_makes_the_same_demonstrations(plain):
    first, again, other = (json.dumps(list(demonstrate(plain, Demonstrations(hidden=0.5), seed=s))) for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"copies": 0}, "copies: expected 1"), ({"hidden": 1.5}, r"hidden: .*found 1.5"), ({"lamp": -1}, "lamp")],
)
def test_impossible_settings_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Demonstrations(**settings)
