"""Tiny random models of the supported families, with a byte-level tokenizer in which ``>B`` is one token."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5Tokenizer,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from mmrl.data.media.video import Clip
from mmrl.models.policy import Policy
from mmrl.types import Example, Media

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
]  # fmt: skip
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'text' %}{{ c.text }}{% else %}<|vision_start|><|{{ c.type }}_pad|><|vision_end|>{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on a few lines."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    lines = ["<think>", "</think>", "<answer>B</answer>", "the answer is", "what next"] * 50
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    inner.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT
    )


def qwen3_5_tokenizer(*merges: tuple[str, str]) -> Qwen3_5Tokenizer:
    """The same words cut by Qwen3.5's own rules: transformers puts these rules into every tokenizer that it loads for it."""
    words = json.loads(tokenizer().backend_tokenizer.to_str())["model"]
    further = {"".join(pair): len(words["vocab"]) + i for i, pair in enumerate(merges)}
    return Qwen3_5Tokenizer(
        vocab=words["vocab"] | further,
        merges=[*map(tuple, words["merges"]), *merges],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=SPECIAL,
        chat_template=CHAT,
    )


def processor(family: str):
    """The family's own processor over our tokenizer; 56 pixel frames stay as they are."""
    size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    if family in ("qwen3_vl", "qwen3_5"):
        sizes, words = dict(size=size, patch_size=14), tokenizer() if family == "qwen3_vl" else qwen3_5_tokenizer()
        return Qwen3VLProcessor(
            Qwen2VLImageProcessor(**sizes), words, Qwen3VLVideoProcessor(**sizes), chat_template=CHAT
        )
    kind = Qwen2_5_VLProcessor if family == "qwen2_5_vl" else Qwen2VLProcessor
    return kind(Qwen2VLImageProcessor(size=size), tokenizer(), Qwen2VLVideoProcessor(size=size), chat_template=CHAT)


def model(family: str, processor, seed: int = 0, scale: float = 0.25):
    """Two layers of random weights, large enough that attention depends on position."""
    tok = processor.tokenizer
    text = dict(
        vocab_size=len(tok) + 5, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0, "mrope_section": [2, 3, 3]},
        bos_token_id=None, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id,
    )  # fmt: skip
    ids = tok.convert_tokens_to_ids
    special = dict(
        image_token_id=ids("<|image_pad|>"), video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"), vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(seed)
    if family == "qwen2_5_vl":
        vision = dict(
            depth=2, hidden_size=32, intermediate_size=48, num_heads=2, out_hidden_size=32, window_size=56,
            fullatt_block_indexes=[1], tokens_per_second=2, patch_size=14,
        )  # fmt: skip
        made = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **special))
    elif family == "qwen3_vl":
        vision = dict(
            depth=3, hidden_size=32, intermediate_size=48, num_heads=2, out_hidden_size=32, patch_size=14,
            num_position_embeddings=64, deepstack_visual_indexes=[0, 1],
        )  # fmt: skip
        text |= dict(head_dim=16, num_hidden_layers=3)
        made = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **special))
    elif family == "qwen3_5":
        vision = dict(
            depth=2, hidden_size=32, intermediate_size=48, num_heads=2, out_hidden_size=32, patch_size=14,
            num_position_embeddings=64,
        )  # fmt: skip
        text |= dict(
            head_dim=16, num_hidden_layers=3, layer_types=["linear_attention", "full_attention", "linear_attention"],
            linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8,
        )  # fmt: skip
        text["rope_parameters"] |= {"partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
        made = Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=text, vision_config=vision, **special))
    else:
        vision = dict(depth=2, embed_dim=32, hidden_size=32, num_heads=2, mlp_ratio=2, patch_size=14)
        made = Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=text, vision_config=vision, **special))
    with torch.no_grad():
        for name, p in made.named_parameters():
            if p.ndim > 1:
                p.normal_(0, scale, generator=torch.Generator().manual_seed(seed + len(name)))
            if name.endswith("A_log"):  # a state that fades by 3 to 40 % a token: prompts matter to their last answers
                p.uniform_(-4, -1, generator=torch.Generator().manual_seed(seed + len(name)))
    return made.eval()


def policy(
    family: str = "qwen2_5_vl", dtype: torch.dtype = torch.float32, template: str = "plain", **options
) -> Policy:
    """A tiny policy; its positions may be float64 to the head, except where transformers casts."""
    made = processor(family)
    return Policy(model(family, made).to(dtype), made, template, **options)


def clip(seed: int = 0, frames: int = 4, fps: float = 2.0, stride: int = 1, size: tuple[int, int] = (56, 56)) -> Clip:
    """Random frames, ``stride`` frames of the file apart."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, *size, 3), dtype=np.uint8)
    indices = tuple(range(0, frames * stride, stride))
    return Clip(pixels, np.array(indices), np.array(indices) / fps, fps, frames * stride, "made")


def image(seed: int = 0, size: tuple[int, int] = (56, 56)) -> np.ndarray:
    """A random picture."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def example(name: str = "one", kinds: tuple[str, ...] = ("video", "image"), **fields) -> Example:
    """A multiple-choice question about some media."""
    media = tuple(Media(kind, Path(f"{name}-{i}")) for i, kind in enumerate(kinds))  # type: ignore[arg-type]
    return Example(
        name, fields.pop("question", "what next"), "B", "choice", ("red", "blue", "green", "grey"), media, **fields
    )
