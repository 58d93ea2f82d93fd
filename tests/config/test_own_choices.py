"""Classes of a user's own in a config: validated, dumped and refused as mmrl's are."""

import json
import warnings
from copy import deepcopy

import pytest

from mmrl.config import yaml_text
from mmrl.config.load import apply, dump, parse
from mmrl.config.schema import Config, ConfigError
from mmrl.runtime.user_code import UserFileError
from tests.config.test_config import EVALUATION, NAMES, PLAIN
from tests.own_code import own

CODE = """
from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from mmrl.algorithms import GRPO, Algorithm, Needs
from mmrl.data.formats.dataset import Annotations
from mmrl.functional.divergences import AnyDivergence, Divergence, JensenShannon
from mmrl.functional.targets import AnyFactor, Factor, Tilt
from mmrl.types import Frozen, ReferenceUpdate


@dataclass(frozen=True, kw_only=True)
class Mine(Algorithm):
    scale: float = 1.0
    bounds: tuple[float, float] = (0.0, 1.0)
    reference: ReferenceUpdate | None = Frozen()
    divergence: AnyDivergence = JensenShannon()
    target: tuple[AnyFactor, ...] = (Tilt(),)

    def __post_init__(self):
        if self.scale < 0:
            raise ValueError(f"scale: expected 0 or more, found {self.scale}")
        if self.scale > 9:
            raise ValueError("a scale above 9 is too much")

    def loss(self, policy, weights, rows):
        return -weights.advantage * policy.logprobs


@dataclass(frozen=True, kw_only=True)
class Sub(GRPO):
    more: int = 2


@dataclass(frozen=True)
class Div(Divergence):
    a: float
    slope_at_infinity = 1.0
    curvature = 1.0
    f = slope = pseudo_reward = lambda self, t: t


@dataclass(frozen=True, slots=True)
class Fac(Factor):
    reward: str = "accuracy"
    rewards = property(lambda self: (self.reward,))

    def log_weight(self, rewards):
        return rewards[self.reward]


@dataclass(frozen=True)
class Unannounced(Divergence):
    f = slope = pseudo_reward = lambda self, t: t


@dataclass(frozen=True)
class Abstract(Algorithm):
    pass


class Undecorated(GRPO):
    more: int = 2


@dataclass(frozen=True, kw_only=True)
class NeedsDict(Mine):
    needs = {"reference": None}


@dataclass(frozen=True, kw_only=True)
class NeedsMethod(Mine):
    def needs(self):
        return Needs()


@dataclass(frozen=True, kw_only=True)
class NeedsField(Mine):
    needs: Needs = Needs()


@dataclass(frozen=True, kw_only=True)
class Aggregates(Mine):
    loss_agg_mode = "tokens"


@dataclass
class Changing(Divergence):
    pass


@dataclass(frozen=True, kw_only=True)
class Odd(GRPO):
    weights: Tensor | None = None


@dataclass(frozen=True)
class Rows(Annotations):
    def convert(self, row, epoch):
        return {"question": row.text("q")}


@dataclass(frozen=True, kw_only=True)
class Needy(Rows):
    extra: int


def function():
    pass
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A file mine.py in the current directory."""
    own(tmp_path, "mine.py", CODE)
    monkeypatch.chdir(tmp_path)


def parsed(*overrides):
    data = deepcopy(PLAIN)
    for override in overrides:
        apply(data, override)
    return parse(Config, data, "made.yaml")


def complaint(*overrides):
    with pytest.raises(ConfigError) as caught:
        parsed(*overrides)
    return str(caught.value).removeprefix("made.yaml: ")


def test_a_class_by_its_path_has_its_keys_and_its_name():
    found = parsed("algorithm={name: mine.py:Mine, bounds: [0, 3]}", "algorithm.scale=0.5").algorithm
    assert (type(found).__name__, found.name, found.scale, found.bounds) == ("Mine", "mine.py:Mine", 0.5, (0.0, 3.0))
    assert repr(found).startswith("Mine(name='mine.py:Mine', scale=0.5, ")


