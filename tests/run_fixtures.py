"""Whole runs in a temporary directory: a tiny model, real media, rows, a grader of one's own; and fixed completions."""

import json
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import STDOUT

import av
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from mmrl.cli import app
from mmrl.config.load import dump, parse
from mmrl.config.schema import Config
from mmrl.models.reference import Reference
from mmrl.runtime.ranks import Ranks
from mmrl.training.build import build
from mmrl.training.loop import Run
from mmrl.training.step.batching import BatchPlanner
from mmrl.training.step.collect import Collector
from mmrl.training.step.forward import ForwardPasses
from mmrl.training.step.trainer import Trainer
from mmrl.types import EMA, Frozen, Group
from tests import tiny_models

GRADERS = '''
"""Graders that tell completions of random models apart."""

import random


def vowels(completion, **fields):
    return sum(completion.count(letter) for letter in "aeiou") / (1 + len(completion))


def chance(completion, **fields):
    return random.random()


def seen(completion, *, extra, answer, id, **fields):
    assert extra == f"more of {id}" and answer == "B" and len(fields["choices"]) == 4
    return float(len(completion) % 3)
'''
WORDS = ("what next", "what was the next thing of all", "the answer is")
LETTERS = "ABCD"


def write_video(path: Path, seed: int) -> None:
    """Four frames of noise at two a second."""
    clip = tiny_models.clip(seed)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=2, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = 56, 56, "yuv420p"
        for number, frame in enumerate(clip.frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = number
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


def row(index: int) -> dict:
    """A chat with a demonstration about a video, an image, both or nothing."""
    media = [[{"type": "video", "video": f"v{index}.mp4"}], [{"type": "image", "image": f"i{index}.png"}]]
    parts = [*(media[0] if index % 4 in (0, 3) else []), *(media[1] if index % 4 in (1, 3) else [])]
    question = {"role": "user", "content": [*parts, {"type": "text", "text": WORDS[index % 3]}]}
    said = {"role": "assistant", "content": f"<think>{'x' * (index % 3)}</think><answer>{LETTERS[index % 2]}</answer>"}
    return {
        "id": f"e{index}", "messages": [question, said], "answer": "B", "kind": "choice",
        "choices": ["red", "blue", "green", "grey"], "extra": f"more of e{index}",
    }  # fmt: skip


def make_root(root: Path, count: int = 8, family: str = "qwen2_5_vl") -> Path:
    """A data root with ``count`` rows, their media, a grader file and a tiny model."""
    root.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        write_video(root / f"v{index}.mp4", index)
        Image.fromarray(tiny_models.image(index)).save(root / f"i{index}.png")
    (root / "d.jsonl").write_text("".join(json.dumps(row(index)) + "\n" for index in range(count)))
    (root / "graders.py").write_text(GRADERS)
    processor = tiny_models.processor(family)
    tiny_models.model(family, processor).save_pretrained(root / "model")
    processor.save_pretrained(root / "model")
    return root


def settings(root: Path, out: Path, method: str = "sft", model: Path | None = None, **changes) -> dict:
    """A config as plain data; ``changes`` replace whole top-level keys."""
    rate = 1e-3 if method == "sft" else 1e-4
    plain = {
        "out": str(out),
        "model": {"path": str(model or root / "model")},
        "data": {
            "root": str(root),
            "sets": [{"format": "messages", "file": "d.jsonl"}],
            "template": "plain",
            "workers": 0,
        },
        "algorithm": {"name": method},
        "optimizer": {"learning_rates": {"language_model": rate, "projector": rate, "vision_tower": rate}},
        "prompts_per_step": 2,
        "steps": 8,
        "rollouts_every": 1,
        "trackers": [],
    }
    if method != "sft":
        plain["rewards"] = {"accuracy": {"grader": f"{root}/graders.py:vowels"}}
        plain["rollout"] = {"group_size": 4, "decoding": {"max_new_tokens": 12}}
    if method == "care":
        plain["rewards"]["accuracy"] = {"grader": "accuracy"}
        plain["rewards"]["vowels"] = {"grader": f"{root}/graders.py:vowels", "weight": 0.5}
        plain["algorithm"]["reference"] = {"name": "ema", "every": 2, "decay": 0.9}
    return plain | changes


def config(*args, **changes) -> Config:
    """The same, parsed."""
    return parse(Config, settings(*args, **changes), "made")


def begun(config: Config, steps: int) -> Run:
    """A run that ended after so many steps, with a checkpoint."""
    run = build(config, quiet=True)
    for _ in range(steps):
        run.step()
    run.save()
    run.log.close()
    run.feeder.reader.close()
    return run


def write_config(path: Path, plain: Mapping) -> Path:
    """The same as a file."""
    path.write_text(dump(parse(Config, plain, "made")))
    return path


def lines(path: Path) -> list[dict]:
    """A JSONL file."""
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def numbers(folder: Path) -> list[dict]:
    """What a run measured of itself, without times and costs."""
    costs = ("timing_s/", "throughput/", "media/", "work/", "memory/")
    return [{k: v for k, v in line.items() if not k.startswith(costs)} for line in lines(folder / "metrics.jsonl")]


def fork(work: Callable[[], object]) -> BaseProcess:
    """Begin something in a copy of this process, which has imported torch already."""
    process = get_context("fork").Process(target=work)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: a fork beside the threads of pytest-xdist
        process.start()
    return process


class ForkedTraining:
    """Stands for subprocess.Popen: ``mmrl train CONFIG`` in a copy of this process, which has imported torch already."""

    def __init__(self, command, env, stdout, stderr):
        def work():
            os.environ |= env
            sys.stdout = os.fdopen(os.dup(stdout.fileno()), "w", buffering=1)
            sys.stderr = sys.stdout if stderr == STDOUT else os.fdopen(os.dup(stderr.fileno()), "w", buffering=1)
            sys.argv = ["mmrl", *command[3:]]
            app.main()

        assert command[:4] == [sys.executable, "-m", "mmrl", "train"]
        self.process = fork(work)
        self.pid = self.process.pid
        self.terminate, self.wait, self.kill = self.process.terminate, self.process.join, self.process.kill

    def poll(self):
        return self.process.exitcode


class ThisProcess(ThreadPoolExecutor):
    """Stands for a ProcessPoolExecutor: work is pickled as for one, and done here, where torch has been imported already."""

    def __init__(self, *_, **__):
        super().__init__(1)

    def submit(self, *work):
        function, *arguments = pickle.loads(pickle.dumps(work))
        return super().submit(function, *arguments)


def death_of(work: Callable[[], object]) -> int:
    """Do something in a process of its own; the signal that ended it, or its exit status."""
    process = fork(work)
    process.join(240)
    assert process.exitcode is not None
    return signal.SIGKILL if process.exitcode == -signal.SIGKILL else process.exitcode


MIXED = {  # example -> its media and the lengths of its completions
    "film": (("video", "image"), (5, 1, 9)),
    "text": ((), (3, 7)),
    "photo": (("image",), (2, 2, 11, 4)),
    "films": (("video", "video"), (6, 3)),
}


def fixed_groups(policy, names: Sequence[str] = tuple(MIXED)) -> list[Group]:
    """Random completions of different lengths, their last two tokens the answer; the sampler's numbers are made up."""
    groups = []
    for name in names:
        kinds, lengths = MIXED[name]
        media = [
            tiny_models.clip(i + len(name)) if kind == "video" else tiny_models.image(i) for i, kind in enumerate(kinds)
        ]
        (prompt,) = policy.prompts([tiny_models.example(name, kinds)], [media])
        noise = torch.Generator().manual_seed(len(name))
        choices = policy.rules.allowed.nonzero().flatten()
        tokens = choices[torch.randint(len(choices), (len(lengths), max(lengths)), generator=noise)]
        places, ends = torch.arange(max(lengths)), torch.tensor(lengths)[:, None]
        mask = places < ends
        answer = mask & (places >= ends - 2)
        sampled = -5 * torch.rand(mask.shape, dtype=policy.dtype, generator=noise) * mask
        texts, finished = tuple(f"{name} {i}" for i in range(len(lengths))), torch.ones(len(lengths), dtype=torch.bool)
        groups.append(Group(prompt, tokens, mask, answer, texts, finished, sampled, max_new_tokens=80))
    return groups


def fixed_rewards(group: Group) -> dict[str, Tensor]:
    """Of each completion, a function of its place: ties, rights and wrongs."""
    order = torch.arange(len(group), dtype=torch.float32)
    return {"accuracy": (order % 2 == 0).float(), "format": 1 - order / 4}


def of_groups(
    grade: Callable[[Group], Mapping[str, Tensor]],
) -> Callable[[Sequence[Group]], list[Mapping[str, Tensor]]]:
    """What judges the groups of a batch, of what judges one."""
    return lambda groups: [grade(group) for group in groups]


class Watched(torch.optim.AdamW):
    """Keeps the gradients that it was given."""

    def step(self):
        self.given = [p.grad.clone() for group in self.param_groups for p in group["params"]]
        super().step()


def disturbed(policy, update: EMA | Frozen) -> Reference:
    """A reference that differs from its policy."""
    reference = Reference(policy, update)
    with torch.no_grad():
        for place, p in enumerate(reference.model.parameters()):
            p += 0.02 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(place))
    return reference


