"""The small base model loads as any other and tells positions apart."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from mmrl.world.base import build_model, build_tokenizer
from mmrl.world.grammar import ACTIONS, SPECIAL, TAGS, question, words
from mmrl.world.script import LETTERS


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("base") / "model", seed=0)


@pytest.fixture(scope="module")
def model(base):
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(base)


def test_one_token_a_word_and_back_again():
    tokenizer = build_tokenizer()
    every = [*words(), *TAGS]
    assert len(tokenizer) == len(set(every)) + len(SPECIAL)
    text = " ".join(every)
    ids = tokenizer(text).input_ids
    assert len(ids) == len(every)
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text
    assert tokenizer("unheard").input_ids == [tokenizer.unk_token_id]


def test_tags_are_tokens_even_where_they_touch_a_word():
    tokenizer = build_tokenizer()
    assert tokenizer.tokenize("<answer>C</answer><|im_end|>") == ["<answer>", "C", "</answer>", "<|im_end|>"]
    assert tokenizer.decode(tokenizer("<answer> C </answer> <|im_end|>").input_ids, skip_special_tokens=True) == (
        "<answer> C </answer>"
    )


def test_size_and_configuration(base, model):
    assert 1.0e6 < sum(weight.numel() for weight in model.parameters()) < 1.1e6
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight
    assert (
        json.loads((base / "generation_config.json").read_text()).keys().isdisjoint({"temperature", "top_k", "top_p"})
    )


def test_the_processor_keeps_small_pictures_and_reads_a_chat(base):
    processor = AutoProcessor.from_pretrained(base)
    content = [{"type": "video"}, {"type": "image"}, {"type": "text", "text": "what next ?\nA red@left"}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    frames = torch.zeros(16, 3, 56, 56, dtype=torch.uint8)
    videos = processor.video_processor([frames], do_sample_frames=False, cap_pixels_per_frame=True, return_tensors="pt")
    images = processor.image_processor([frames[0]], return_tensors="pt")
    assert videos["video_grid_thw"].tolist() == [[8, 4, 4]]
    assert images["image_grid_thw"].tolist() == [[1, 4, 4]]
    expected = (
        "<|im_start|> user <|vision_start|> <|video_pad|> <|vision_end|> <|vision_start|> <|image_pad|> <|vision_end|> "
        "what next ? A red@left <|im_end|> <|im_start|> assistant"
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


def test_an_untrained_model_looks_up_the_letter_before_an_option(model):
    tokenizer, random = build_tokenizer(), np.random.default_rng(0)
    right = 0
    for _ in range(100):
        options = [ACTIONS[i] for i in random.permutation(len(ACTIONS))[:4]]
        asked = random.integers(4)
        text = question("one of each red blue") + " ".join(
            f" {letter} {o}" for letter, o in zip(LETTERS, options, strict=True)
        )
        ids = tokenizer(
            f"{text} <think> saw t0 put red left . left needs blue . so {options[asked]}", return_tensors="pt"
        )
        with torch.no_grad():
            logits = model(input_ids=ids.input_ids).logits[0, -1, tokenizer.convert_tokens_to_ids(list(LETTERS))]
        right += int(logits.argmax()) == asked
    assert right > 75  # 25 without the planted heads