@pytest.mark.parametrize(
    "overrides",
    [
        ["algorithm={name: mine.py:Mine}"],
        ["algorithm={name: mine.py:Sub, epsilon: 0.2, more: 3}", "mini_batches_per_step=2"],
        [
            "algorithm={name: mine.py:Mine, divergence: {name: mine.py:Div, a: 2}, target: [{name: mine.py:Fac}, {name: tilt}]}"
        ],
        [
            "algorithm={name: fdpg, divergence: {name: mine.py:Div, a: 2}, target: [{name: mine.py:Fac}, {name: constraint}]}"
        ],
        ["data.sets.0.format=mine.py:Rows"],
    ],
)
def test_what_is_dumped_is_loaded_again(overrides):
    config = parsed(*overrides)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = dump(config)
    assert "mine.py:" in text
    assert parse(Config, yaml_text.read(text, "dumped"), "dumped") == config


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("algorithm.scael=1", "no key 'algorithm.scael'; did you mean 'scale'? (known: bounds, divergence, name, reference, scale, target)"),
        ("algorithm.scale='1'", "algorithm.scale: expected a valid number, found '1'"),
        ("algorithm.scale=-1", "algorithm.scale: expected 0 or more, found -1.0"),
        ("algorithm.scale=10", "algorithm: a scale above 9 is too much"),
        ("algorithm.bounds=[1]", "algorithm.bounds.1: expected a value, found none"),
        ("algorithm.reference={name: ema, dcay: 1}", "no key 'algorithm.reference.dcay'; did you mean 'decay'? (known: decay, dtype, every, name)"),
        ("algorithm.reference={name: ema, decay: 1}", "algorithm.reference.decay: expected a number in [0, 1), found 1.0; 1 is a frozen reference"),
        ("algorithm.reference.name=em", "algorithm.reference.name: expected one of ema, frozen, found 'em'"),
        ("algorithm.divergence={name: mine.py:Div}", "algorithm.divergence.a: expected a value, found none"),
        ("algorithm.divergence={name: mine.py:Div, a: 1, bb: 2}", "no key 'algorithm.divergence.bb' (known: a, name)"),
        ("algorithm.target=[{name: tilt, bet: 2}]", "no key 'algorithm.target.0.bet'; did you mean 'beta'? (known: beta, high, low, name, reward)"),
        ("algorithm.target=[{name: mine.py:Fac, rewad: x}]", "no key 'algorithm.target.0.rewad'; did you mean 'reward'? (known: name, reward)"),
        ("algorithm={name: mine.py:Sub, epsilon: 3}", "algorithm.epsilon: expected a number in (0, 1) or none, found 3.0"),
    ],
)  # fmt: skip
def test_keys_are_validated_as_those_of_mmrls_methods(override, said):
    assert complaint("algorithm={name: mine.py:Mine}", override) == said


ALGORITHM = "expected a frozen dataclass that inherits mmrl.algorithms.base.Algorithm, found"
DIVERGENCE = "expected a frozen dataclass that inherits mmrl.functional.divergences.Divergence, found"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.py:function", f"{ALGORITHM} no class, but function"),
        ("mine.py:Fac", f"{ALGORITHM} a class Fac that does not"),
        ("mine.py:Undecorated", f"{ALGORITHM} Undecorated, which is no dataclass; put @dataclass(frozen=True, kw_only=True) above it"),
        ("mine.py:Abstract", f"{ALGORITHM} Abstract without loss; define what is missing"),
        ("mine.py:Mien", "mine.py has no 'Mien'; it has Mine, Sub, Div, Fac, Unannounced, Abstract, Undecorated, NeedsDict, NeedsMethod, NeedsField, Aggregates, Changing, Odd, Rows, Needy, function; did you mean 'Mine'?"),
    ],
)  # fmt: skip
def test_what_is_no_algorithm_is_refused(name, said):
    assert complaint(f"algorithm={{name: {name}}}") == f"algorithm {name!r}: {said}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.py:Mine", f"{DIVERGENCE} a class Mine that does not"),
        (
            "mine.py:Unannounced",
            f"{DIVERGENCE} Unannounced without slope_at_infinity, curvature; define what is missing",
        ),
        (
            "mine.py:Changing",
            f"{DIVERGENCE} Changing, which can be changed; write @dataclass(frozen=True, kw_only=True)",
        ),
    ],
)
def test_what_is_no_divergence_is_refused(name, said):
    assert complaint(f"algorithm={{name: fdpg, divergence: {{name: {name}}}}}") == f"divergence {name!r}: {said}"


