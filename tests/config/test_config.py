"""Configs: strict, complete, and with one clear message for each mistake."""

import json
import re
from copy import deepcopy
from pathlib import Path

import pytest

from mmrl.algorithms import ALGORITHMS
from mmrl.config import yaml_text
from mmrl.config.load import apply, dump, load, parse
from mmrl.config.schema import Config, ConfigError, EvalConfig
from tools import schema

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
PLAIN = {
    "out": "runs/made",
    "model": {"path": "base"},
    "data": {"root": "data", "sets": [{"format": "messages", "file": "d.jsonl"}], "template": "plain"},
    "algorithm": {"name": "care"},
    "rewards": {"accuracy": {"grader": "accuracy"}},
    "steps": 4,
}
NAMES = ", ".join(sorted(ALGORITHMS)) + ", or your own as path.py:Class"
EVALUATION = {"root": "data", "sets": [{"name": "L1", "format": "messages", "file": "d.jsonl"}], "template": "plain"}


def parsed(*overrides: str) -> Config:
    """The plain config with some overrides."""
    data = deepcopy(PLAIN)
    for override in overrides:
        apply(data, override)
    return parse(Config, data, "made.yaml")


def complaint(*overrides: str) -> str:
    """What is said of a config that is wrong, without its name."""
    with pytest.raises(ConfigError) as caught:
        parsed(*overrides)
    return str(caught.value).removeprefix("made.yaml: ")