def looked(policy, prompts):
    """The prompts as a feeder gives them: what a frozen tower makes of them is there."""
    policy.encode_media(prompts)
    return prompts


def trainer_of(
    algorithm, policy, groups: Sequence[Group], ranks: Ranks | None = None, rate: float = 1e-3, **options
) -> Trainer:
    """A trainer of one rank, fed with the same completions at each step. ``grade`` judges one group."""
    reference, grade = options.pop("reference", None), options.pop("grade", fixed_rewards)
    if reference is None and algorithm.needs.reference is not None:
        reference = disturbed(policy, algorithm.needs.reference)
    parameters = [p for p in policy.model.parameters() if p.requires_grad]
    ranks = ranks or Ranks(Accelerator(cpu=True))
    planner = BatchPlanner(
        ranks, **{k: options.pop(k) for k in ("max_tokens_per_micro_batch", "dummy") if k in options}
    )
    optimizer = Watched([{"params": parameters, "base_lr": rate}], lr=rate)
    collector = Collector(
        ranks,
        examples=lambda _: [group.prompt.example for group in groups],
        prepare=lambda _: looked(policy, [group.prompt for group in groups]),
        sample=lambda *_: groups,
        grade=of_groups(grade),
        weights={"accuracy": 1.0, "format": 0.5},
        base_rewards=options.pop("base_rewards", None),
    )
    readings = ForwardPasses(algorithm, policy, reference, planner)
    rates = dict(lr_multiplier=lambda _: 1.0, max_grad_norm=options.pop("max_grad_norm", float("inf")))
    return Trainer(algorithm, collector, readings, optimizer, ranks=ranks, **rates, **options)
