"""The papers' rows, in percent as printed, and what differs between their protocol and ours."""

from dataclasses import dataclass

from mmrl.config.schema import EvalConfig


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a paper's table. None: not given."""

    name: str
    L1: float
    L2: float
    L3: float
    domains: tuple[float, float, float, float] | None = None  # of L3: daily life, hobbies, recreation, work
    consistency: float | None = None  # GPT-4.1's judgement; its prompt and what it was asked about are not published


CARE = "GRPO-CARE, 2506.16141, tables 2 and 3 (Qwen2.5-VL-7B)"
FIRST = "SEED-Bench-R1, 2503.24376 (Qwen2-VL-7B)"
PUBLISHED: dict[str, tuple[Row, ...]] = {
    CARE: (
        Row("Qwen2.5-VL-7B", 38.4, 40.1, 31.3, (35.8, 31.2, 26.8, 28.5)),
        Row("SFT", 46.2, 46.3, 42.7, (46.7, 41.7, 44.3, 38.4)),
        Row("GRPO", 52.3, 53.2, 46.7, (51.9, 43.7, 55.2, 39.4), 57.9),
        Row("KL-EMA", 54.7, 54.1, 49.4, None, 60.0),
        Row("KL-EMA-HA", 55.1, 53.8, 49.2, None, 61.7),
        Row("SepKL-EMA-HA", 54.8, 54.9, 47.5, None, 76.8),
        Row("noKL", 55.4, 54.4, 51.3, None, 70.0),
        Row("DenseCons", 56.6, 55.5, 50.6, None, 80.3),
        Row("RefGen", 55.2, 54.2, 49.4, None, 86.4),
        Row("GRPO-CARE", 57.0, 57.0, 53.4, (57.6, 51.2, 57.4, 48.5), 82.4),
    ),
    FIRST: (
        Row("Qwen2-VL-7B", 34.79, 34.02, 31.57, (31.21, 32.30, 33.33, 30.69)),
        Row("SFT", 43.79, 44.10, 38.15, (38.27, 41.02, 32.24, 38.61)),
        Row("GRPO", 46.01, 50.16, 44.89, (48.52, 45.08, 43.72, 41.34)),
    ),
}


def differs(config: EvalConfig, toy: bool) -> list[str]:
    """Return what differs from GRPO-CARE's protocol, line by line; the papers' rows may not be compared beyond that."""
    section, notes = config.evaluation, []
    if toy:
        notes.append("the questions are ProcBench's, in SEED-Bench-R1's layout: no row of a paper is about them")
    notes.append(
        f"decoding: temperature {section.decoding.temperature:g}, {section.decoding.max_new_tokens} new tokens, "
        f"{section.samples} sample(s) a question, an own sampler; GRPO-CARE: temperature 0.1, top-p 0.001, 1,024, one, "
        "vLLM; SEED-Bench-R1: temperature 1, 256, one"
    )
    frames = section.frames
    count = f"{frames.count} frames" if frames.count else f"{frames.fps:g} a second, at most {frames.max_frames}"
    pixels = config.model.video_pixels
    size = "the processor's own size" if pixels is None else f"at most {pixels[1]:,} pixels"
    notes.append(
        f"frames: {count} ({frames.convention}), {size}; GRPO-CARE: at most 16, 105,369 pixels; SEED-Bench-R1: 16, 153,664"
    )
    notes.append(f"prompt: template {section.template}; GRPO-CARE: care_eval; SEED-Bench-R1: seed_bench_r1")
    notes.append(
        "scoring: official is GRPO-CARE's rule (exact content of the first answer block, else the whole output); strict "
        "(accuracy) reads the last block behind the reasoning; lenient reads a letter however it is written"
    )
    notes.append(
        "CAC is not the papers' consistency: ours is a rule (the option that the reasoning concludes is the one answered), "
        "over all questions, none concluded counting as inconsistent; coverage is the share that concludes one. Theirs "
        "is GPT-4.1's judgement whether the reasoning supports the answer, with prompt, levels and denominator unpublished"
    )
    notes.append("intervals: ours 95 % over clusters of one source video; the papers give none")
    return notes