def test_what_is_no_factor_is_refused_with_its_place():
    said = complaint("algorithm={name: fdpg, target: [{name: tilt}, {name: mine.py:Div, a: 1}]}")
    assert said.startswith("algorithm.target.1: target 'mine.py:Div': expected a frozen dataclass that inherits ")


def test_a_field_that_no_yaml_can_state_is_refused():
    said = complaint("algorithm={name: mine.py:Odd}")
    assert said.startswith("algorithm 'mine.py:Odd': expected fields that a YAML can state, found another: ")
    assert "Tensor" in said


@pytest.mark.parametrize("name", ["mine:Mine", "mine.py", "Mine"])
def test_a_name_that_is_neither_says_how_to_name_ones_own(name):
    assert (
        complaint(f"algorithm={{name: {json.dumps(name)}}}")
        == f"algorithm.name: expected one of {NAMES}, found {name!r}"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NeedsDict", "needs: expected an object of mmrl.Needs, found dict"),
        ("NeedsMethod", "needs: expected an object of mmrl.Needs, found method; write @property above def needs(self)"),
        ("NeedsField", "needs: expected no key of the YAML, found a field; write needs = Needs(...), without a type"),
        ("Aggregates", "loss_agg_mode: expected one of seq-mean-token-mean, token-mean, seq-mean-token-sum-norm, found 'tokens'"),
    ],
)  # fmt: skip
def test_what_a_method_states_wrongly_is_refused_before_a_run(name, said):
    assert complaint(f"algorithm={{name: mine.py:{name}}}") == f"algorithm mine.py:{name}: {said}"


def test_an_error_of_the_file_is_none_of_the_config(tmp_path):
    own(tmp_path, "bad.py", "1 / 0")
    with pytest.raises(ZeroDivisionError) as caught:
        parsed("algorithm={name: bad.py:Mine}")
    assert caught.value.__notes__ == ["while bad.py was run, which algorithm 'bad.py:Mine' names"]
    own(tmp_path, "bad.py", "raise ValueError('half')")
    with pytest.raises(UserFileError, match=r"algorithm 'bad.py:Mine': its file ended with ValueError: half"):
        parsed("algorithm={name: bad.py:Mine}")


def test_a_format_that_is_none_is_refused():
    formats = "seed_bench_r1, .*, egoplan_bench2, or your own as path.py:Class; found 'message'"
    with pytest.raises(ConfigError, match=rf"made.yaml: data.sets.0.format: expected one of {formats}"):
        parsed("data.sets.0.format=message")
    assert complaint("data.sets.0.format=3").startswith(
        "data.sets.0.format: expected a valid string, found 3 (The format"
    )
    assert "inherits mmrl.data.formats.dataset.Annotations, found a class Mine" in complaint(
        "data.sets.0.format=mine.py:Mine"
    )
    assert complaint("data.sets.0.format=mine.py:Needy").endswith(
        "expected a default for each field, found none for extra"
    )


def test_an_evaluation_takes_a_format_and_a_condition(tmp_path):
    own(tmp_path, "shown.py", "def dark(example, media, seed): return media\ndef narrow(example): return ()\nONE = 1")
    section = EVALUATION | {"graders": {"a": "accuracy"}, "every": 1}
    section["sets"] = [section["sets"][0] | {"format": "mine.py:Rows"}]

    def told(condition):
        return f"validation={json.dumps(section | {'condition': condition})}"

    assert parsed(told("shown.py:dark")).validation.condition == "shown.py:dark"
    assert complaint(told("shown.py:ONE")) == "condition 'shown.py:ONE': expected a function, found int"
    assert "expected a function of (example, media, seed), found too many" in complaint(told("shown.py:narrow"))
    assert "no file" in complaint(told("gone.py:narrow"))
    assert complaint(told("drak")).startswith("validation.condition: expected one of full, blind, ")
    assert complaint(told("drak")).endswith("(K from 1), or your own as path.py:function; found 'drak'")
