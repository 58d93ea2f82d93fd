"""The small base model loads as any other and tells positions apart."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from mmrl.world import BASE
from mmrl.world.grammar import grammar_words, prompt_text
from tools.base.model import build_model, build_tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("base") / "model", seed=0)


@pytest.fixture(scope="module")
def model(base):
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(base)


def test_every_word_is_one_token_wherever_it_stands_in_a_text():
    tokenizer = build_tokenizer()
    for word in grammar_words():
        assert tokenizer.tokenize(f"so {word} {word}.")[-3:-1] == [f"\u0120{word}"] * 2


def test_letters_are_the_same_token_before_an_option_and_in_an_answer():
    tokenizer = build_tokenizer()
    asked = tokenizer.tokenize(prompt_text("what next?", ["on the left put red"] * 4))
    told = tokenizer.tokenize("so on the left put red A</think><answer> A</answer>")
    assert asked.count("\u0120A") == 1
    assert told.count("\u0120A") == 2


@pytest.mark.parametrize(
    "text", ["na\u00efve \U0001f600\n\ttabs", "<think> saw it</think><answer> A</answer>", "12 % of  it"]
)
def test_any_text_comes_back(text):
    tokenizer = build_tokenizer()
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_tags_are_tokens_even_where_they_touch_a_word():
    assert build_tokenizer().tokenize("<answer>C</answer><|im_end|>") == ["<answer>", "C", "</answer>", "<|im_end|>"]


def test_the_tokenizer_is_qwens_own_class(base):
    assert type(AutoProcessor.from_pretrained(base).tokenizer).__name__.startswith("Qwen2Tokenizer")


def test_size_and_configuration(base, model):
    assert 1.0e6 < sum(weight.numel() for weight in model.parameters()) < 1.2e6
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert (
        json.loads((base / "generation_config.json").read_text()).keys().isdisjoint({"temperature", "top_k", "top_p"})
    )


def test_the_processor_keeps_small_pictures_and_reads_a_chat(base):
    processor = AutoProcessor.from_pretrained(base)
    content = [{"type": "video"}, {"type": "image"}, {"type": "text", "text": "what next?\n A red"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    frames = torch.zeros(16, 3, 56, 56, dtype=torch.uint8)
    videos = processor.video_processor([frames], do_sample_frames=False, cap_pixels_per_frame=True, return_tensors="pt")
    images = processor.image_processor([frames[0]], return_tensors="pt")
    assert videos["video_grid_thw"].tolist() == [[8, 4, 4]]
    assert images["image_grid_thw"].tolist() == [[1, 4, 4]]
    expected = (
        "<|im_start|> user Ċ <|vision_start|> <|video_pad|> <|vision_end|> <|vision_start|> <|image_pad|> <|vision_end|> "
        "what Ġnext ? Ċ ĠA Ġred <|im_end|> Ċ <|im_start|> assistant Ċ"
    )
    assert " ".join(processor.tokenizer.tokenize(text)) == expected


def test_the_same_seed_makes_the_same_weights(base, tmp_path):
    again, other = build_model(tmp_path / "a", seed=0), build_model(tmp_path / "b", seed=1)
    weights = "model.safetensors"
    assert (again / weights).read_bytes() == (base / weights).read_bytes() != (other / weights).read_bytes()


def test_building_leaves_the_random_state_alone(tmp_path):
    before = torch.get_rng_state()
    build_model(tmp_path / "model", seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_words_in_another_order_are_another_text(model):
    """A model whose attention ignores positions would pass many tests of position handling."""
    ids = torch.tensor([np.arange(20, 40).tolist(), [*np.arange(20, 39)[::-1].tolist(), 39]])
    with torch.no_grad():
        forward, backward = model(input_ids=ids).logits[:, -1].log_softmax(-1)
    assert (forward - backward).abs().max() > 0.01


def test_the_model_in_the_repository_is_whole_small_and_says_how_it_was_made():
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(BASE)
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert sum(path.stat().st_size for path in BASE.iterdir()) < 8e6
    made = json.loads((BASE / "recipe.json").read_text())
    assert made["command"].startswith("python -m tools.base")
    assert sum(stage["seconds"] for stage in made["stages"]) < 3600
    assert AutoProcessor.from_pretrained(BASE).tokenizer.get_vocab() == build_tokenizer().get_vocab()