@pytest.mark.parametrize(
    ("override", "path", "near"),
    [
        ("stps=3", "stps", "steps"),
        ("optimizer.learning_rates.languag=1.0", "optimizer.learning_rates.languag", "language_model"),
        ("algorithm.bonis=1", "algorithm.bonis", "bonus"),
        ("algorithm.reference={name: ema, dcay: 0.5}", "algorithm.reference.dcay", "decay"),
        ("rollout.decoding.temprature=0.5", "rollout.decoding.temprature", "temperature"),
        ("data.frames.coun=3", "data.frames.coun", "count"),
        ("data.sets.0.fil=x", "data.sets.0.fil", "file"),
        ("rewards.accuracy.grade=x", "rewards.accuracy.grade", "grader"),
        ("rewards.care={grader: accuracy, wieght: 1}", "rewards.care.wieght", "weight"),
    ],
)
def test_an_unknown_key_names_its_nearest_neighbour(override, path, near):
    said = complaint(override)
    assert said.startswith(f"no key {path!r}; did you mean {near!r}? (known: ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "optimizer.learning_rates.language_model='1e-6'",
            "optimizer.learning_rates.language_model: expected a valid number, found '1e-6'",
        ),
        ("steps=ten", "steps: expected a valid integer, found 'ten'"),
        ("steps=3.0", "steps: expected a valid integer, found 3.0"),
        ("steps=true", "steps: expected a valid integer, found True"),
        ("steps=0", "steps: expected greater than or equal to 1, found 0"),
        ("rollout.decoding.temperature='0.5'", "rollout.decoding.temperature: expected a valid number, found '0.5'"),
        ("rollout.decoding.top_p=2", "rollout.decoding.top_p: expected a number in (0, 1], found 2.0"),
        (
            "rollout.decoding={temperature: 0, top_p: 0.9}",
            "rollout.decoding.top_p: expected 1 at temperature 0, where the most likely token is taken; found 0.9",
        ),
        ("data.frames.fps=-1", "data.frames.fps: expected a number above 0, found -1.0"),
        ("data.sets=[]", "data.sets: expected at least 1, found 0"),
        ("data.sets.0.limit=0", "data.sets.0.limit: expected greater than or equal to 1, found 0"),
        ("algorithm.name=cere", f"algorithm.name: expected one of {NAMES}, found 'cere'"),
        (
            "algorithm={name: fdpg, target: [{name: tlt}]}",
            "algorithm.target.0.name: expected one of cautious, constraint, ensemble, exponential, tilt, or your own "
            "as path.py:Class, found 'tlt'",
        ),
        (
            "algorithm={name: fdpg, target: [{name: tilt}, {name: tilt, beta: 0}]}",
            "algorithm.target.1: tilt.beta: expected a finite number above 0, found 0.0; for the limit of 0 use a constraint",
        ),
        (
            "algorithm={name: fdpg, divergence: {name: alpha, aa: 1}}",
            "no key 'algorithm.divergence.aa'; did you mean 'a'? (known: a, name)",
        ),
        (
            "algorithm={name: rlkl, place: loss}",
            f"algorithm.name: expected one of {NAMES}, found 'rlkl'; it is now kl_in_reward, or kl_in_loss where its key place was "
            "loss; that key is gone",
        ),
        (
            "algorithm={name: kl_in_reward, estimator: k2}",
            "algorithm.estimator: expected 'k1' or 'k3', found 'k2'",
        ),
        (
            "algorithm={name: kl_in_loss, estimator: k2, level: to_go}",
            "algorithm.level: expected sequence or token for k2 in the loss, found to_go",
        ),
        ("algorithm={}", f"algorithm.name: expected one of {NAMES}, found none"),
        ("algorithm=care", "algorithm: expected an object, found 'care'"),
        ("algorithm.epsilon=1.5", "algorithm.epsilon: expected a number in (0, 1) or none, found 1.5"),
        ("algorithm.reference.decay=0.9", "algorithm.reference.name: expected one of ema, frozen, found none"),
        (
            "algorithm.reference={name: ema, decay: 1}",
            "algorithm.reference.decay: expected a number in [0, 1), found 1.0; 1 is a frozen reference",
        ),
        (
            "trackers=[tensorbord]",
            "trackers.0: expected 'tensorboard', 'wandb', 'trackio' or 'swanlab', found 'tensorbord'",
        ),
        ("rewards.care.weight=3", "rewards.care.grader: expected a value, found none"),
        ("seed=-1", "seed: expected greater than or equal to 0, found -1"),
        ("model.share_prefix=on", "model.share_prefix: expected 'auto' or 'off', found 'on'"),
        ("model.share_prefix=1", "model.share_prefix: expected 'auto' or 'off', found 1"),
    ],
)
def test_a_wrong_value_says_where_what_was_expected_and_what_was_found(override, said):
    assert complaint(override).partition(" (")[0] == said.partition(" (")[0]
    assert complaint(override).startswith(said)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["rollout.group_size=1"],
            "rollout.group_size: expected 2 or more, as care compares the completions of a group; found 1",
        ),
        (
            ["algorithm={name: grpo}", "rollout.group_size=1"],
            "rollout.group_size: expected 2 or more, as grpo compares the completions of a group; found 1",
        ),
        (
            ["rewards={acc: {grader: accuracy}}"],
            "rewards: expected one by the name 'accuracy', which care needs; found ['acc']",
        ),
        (["rewards={}"], "rewards: expected one by the name 'accuracy', which care needs; found []"),
        (
            ["algorithm={name: grpo}", "rewards={}"],
            "rewards: expected one or more, as grpo learns from them; found none",
        ),
        (["algorithm={name: sft}"], "rewards: expected none, as sft learns from demonstrations; found ['accuracy']"),
        (
            ["algorithm={name: grpo, reference: null}"],
            "algorithm.reference: expected one, as beta is 0.04; found none. Set it, or beta: 0",
        ),
        (
            ["optimizer.learning_rates={language_model: 0, projector: 0, vision_tower: 0}"],
            "optimizer.learning_rates: expected one above 0; all parts are frozen",
        ),
        (
            ["mini_batches_per_step=2"],
            "mini_batches_per_step: expected 1 without algorithm.epsilon, because the ratio is to the policy as it is; "
            "found 2. Set algorithm.epsilon, for example 0.2",
        ),
        (
            ["algorithm={name: rloo}", "mini_batches_per_step=2"],
            "mini_batches_per_step: expected 1 without algorithm.ratio, because the ratio is to the policy as it is; "
            "found 2. Set algorithm.ratio, for example token",
        ),
        (
            ["rollout.decoding.temperature=0"],
            "rollout.decoding.temperature: expected more than 0, as a group of equal completions teaches nothing; "
            "found 0",
        ),
        (
            ["rewards.total={grader: accuracy}"],
            "rewards.total: the name is that of the rewards' weighted sum; choose another",
        ),
        (
            ["algorithm={name: fdpg}", "rollout.decoding.top_p=0.9"],
            "rollout.decoding.top_p: expected 1, as fdpg divides by the probability with which a completion was drawn; found 0.9",
        ),
        (
            ["algorithm={name: vargrad}", "rollout.group_size=1"],
            "rollout.group_size: expected 2 or more, as vargrad compares the completions of a group; found 1",
        ),
        (
            ["algorithm={name: fdpg, target: [{name: constraint, reward: right}]}"],
            "rewards: expected one by the name 'right', which fdpg needs; found ['accuracy']",
        ),
        (["optimizer.warmup_steps=5"], "optimizer.warmup_steps: expected at most the 4 optimizer steps of the run"),
    ],
)
def test_a_combination_that_cannot_work_is_refused(overrides, said):
    assert complaint(*overrides) == said


