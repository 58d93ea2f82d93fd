"""Every key of a config is described: in the schemas for editors, in docs/configuration.md and in errors."""

from dataclasses import dataclass

import pytest

from mmrl.config.json_schema import field_docstrings, schema_of
from mmrl.config.load import parse
from mmrl.config.schema import Config, ConfigError, EvalConfig
from tests.config.test_config import CONFIGS, PLAIN
from tools import configuration

KINDS = {"train": Config, "eval": EvalConfig}


@pytest.mark.parametrize("name", KINDS)
def test_every_key_has_a_description(name):
    schema = schema_of(KINDS[name])
    parts = {KINDS[name].__name__: schema} | schema["$defs"]
    bare = [
        f"{part}.{key}"
        for part, node in parts.items()
        for key, value in node.get("properties", {}).items()
        if not value.get("description", "").strip().endswith(".")
    ]
    assert bare == []


def test_the_page_of_all_keys_is_current():
    assert configuration.PAGE.read_text() == configuration.page(), "run python tools/configuration.py"


def test_every_top_level_key_stands_in_a_shipped_config():
    texts = [path.read_text() for path in CONFIGS]
    for kind in KINDS.values():
        missing = [key for key in kind.model_fields if not any(f"\n{key}:" in text for text in texts)]
        assert missing == []


def test_a_field_is_described_where_it_is_inherited_and_where_it_is_stated_anew():
    @dataclass
    class Base:
        one: int = 1
        """The one."""
        two: int = 2
        """The two."""

    @dataclass
    class Own(Base):
        two: int = 3
        """Its own two."""
        three: int = 4

    assert field_docstrings(Own) == field_docstrings(Base) | {"two": "Its own two."}
    assert {"one": "The one.", "two": "The two."}.items() <= field_docstrings(Base).items()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"steps": "4"},
            "steps: expected a valid integer, found '4' (Steps of the run: a step samples, grades and learns",
        ),
        ({"seed": -1}, "seed: expected greater than or equal to 0, found -1 (The seed of sampling"),
        (
            {"algorithm": {"name": "grpo", "kl_on": "some"}},
            "algorithm.kl_on: expected 'all' or 'correct', found 'some' (The comp",
        ),
        (
            {"algorithm": {"name": "grpo", "epsilon": "x"}},
            "algorithm.epsilon: expected a valid number, found 'x' (The ratio is",
        ),
    ],
)
def test_an_error_says_what_the_key_means(changes, said):
    with pytest.raises(ConfigError) as error:
        parse(Config, PLAIN | changes, "made")
    assert said in str(error.value)


def test_a_missing_key_says_what_is_missing():
    with pytest.raises(ConfigError, match=r"out: expected a value, found none \(The folder of the run\)"):
        parse(Config, {key: value for key, value in PLAIN.items() if key != "out"}, "made")
