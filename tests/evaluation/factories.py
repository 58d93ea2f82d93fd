"""A model of a few lines, its questions and its grader, for evaluations without weights."""

from mmrl.evaluation import Completion, EvaluationJob, Request, Scorer, Shown, evaluate
from mmrl.types import Example

EXAMPLES = [Example(id=f"q{n}", question=f"{n}?", answer="AB"[n % 2], cluster=f"video{n // 2}") for n in range(7)]
SHOWN = Shown("video", "a.mp4", (4, 4), "0" * 64, (0, 4), (0.0, 2.0), "made")


class KilledError(Exception):
    """Stands for the signal."""


class Model:
    """Writes A for every sample; what it writes otherwise depends on its batch, as floating point does."""

    def __init__(self, kill_after=None, blind=(), said="A"):
        self.calls, self.kill_after, self.blind, self.said = [], kill_after, blind, said

    def __call__(self, examples, indices):
        if self.kill_after is not None and len(self.calls) == self.kill_after:
            raise KilledError
        self.calls.append([(example.id, index) for example, index in zip(examples, indices, strict=True)])
        return [self.complete(example, index, len(examples)) for example, index in zip(examples, indices, strict=True)]

    def complete(self, example, index, width):
        if example.id in self.blind:
            return Completion("", finished=False, status="media_error", error=f"{example.id}: no frame decoded")
        text = f"{self.said} {example.id} {index} {width} ü\u2028\n"
        return Completion(text, tokens=3, request=Request("prompt", 5, (SHOWN,)))


def grade(text, example):
    return {"accuracy": float(text[:1] == example.answer), "length": len(text) / 100}


def run(out, model=None, examples=EXAMPLES, parse=None, graded=grade, **changes):
    arguments = {"samples": 3, "batch": 4, "settings": {"weights": "base"}} | changes
    return evaluate(EvaluationJob("L1", examples, model or Model(), Scorer(graded, parse), out, **arguments))
