"""Tiny random models of families that mmrl examines and does not train, with processors built in code."""

import torch
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

from tests import tiny_models

FAMILIES = ("llava_onevision", "internvl", "smolvlm")
SIDE, PATCH = 28, 14
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'text' %}{{ c.text }}{% else %}IMAGE_OR_VIDEO{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat(image: str, video: str) -> str:
    """A chat template with a family's own placeholders."""
    return CHAT.replace("IMAGE_OR_VIDEO", f"{{% if c.type == 'image' %}}{image}{{% else %}}{video}{{% endif %}}")


def tokenizer(**named: str) -> PreTrainedTokenizerFast:
    """The byte-level tokenizer of the other tiny models, with a family's special tokens by name."""
    inner = tiny_models.tokenizer()
    inner.add_special_tokens({"additional_special_tokens": sorted({*named.values(), "<global-img>"})})
    return PreTrainedTokenizerFast(
        tokenizer_object=inner.backend_tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=named,
    )


def text_config(tok: PreTrainedTokenizerFast) -> dict:
    return dict(
        vocab_size=len(tok), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, bos_token_id=None, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id,
    )  # fmt: skip


VISION = dict(
    hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=PATCH
)
SIZE = {"height": SIDE, "width": SIDE}


def llava_onevision():
    tok = tokenizer(image_token="<image>", video_token="<video>")
    pinpoints = [[SIDE, SIDE]]
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=SIZE, image_grid_pinpoints=pinpoints),
        tok,
        LlavaOnevisionVideoProcessor(size=SIZE),
        num_image_tokens=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=chat("<image>", "<video>"),
    )
    config = LlavaOnevisionConfig(
        vision_config=dict(VISION, model_type="siglip_vision_model", vision_use_head=False),
        text_config=dict(text_config(tok), model_type="qwen2"),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        video_token_index=tok.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
    )
    return LlavaOnevisionForConditionalGeneration, config, processor


def internvl():
    names = dict(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    tok = tokenizer(**names)
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size=SIZE, crop_to_patches=False),
        tok,
        InternVLVideoProcessor(size=SIZE),
        image_seq_length=1,
        chat_template=chat("<IMG_CONTEXT>", "<video>"),
    )
    config = InternVLConfig(
        vision_config=dict(VISION, image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH]),
        text_config=dict(text_config(tok), model_type="qwen2"),
        image_token_id=tok.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=1,
    )
    return InternVLForConditionalGeneration, config, processor


def smolvlm():
    side, patch = 32, 4  # 16 features an image: transformers 5.20 folds them in rows of as many as a patch is wide
    names = dict(
        image_token="<image>", fake_image_token="<fake>", end_of_utterance_token="<end_of_utterance>",
        global_image_token="<global-img>", video_token="<video>",
    )  # fmt: skip
    tok = tokenizer(**names)
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(
            size={"longest_edge": side}, max_image_size={"longest_edge": side}, do_image_splitting=False
        ),
        tok,
        SmolVLMVideoProcessor(size={"longest_edge": side}, max_image_size={"longest_edge": side}, num_frames=8, fps=2),
        image_seq_len=(side // patch // 2) ** 2,
        chat_template=chat("<image>", "<video>"),
    )
    config = SmolVLMConfig(
        vision_config=VISION | {"image_size": side, "patch_size": patch},
        text_config=dict(text_config(tok), model_type="llama"),
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return SmolVLMForConditionalGeneration, config, processor


def model(family: str, scale: float = 0.25):
    """Two layers of random weights, large enough that what is seen matters; and its processor."""
    kind, config, processor = {"llava_onevision": llava_onevision, "internvl": internvl, "smolvlm": smolvlm}[family]()
    torch.manual_seed(0)
    made = kind(config)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if p.ndim > 1:
                p.normal_(0, scale, generator=torch.Generator().manual_seed(len(name)))
    return made.eval(), processor
