"""A random Qwen2.5-VL of a case's sizes and its processor, made in code, and prompts about clips that are real files."""

import json
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from benchmark.speed.case import TEXT, WINDOW, WORDS, Case, View
from mmrl.runtime.files import write_whole
from tools.base.model import CHAT_TEMPLATE, SPECIAL

GAIN = 1.5  # standard deviation of what a random matrix makes of unit input: attention that depends on position
FPS = 2  # frames a second of the clips, all of which are looked at
BLOBS = 7  # a side: clips are smooth, as filmed ones are, and not noise


def build_tokenizer(size: int) -> PreTrainedTokenizerFast:
    """One token a byte, signs, and as many more entries as it takes; these are sampled but never read."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fill = (f"w{i}" for i in range(size))
    entries = alphabet + [next(fill) for _ in range(size - len(alphabet) - len(SPECIAL))]
    inner = Tokenizer(models.BPE(vocab={entry: i for i, entry in enumerate(entries)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2**15,
    )


def build_processor(case: Case) -> Qwen2_5_VLProcessor:
    """Frames and images of a multiple of 28 pixels a side stay as they are."""
    shape = {"patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
    shape["size"] = {"shortest_edge": 28 * 28, "longest_edge": 2**26}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**shape),
        tokenizer=build_tokenizer(case.words),
        video_processor=Qwen2VLVideoProcessor(**shape),
        chat_template=CHAT_TEMPLATE,
    )


def build_config(case: Case, tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    """The architecture; 3b and 7b have the sizes of Qwen2.5-VL-3B and -7B."""
    shape, ids = case.shape, tokenizer.convert_tokens_to_ids
    text = {
        "vocab_size": case.words,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 2**15,
        "rope_parameters": {"rope_type": "default", "mrope_section": list(shape.sections), "rope_theta": shape.theta},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": shape.tied,
    }
    vision = {
        "depth": shape.vision_layers,
        "hidden_size": shape.vision_hidden,
        "intermediate_size": shape.vision_intermediate,
        "num_heads": shape.vision_heads,
        "out_hidden_size": shape.hidden,
        "patch_size": 14,
        "window_size": WINDOW,
        "fullatt_block_indexes": list(shape.full_attention),
        "tokens_per_second": 2,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=shape.tied,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_model(case: Case, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """Random weights: matrices of gain ``GAIN``, so that outputs depend on positions, and an embedding of unit logits."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration(build_config(case, tokenizer))
    if case.model == "6m":
        randomise(model, seed)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int) -> None:
    """Larger weights than transformers' own initialisation, under which attention hardly looks at positions."""
    generator = torch.Generator(model.device).manual_seed(seed)
    table = model.get_input_embeddings().weight
    for parameter in model.parameters():
        if parameter.ndim > 1:
            gain = 1.0 if parameter is table else GAIN
            parameter.normal_(0, gain / math.sqrt(parameter[0].numel()), generator=generator)


def make_root(root: Path, case: Case, prompts: int) -> Path:
    """Model, processor and ``prompts`` questions, each about a clip of its own; what is there is not made again."""
    done = root / "rows.jsonl"
    if not done.exists():
        root.mkdir(parents=True, exist_ok=True)
        processor = build_processor(case)
        build_model(case, processor.tokenizer).to(
            torch.float32 if case.compute == "float32" else torch.bfloat16
        ).save_pretrained(root / "model")
        processor.save_pretrained(root / "model")
        for index in range(prompts):
            write_clip(root / f"{index}.mp4", frames(case.view, index))
        write_whole(done, "".join(json.dumps(row(index)) + "\n" for index in range(prompts)))
    return root


def question(index: int) -> str:
    """A question of as many letters as make ``TEXT`` tokens."""
    return (f"{index:03d} " + WORDS * 3)[:TEXT]


def row(index: int) -> dict:
    """A line of a file of messages."""
    content = [{"type": "video", "video": f"{index}.mp4"}, {"type": "text", "text": question(index)}]
    return {"id": f"clip-{index}", "messages": [{"role": "user", "content": content}], "kind": "free"}


def frames(view: View, seed: int) -> np.ndarray:
    """A smooth random clip, ``f h w c``."""
    noise = torch.rand(1, 3, view.frames, BLOBS, BLOBS, generator=torch.Generator().manual_seed(seed))
    size = (view.frames, view.height, view.width)
    smooth = torch.nn.functional.interpolate(noise, size=size, mode="trilinear", align_corners=True)[0]
    return (smooth * 255).to(torch.uint8).permute(1, 2, 3, 0).numpy()


def write_clip(path: Path, clip: np.ndarray) -> None:
    """An H.264 file with these frames."""
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "12", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for number, frame in enumerate(clip):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = number
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
