"""YAML 1.2: what a word means, and that what is written is read again by us and by readers of YAML 1.1."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mmrl.config.load import apply
from mmrl.config.schema import ConfigError
from mmrl.config.yaml_text import read, write

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
WORDS = [
    "on",
    "off",
    "yes",
    "NO",
    "y",
    "null",
    "~",
    "",
    "1e-6",
    "1.0e-06",
    "0o14",
    "012",
    "12:30",
    "2020-01-01",
    "<<",
    "=",
]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")))
)  # fmt: skip
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS) | st.text("ab", max_size=2), inner)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6), ("on", "on"), ("off", "off"), ("yes", "yes"), ("2020-01-01", "2020-01-01"), ("12:30", "12:30"),
        ("true", True), ("~", None), ("0o14", 12), ("012", 12), (".inf", float("inf")), ("[1, a]", [1, "a"]), ("", None),
    ],
)  # fmt: skip
def test_what_a_word_means(text, value):
    assert read(text, "x") == value
    data = {}
    apply(data, f"a.b={text}")  # an override is read by the same reader
    assert data == {"a": {"b": value}}


def test_an_override_that_is_no_yaml_or_has_a_key_twice_is_refused():
    for value, said in (("{a: 1, a: 2}", "line 1: found duplicate key"), ("[1", "text with special characters")):
        with pytest.raises(ConfigError, match=said):
            apply({}, f"a={value}")


@given(DATA)
def test_what_is_written_is_read_again_by_both(data):
    text = write({"key": data})
    assert same(read(text, "x"), {"key": data})
    assert same(yaml.safe_load(text), {"key": data})


def same(one, other):
    """Equal, and of the same types: 1 is not 1.0 and not True."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_shipped_configs_mean_the_same_in_both_versions(path):
    data = read(path.read_text(), str(path))
    assert same(data, yaml.safe_load(path.read_text()))
    assert same(yaml.safe_load(write(data)), data)
