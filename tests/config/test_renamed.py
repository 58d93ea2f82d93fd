"""A key or a value of an older config is refused with the name of the new one."""

from copy import deepcopy

import pytest

from mmrl.algorithms import CLASSES
from mmrl.config import renamed
from mmrl.config.error_messages import walk
from mmrl.config.json_schema import schema_of
from mmrl.config.load import apply, parse
from mmrl.config.schema import Config, ConfigError, EvalConfig
from tests.config.test_config import EVALUATION, PLAIN

EVAL = {"out": "x", "model": {"path": "m"}, "evaluation": EVALUATION | {"graders": {"a": "accuracy"}}}
OWN = {  # an older value -> the method that had it
    True: "gdc",
    False: "gdc",
    "all": "grpo",
    "accurate": "grpo",
    "sequence": "sft",
    "token": "sft",
    "constant": "sft",
}


def refusal(kind, plain, override):
    data = deepcopy(plain)
    apply(data, override)
    with pytest.raises(ConfigError) as error:
        parse(kind, data, "old.yaml")
    return str(error.value)


@pytest.mark.parametrize("key", renamed.KEYS)
def test_an_old_key_is_refused_with_the_new_one(key):
    of_evaluation = key in ("max_rows", "evaluation.batch")
    if key == "validation.batch":
        data = PLAIN | {"validation": EVALUATION | {"graders": {"a": "accuracy"}, "every": 1}}
    else:
        data = EVAL if of_evaluation else PLAIN
    said = refusal(EvalConfig if of_evaluation else Config, data, f"{key}=1")
    assert f"no key {key!r} any more; it is now {renamed.KEYS[key]}" in said


@pytest.mark.parametrize(("key", "value"), renamed.VALUES)
def test_an_old_value_is_refused_with_the_new_one(key, value):
    plain = PLAIN | {"algorithm": {"name": OWN.get(value, "fdpg")}}
    text = str(value).lower() if isinstance(value, bool) else value
    assert f"found {value!r}; it is now {renamed.VALUES[key, value]}" in refusal(Config, plain, f"{key}={text}")


def test_the_new_names_are_keys():
    fields = {f"algorithm.{name}" for kind in CLASSES for name in kind.__dataclass_fields__}
    new = [text.split(":")[0] for text in renamed.KEYS.values() if text.startswith("algorithm.") and "name" not in text]
    assert set(new) <= fields
    assert not {key for key in renamed.KEYS if key.startswith("algorithm.")} & fields


@pytest.mark.parametrize("key", renamed.ELSEWHERE)
def test_a_key_of_trl_or_verl_is_refused_with_what_it_is_here(key):
    said = refusal(Config, PLAIN, f"{key}=1")
    assert f"no key {key!r}" in said
    assert f"it is {renamed.ELSEWHERE[key]} here" in said or "did you mean" in said


def test_what_other_libraries_keys_are_here_exists():
    schema = schema_of(Config)
    for text in renamed.ELSEWHERE.values():
        first = text.partition(" ")[0].partition(":")[0].split(".")
        assert first[0] in schema["properties"]
        if first[0] not in ("algorithm", "rewards"):
            assert first[-1] in walk(tuple(first[:-1]), schema)[1]["properties"]