def test_a_validation_says_how_often():
    assert complaint(f"validation={json.dumps(EVALUATION | {'graders': {'a': 'accuracy'}})}") == (
        "validation.every: expected a value, found none (Steps between two validations)"
    )


@pytest.mark.parametrize("name", ["../../x", "L1/dev", "..", ".", "", "a b", "x\\y", "conditions"])
def test_the_name_of_an_evaluated_set_is_the_name_of_a_folder_in_the_run(name):
    sets = [{"name": name, "format": "messages", "file": "d.jsonl"}]
    config = {
        "out": "x",
        "model": {"path": "m"},
        "evaluation": EVALUATION | {"sets": sets, "graders": {"a": "accuracy"}},
    }
    with pytest.raises(ConfigError, match="sets: name: expected letters, digits"):
        parse(EvalConfig, config, "made.yaml")


def test_evaluated_sets_have_names_of_their_own():
    one = {"name": "L1-dev_2.0", "format": "messages", "file": "d.jsonl"}
    config = {
        "out": "x",
        "model": {"path": "m"},
        "evaluation": EVALUATION | {"sets": [one], "graders": {"a": "accuracy"}},
    }
    assert parse(EvalConfig, config, "made.yaml").evaluation.sets[0].name == "L1-dev_2.0"
    config["evaluation"]["sets"] = [one, one | {"name": "x"}, one]
    with pytest.raises(
        ConfigError, match=r"sets: expected a name of its own for each set, found L1-dev_2\.0 more than once"
    ):
        parse(EvalConfig, config, "made.yaml")


def test_several_mistakes_are_told_together():
    assert complaint("steps=ten", "seed=x").count("\n") == 1


def test_overrides_reach_keys_and_items_of_lists():
    found = parsed(
        "optimizer.learning_rates.language_model=1.0e-5",
        "data.sets.0.weight=3",
        "out=2026-01-02",
        "algorithm.epsilon=0.2",
    )
    assert found.optimizer.learning_rates.language_model == 1e-5
    assert found.data.sets[0].weight == 3
    assert found.out == "2026-01-02"
    assert found.algorithm.epsilon == 0.2


def test_off_is_not_false():
    """What the error of two ways to read that differ says to write."""
    assert parsed("model.share_prefix=off").model.share_prefix == "off"


