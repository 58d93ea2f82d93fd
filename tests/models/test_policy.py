"""Prompts: the tokens, patches and seconds of the model's own processor; what is refused."""

from pathlib import Path

import pytest
import torch

from mmrl.data.prompts import messages
from mmrl.models.chat import chat
from mmrl.models.loading import load_policy
from mmrl.models.vision.patches import metadata
from mmrl.types import Example, Media, Message
from tests import tiny_models


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl", "qwen3_5"])
def test_tokens_and_patches_are_those_of_the_processor(family):
    policy = tiny_models.policy(family)
    example = tiny_models.example(kinds=("video", "image", "video"))
    clips = [tiny_models.clip(1, frames=8, fps=3.0, stride=4), tiny_models.clip(3, frames=3, size=(40, 90))]
    media = [clips[0], tiny_models.image(2, (70, 50)), clips[1]]
    (prompt,) = policy.prompts([example], [media])
    text = policy.processor.apply_chat_template(
        [chat(m) for m in messages(example, "plain")], tokenize=False, add_generation_prompt=True
    )
    if policy.family.timestamps:  # in the authors' release the frames' own bounds replace the template's
        text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")
    theirs = policy.processor(
        text=[text],
        images=[torch.from_numpy(media[1]).permute(2, 0, 1)],
        videos=[torch.from_numpy(c.frames).permute(0, 3, 1, 2) for c in clips],
        video_metadata=[metadata(c) for c in clips],
        do_sample_frames=False,
        cap_pixels_per_frame=True,
        return_tensors="pt",
    )
    assert torch.equal(prompt.tokens, theirs["input_ids"][0])
    videos = [p for p, g in zip(prompt.vision.pixels, prompt.vision.grids, strict=True) if g.kind == "video"]
    assert torch.equal(torch.cat(videos), theirs["pixel_values_videos"])
    assert torch.equal(prompt.vision.pixels[1], theirs["pixel_values"])
    if family == "qwen2_5_vl":
        seconds = [g.seconds for g in prompt.vision.grids if g.kind == "video"]
        torch.testing.assert_close(torch.tensor(seconds), torch.as_tensor(theirs["second_per_grid_ts"]).float())


def test_words_before_a_video_and_its_first_time_are_cut_into_tokens_together():
    processor = tiny_models.processor("qwen3_5")
    processor.tokenizer = tiny_models.qwen3_5_tokenizer((":", "<"))
    policy = tiny_models.Policy(tiny_models.model("qwen3_5", processor), processor, "none")
    turns = (Message("user", ("look:", Media("video", Path("a.mp4")), "so:", Media("video", Path("b.mp4")))),)
    clips = [tiny_models.clip(1, frames=8, fps=3.0, stride=4), tiny_models.clip(2)]
    (prompt,) = policy.prompts([Example("chat", "", messages=turns)], [clips])
    text = policy.processor.apply_chat_template([chat(m) for m in turns], tokenize=False, add_generation_prompt=True)
    theirs = policy.processor(
        text=[text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")],
        videos=[torch.from_numpy(c.frames).permute(0, 3, 1, 2) for c in clips],
        video_metadata=[metadata(c) for c in clips],
        do_sample_frames=False,
    )
    assert prompt.tokens.tolist() == theirs["input_ids"][0]
    assert policy.tokenizer.convert_ids_to_tokens(prompt.tokens.tolist()).count(":<") == 2


def test_an_odd_number_of_frames_keeps_its_real_seconds():
    # 8 of 32 frames at 3 a second: looked at 0.75 a second, two frames a patch: 2 / 0.75 s
    policy = tiny_models.policy()
    (prompt,) = policy.prompts(
        [tiny_models.example(kinds=("video",))], [[tiny_models.clip(1, frames=8, fps=3.0, stride=4)]]
    )
    assert prompt.vision.grids[0].seconds == pytest.approx(2 / 0.75)


def test_a_chat_given_ready_made_is_read_as_it_is():
    policy = tiny_models.policy(template="none")
    turns = (
        Message("system", ("be brief",)),
        Message("user", ("encode_media", Media("image", Path("a.png")), "at this")),
        Message("assistant", ("done",)),
        Message("user", ("what next",)),
    )
    (prompt,) = policy.prompts([Example("chat", "", messages=turns)], [[tiny_models.image()]])
    text = policy.tokenizer.decode(prompt.tokens)
    order = [text.index(word) for word in ("be brief", "encode_media", "<|image_pad|>", "at this", "done", "what next")]
    assert order == sorted(order)


def test_a_demonstration_ends_its_turn_and_holds_nothing_that_cannot_be_sampled():
    policy = tiny_models.policy()
    assert policy.tokenise_completion("the answer is", "here")[-1] == policy.end
    with pytest.raises(ValueError, match=r"example 3: the demonstration holds tokens .*video_pad"):
        policy.tokenise_completion("so <|video_pad|>", "example 3")


def test_a_saved_policy_is_loaded_by_from_pretrained(tmp_path):
    policy = tiny_models.policy()
    policy.save(tmp_path)
    again = load_policy(tmp_path, "plain")
    for one, two in zip(policy.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(policy.rules.allowed, again.rules.allowed)


def test_a_directory_without_processor_says_what_is_missing_and_what_to_do(tmp_path):
    policy = tiny_models.policy()
    policy.model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks .*tokenizer.*processor.*Copy them"):
        load_policy(tmp_path, "plain")


def test_a_model_of_another_family_is_refused_by_name(tmp_path):
    policy = tiny_models.policy()
    policy.save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "gpt2"}')
    with pytest.raises(ValueError, match=r"expected one of the families .*qwen2_5_vl.*found 'gpt2'"):
        load_policy(tmp_path, "plain")


def test_processor_and_model_must_mean_the_same_placeholders():
    policy = tiny_models.policy()
    policy.model.config.video_token_id += 1
    with pytest.raises(ValueError, match="same directory"):
        tiny_models.Policy(policy.model, policy.processor, "plain")
