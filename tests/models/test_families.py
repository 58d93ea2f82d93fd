"""A family of a user's own: loaded as the one that it is like, and what is refused."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from mmrl.models import families
from mmrl.models.families import Family, family_of, register_family
from mmrl.models.loading import load_policy
from tests import tiny_models


@pytest.fixture
def registry(monkeypatch):
    """The families, to be added to in one test."""
    own = dict(families.FAMILIES)
    monkeypatch.setattr(families, "FAMILIES", own)
    return own


class MyConfig(Qwen2_5_VLConfig):
    model_type = "my_vl"


class MyModel(Qwen2_5_VLForConditionalGeneration):
    config_class = MyConfig


def test_a_model_under_a_name_of_its_own_is_the_same_policy(registry, tmp_path, monkeypatch):
    processor = tiny_models.processor("qwen2_5_vl")
    plain = tiny_models.model("qwen2_5_vl", processor)
    mine = MyModel(MyConfig(**{k: v for k, v in plain.config.to_dict().items() if k != "model_type"}))
    mine.load_state_dict(plain.state_dict())
    for name, model in (("plain", plain), ("mine", mine)):
        model.save_pretrained(tmp_path / name)
        processor.save_pretrained(tmp_path / name)
    AutoConfig.register("my_vl", MyConfig, exist_ok=True)
    AutoModelForImageTextToText.register(MyConfig, MyModel, exist_ok=True)
    with pytest.raises(ValueError, match=r"expected one of the families .* or yours by register_family, found 'my_vl'"):
        load_policy(tmp_path / "mine", "plain")
    family = register_family(Family("my_vl", tokens_per_second=True))
    assert family_of("my_vl") is family
    found = []
    for name in ("plain", "mine"):
        policy = load_policy(tmp_path / name, "plain")
        (prompt,) = policy.prompts([tiny_models.example("a")], [(tiny_models.clip(0), tiny_models.image())])
        found.append((prompt.positions, policy.model(input_ids=prompt.tokens[None].long()).logits))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    ("family", "said"),
    [
        (Family("qwen2_vl", True), "family 'qwen2_vl': expected a name of its own, found one of"),
        (Family("", True), "family.name: expected the model_type of the model's config, found ''"),
        (Family("x", True, tower=""), r"family.tower: expected prefixes of parameters that end with '.', found \(''"),
        (Family("x", True, tower="model.visual"), "family.tower: expected prefixes"),
        (
            Family("x", True, projector=()),
            r"family.projector: expected prefixes of parameters that end with '.', found \(\)",
        ),
        (
            Family("x", True, projector=("model.merger.",)),
            r"family.projector: expected parts of the tower 'model.visual.', found \['model.merger.'\]",
        ),
    ],
)
def test_what_is_no_family_is_refused(registry, family, said):
    before = dict(registry)
    with pytest.raises(ValueError, match=said):
        register_family(family)
    assert registry == before


def test_one_prefix_is_not_taken_for_several(registry):
    family = Family("x", True)
    object.__setattr__(family, "projector", "model.visual.merger.")  # which the type checker of tests would refuse
    with pytest.raises(ValueError, match=r"family.projector: expected prefixes .* found 'model.visual.merger.'"):
        register_family(family)