def test_an_override_fills_what_is_null():
    data = deepcopy(PLAIN) | {"validation": None}
    apply(data, "validation.root=there")
    assert data["validation"] == {"root": "there"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps", "override: expected key.to.it=value, found 'steps'"),
        ("=3", "override: expected key.to.it=value, found '=3'"),
        ("steps.x=3", "override 'steps.x=3': expected further keys in 'steps', found the value 4"),
        ("data.sets.1.weight=3", "override 'data.sets.1.weight=3': expected an index from 0 to 0, found '1'"),
        ("data.sets.x=3", "override 'data.sets.x=3': expected an index from 0 to 0, found 'x'"),
        ("data.sets.4=3", "override 'data.sets.4=3': expected an index from 0 to 0, found '4'"),
        (
            "out=[1",
            "override 'out=[1', line 1: expected ',' or ']', but got '<stream end>'; expected a value in YAML, text with special "
            "characters in quotes",
        ),
    ],
)
def test_an_override_that_cannot_be_applied_says_why(override, said):
    assert complaint(override) == said


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["algorithm={name: grpo, beta: 0, reference: null}", "optimizer.max_grad_norm=.inf"],
        ["algorithm={name: grpo, epsilon: 0.2, reference: {name: ema, dtype: bfloat16}}", "mini_batches_per_step=2"],
        [
            "algorithm={name: fdpg, divergence: {name: alpha, a: 0.25}, moments: {accuracy: 0.9}, "
            "target: [{name: tilt, beta: 2}, {name: cautious, members: [accuracy, accuracy]}, "
            "{name: exponential, coefficients: {accuracy: 1}}]}",
            "base_rewards=base.jsonl",
        ],
        [
            "algorithm={name: sft}",
            "rewards={}",
            "model.share_prefix=off",
            "model.video_pixels=[784, 3136]",
            "data.frames={count: 8}",
        ],
        [f"validation={json.dumps(EVALUATION | {'graders': {'a': 'accuracy'}, 'every': 2})}"],
    ],
)
def test_what_is_dumped_is_loaded_again(tmp_path, overrides):
    config = parsed(*overrides)
    (tmp_path / "dumped.yaml").write_text(dump(config))
    assert load(Config, tmp_path / "dumped.yaml") == config


def test_files_that_hold_no_config_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a YAML file, found nothing at .*nowhere\.yaml"):
        load(Config, tmp_path / "nowhere.yaml")
    for content, said in (
        ("a: [1", r"bad.yaml, line 1: expected ',' or ']'.*; expected YAML 1.2"),
        ("seed: 1\nout: a\nseed: 2\n", 'bad.yaml, line 3: found duplicate key "seed"'),
        ("? [a, b]\n: 1", "bad.yaml, line 1: expected text as a key, found a sequence"),
        ("a: !!set {x, y}", "bad.yaml, line 1: could not determine a constructor for the tag"),
        ("a: \0", "bad.yaml: unacceptable character"),
        ("- 1", "expected a mapping of keys, found list"),
        ("", "found NoneType"),
    ):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(ConfigError, match=said):
            load(Config, tmp_path / "bad.yaml")


def test_a_named_section_builds_the_object_with_its_own_defaults():
    algorithm = parsed("algorithm={name: care, margin: 0.01}").algorithm
    assert (type(algorithm).__name__, algorithm.margin, algorithm.bonus) == ("CARE", 0.01, 0.5)
    assert (algorithm.reference.decay, algorithm.reference.every) == (0.995, 10)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_file_loads_and_starts_with_its_command_and_source(path):
    command, source = path.read_text().split("\n")[:2]
    relative = path.relative_to(path.parents[[p.name for p in path.parents].index("configs")].parent)
    kind, words = (Config, "train") if "algorithm" in yaml_text.read(path.read_text(), "") else (EvalConfig, "eval run")
    assert re.match(rf"# (torchrun .* -m )?mmrl {words} {relative}( |$)", command)
    assert source.startswith("# ")
    assert len(source) > 10
    config = load(kind, path)
    assert parse(kind, yaml_text.read(dump(config), "dumped"), str(path)) == config


@pytest.mark.parametrize("name", schema.KINDS)
def test_the_schemas_for_editors_are_current(name):
    path = schema.FOLDER / f"{name}.schema.json"
    assert path.read_text() == schema.text(name), "run python tools/schema.py"
