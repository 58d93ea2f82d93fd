"""TRL's GRPOTrainer on the same model, prompts, G and T; frames go in as images, as it cannot train on video.

A temporal patch of a clip, two frames, becomes one image, so that as many patches pass through the tower and as many tokens
stand in the prompt, but for the two marks around every image. Per-device batch of 8 (TRL's default) or G, if that is less.
"""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback

from benchmark.speed.case import Case
from benchmark.speed.clock import Counts, Peak, Watch, gradient_bytes
from benchmark.speed.model import frames, question
from benchmark.speed.prompts import banned, untouched
from benchmark.speed.reward import letters

BATCH = 8
WARM = 1
RATE = 1e-6


def measure(case: Case, root: Path, out: Path, repetitions: int) -> dict[str, Any]:
    """Steps about prompts that were not seen before."""
    trl = imported()
    model = AutoModelForImageTextToText.from_pretrained(root / "model", dtype=torch.float32, attn_implementation="sdpa")
    if case.tower == "frozen":
        model.model.visual.requires_grad_(False)
    counts, watch, peak = Counts(), Watch(), Peak()
    trainer = timed(trl, watch)(
        model=model,
        reward_funcs=[share_of_letters],
        args=settings(trl, case, root, out, WARM + repetitions),
        train_dataset=questions(case, WARM + repetitions),
        processing_class=AutoProcessor.from_pretrained(root / "model", padding_side="left"),
        callbacks=[Steps(watch, peak, counts)],
    )
    for one in filter(None, (trainer.model, trainer.ref_model)):
        counts.watch(one)
    trainer.train()
    for name in ("learn", "prepare"):
        watch.join(name, trainer.args.gradient_accumulation_steps)
    watch.rest("train", "learn", ("prepare",))
    return {
        "prompt_tokens": trainer.prompt_tokens,
        "laps": watch.spreads(repetitions),
        "peak_bytes_above": peak.above(gradient_bytes(model)),
        "work": counts.per_step(repetitions, case.view.patches),
        "trl": trl.__version__,
        "per_device_batch": min(case.group, BATCH),
        "optimizer": "AdamW, float32 masters and moments, nothing offloaded",
    }


def imported():
    """TRL, or what to do without."""
    try:
        import trl
    except ImportError as error:
        raise ImportError(
            "speed: TRL is not installed: pip install -e '.[bench]', or leave it out with --contenders"
        ) from error
    return trl


def share_of_letters(completions, **_) -> list[float]:
    """The reward that mmrl's run has, too."""
    return [letters(said[-1]["content"] if isinstance(said, list) else said) for said in completions]


def settings(trl, case: Case, root: Path, out: Path, steps: int):
    """TRL's defaults, but for what the case says, and no reports."""
    batch = min(case.group, BATCH)
    return trl.GRPOConfig(
        output_dir=str(out),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=case.group // batch,
        num_generations=case.group,
        max_completion_length=case.new_tokens,
        beta=case.beta,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        max_steps=steps,
        bf16=case.compute == "bfloat16",
        gradient_checkpointing=case.checkpointing,
        generation_kwargs={"suppress_tokens": banned(untouched(root), root)},
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def questions(case: Case, count: int):
    """As many prompts as there are steps."""
    from datasets import Dataset

    def row(index: int) -> dict:
        images = [Image.fromarray(frame) for frame in frames(case.view, index)[::2]]
        return {"prompt": [{"role": "user", "content": question(index)}], "images": images}

    return Dataset.from_list([row(index) for index in range(count)])


def timed(trl, watch: Watch):
    """GRPOTrainer, its parts timed."""

    class Timed(trl.GRPOTrainer):
        def training_step(self, *args, **options):
            with watch("learn"):
                return super().training_step(*args, **options)

        def _prepare_inputs(self, *args, **options):
            with watch("prepare"):
                return super()._prepare_inputs(*args, **options)

        def _generate(self, prompts):
            with watch("sample"):
                made = super()._generate(prompts)
            self.prompt_tokens = len(made[0][0])
            return made

    return Timed


class Steps(TrainerCallback):
    """The clock of whole steps."""

    def __init__(self, watch: Watch, peak: Peak, counts: Counts):
        self.watch, self.peak, self.counts, self.lap = watch, peak, counts, None

    def on_step_begin(self, _args, state, _control, **_):
        if state.global_step == WARM:
            self.counts.clear()
            self.peak.start()
        self.lap = self.watch("step")
        self.lap.__enter__()

    def on_step_end(self, _args, _state, _control, **_):
        self.lap.__exit__(None, None, None)
